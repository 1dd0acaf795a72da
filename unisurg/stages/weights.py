"""Weights in and out: take published ones in, hand ours out, look at any."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

from unisurg.models.checkpoints import (
    PREDICTOR,
    CheckpointError,
    encoder_digest,
    read_config,
    read_predictor,
    save_encoder,
    save_predictor,
)
from unisurg.models.encoder import VisionTransformer
from unisurg.models.exports import export_release, export_transformers
from unisurg.models.positions import RotaryDtype
from unisurg.models.sizes import ENCODERS, size_name
from unisurg.models.sources import (
    DEFAULTS,
    PREDICTOR_PART,
    build_encoder,
    build_predictor,
    is_own,
    load_encoder,
    open_source,
)


def import_weights(
    source: Path,
    output: Path,
    which: str | None = None,
    heads: int | None = None,
    predictor_heads: int | None = None,
    rotary_dtype: RotaryDtype = "float32",
    encoder_only: bool = False,
) -> None:
    """Published weights -> a folder that every stage takes as an encoder.

    Raises:
        CheckpointError: the weights cannot be read, or are of another network.
    """
    if is_own(source):
        raise CheckpointError(f"{source}: is a folder of UniSurg already; use it as it is")
    opened = open_source(source)
    encoder = build_encoder(opened, which, heads, rotary_dtype)
    predictor = None
    if PREDICTOR_PART in opened.parts and not encoder_only:
        predictor = build_predictor(opened, predictor_heads, rotary_dtype)
    facts = {"imported_from": f"{opened.kind} {source.name}"}
    if opened.config:
        facts |= {
            "size_px": opened.config["crop_size"],
            "frames": opened.config["frames_per_clip"],
        }
    if predictor is not None:
        save_predictor(output, predictor)
    save_encoder(output, encoder, facts)
    beside = "without a predictor" if predictor is None else "and its predictor"
    print(f"weights: {source} -> {output}: {_title(encoder)} {beside}")


def export_weights(
    folder: Path,
    output: Path,
    layout: str,
    size_px: int | None = None,
    frames: int | None = None,
) -> None:
    """A folder of ours -> `transformers`, or a release like V-JEPA 2's.

    Args:
        layout: `transformers` or `vjepa2`.
        size_px, frames: for `transformers`: of the clips [as pretrained or imported, else as its
            defaults].

    Raises:
        CheckpointError: the folder is damaged, or its networks have no place in that layout.
    """
    encoder = load_encoder(folder)
    predictor = read_predictor(folder) if (folder / PREDICTOR).is_file() else None
    if layout == "vjepa2":
        export_release(output, encoder, predictor)
    else:
        facts = read_config(folder).facts
        size_px = size_px or facts.get("size_px") or int(DEFAULTS["crop_size"])
        frames = frames or facts.get("frames") or int(DEFAULTS["frames_per_clip"])
        export_transformers(output, encoder, predictor, size_px, frames)
    print(f"weights: {folder} -> {output}: {_title(encoder)}")
    if predictor is None:
        print("weights: there is no predictor, so whoever reads this finds or draws another")


def inspect_weights(path: Path, heads: int | None = None) -> str:
    """What is in a folder or file of weights, as a table for people.

    What cannot be imported is listed all the same, with the reason.

    Raises:
        CheckpointError: the path cannot be read at all.
    """
    own = is_own(path)
    opened = None if own else open_source(path)
    rows = [("path", str(path)), ("kind", "UniSurg folder" if opened is None else opened.kind)]
    try:
        encoder = load_encoder(path) if opened is None else build_encoder(opened, heads=heads)
    except CheckpointError as error:
        if opened is None:
            raise
        rows.append(("import", f"not possible: {error}"))
    else:
        rows += _architecture(encoder)
    if opened is not None:
        parts = {name: list(tensors.values()) for name, tensors in opened.parts.items()}
    else:
        parts = {"encoder": _tensors(encoder)}
        if (path / PREDICTOR).is_file():
            parts["predictor"] = _tensors(read_predictor(path))
        facts = sorted(read_config(path).facts.items())
        rows.append(("facts", ", ".join(f"{name} {value}" for name, value in facts) or "none"))
    rows += [(name, _amount(tensors)) for name, tensors in parts.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _architecture(encoder: VisionTransformer) -> list[tuple[str, str]]:
    return [
        ("size", _title(encoder)),
        ("tubelet", " x ".join(map(str, encoder.tubelet)) + " (frames, height, width)"),
        ("rotary", f"{encoder.rotary}, {encoder.rotary_dtype} frequencies"),
        ("digest", encoder_digest(encoder)),
    ]


def _title(encoder: VisionTransformer) -> str:
    name = size_name(ENCODERS, encoder.size) or "unnamed size"
    millions = sum(value.numel() for value in encoder.parameters()) / 1e6
    return f"{name} ({encoder.size}), {millions:.1f} M parameters"


def _tensors(module: nn.Module) -> list[Tensor]:
    return list(module.state_dict().values())


def _amount(tensors: Iterable[Tensor]) -> str:
    tensors = list(tensors)
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})
    millions = sum(tensor.numel() for tensor in tensors) / 1e6
    return f"{len(tensors)} tensors, {millions:.1f} M values, {', '.join(kinds)}"
