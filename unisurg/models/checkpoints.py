"""Weights on disk: `encoder.safetensors` and `predictor.safetensors` beside a `config.json`.

The bytes depend on the weights and facts alone, so an equal encoder is an equal file. The weights
are written first and the configuration, which names their digest, last: a torn folder shows itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unisurg.models.build import make_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.positions import Rotary, RotaryDtype
from unisurg.models.predictor import Predictor
from unisurg.models.sizes import ENCODERS, PREDICTORS, Size, encoder_size, size_name
from unisurg.models.writing import replacing
from unisurg.settings import Model

FORMAT = "unisurg-encoder-2"
FIRST_FORMAT = "unisurg-encoder-1"  # a size by name, exact rotations
WEIGHTS = "encoder.safetensors"
PREDICTOR = "predictor.safetensors"
CONFIG = "config.json"


class CheckpointError(ValueError):
    """A folder or file that cannot be used as weights; the message names it and the remedy."""


@dataclass(frozen=True)
class Config:
    """What `config.json` says of an encoder."""

    size: Size
    tubelet: tuple[int, int, int]
    rotary: Rotary
    rotary_dtype: RotaryDtype
    digest: str
    facts: dict[str, Any]

    def encoder(self) -> VisionTransformer:
        """An encoder of that architecture, with random weights."""
        return VisionTransformer(self.size, self.tubelet, 0.0, self.rotary, self.rotary_dtype)


def save_encoder(folder: Path, encoder: VisionTransformer, facts: Mapping[str, Any]) -> None:
    """Write an encoder into `folder`, made if missing; what was there stays until the new is whole.

    Args:
        facts: plain values kept in `config.json` for the reader (steps, frames, seed, ...).
    """
    size = asdict(encoder.size)
    del size["mask_tokens"]
    config = {
        "format": FORMAT,
        "name": size_name(ENCODERS, encoder.size),
        "size": size,
        "tubelet": list(encoder.tubelet),
        "rotary": encoder.rotary,
        "rotary_dtype": encoder.rotary_dtype,
        "digest": encoder_digest(encoder),
        "facts": dict(facts),
    }
    write_weights(folder / WEIGHTS, encoder)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    with replacing(folder / CONFIG) as file:
        file.write(text.encode())


def load_encoder(folder: Path) -> VisionTransformer:
    """The encoder of a folder written by `save_encoder`, in evaluation mode on the CPU.

    Raises:
        CheckpointError: a file is missing, of another format or size, or not what its digest says.
    """
    config = read_config(folder)
    encoder = config.encoder()
    read_weights(folder / WEIGHTS, encoder)
    if encoder_digest(encoder) != config.digest:
        raise CheckpointError(
            f"{folder / WEIGHTS}: not the weights that {CONFIG} names by digest; export it again"
        )
    return encoder.eval()


def random_encoder(source: Path | Model, seed: int) -> VisionTransformer:
    """An untrained encoder of the same architecture, in evaluation mode: the baseline of a probe.

    Args:
        source: a folder written by `save_encoder`, or the settings' `model` section.
        seed: draws the weights; the global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(source, Model):
            return make_encoder(source.model_copy(update={"drop_path": 0.0})).eval()
        return read_config(source).encoder().eval()


def encoder_digest(source: Path | nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and values of the weights, of a folder or a module."""
    if isinstance(source, Path):
        return read_config(source).digest
    digest = hashlib.sha256()
    for name, tensor in sorted(source.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def save_predictor(folder: Path, predictor: Predictor) -> None:
    """Write the predictor beside the encoder, for a stage that goes on from both."""
    config = {
        "size": asdict(predictor.size),
        "rotary": predictor.rotary,
        "rotary_dtype": predictor.rotary_dtype,
    }
    write_weights(folder / PREDICTOR, predictor, config)


def load_predictor(folder: Path, predictor: Predictor) -> None:
    """Fill `predictor` from a folder of `save_predictor`; CheckpointError where it does not fit."""
    read_weights(folder / PREDICTOR, predictor)


def read_predictor(folder: Path) -> Predictor:
    """The predictor of a folder, in the architecture it was saved in, in evaluation mode.

    Raises:
        CheckpointError: a file is missing, damaged, or of a size without a name and a record.
    """
    path = folder / PREDICTOR
    state = _read_state(path)
    with safe_open(path, "pt") as file:
        config = json.loads((file.metadata() or {}).get("config", "null"))
    if config is None:  # written before the size was recorded: known by its width and depth
        dim = state["enter.weight"].shape[0]
        depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        rows = [size for size in PREDICTORS.values() if (size.dim, size.depth) == (dim, depth)]
        if not rows:
            raise CheckpointError(f"{path}: no predictor size is {dim} wide and {depth} deep")
        config = {"size": asdict(rows[0]), "rotary": "exact", "rotary_dtype": "float32"}
    out_dim, embed_dim = state["leave.weight"].shape[0], state["enter.weight"].shape[1]
    predictor = Predictor(
        Size(**config["size"]),
        embed_dim,
        out_dim,
        rotary=config["rotary"],
        rotary_dtype=config["rotary_dtype"],
    )
    fill(predictor, state, path)
    return predictor.eval()


def read_config(folder: Path) -> Config:
    """The checked content of `config.json`, of this format or the first.

    Raises:
        CheckpointError: the file is missing, unreadable, or lacks a field.
    """
    path = folder / CONFIG
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") not in (FORMAT, FIRST_FORMAT):
        found = raw.get("format") if isinstance(raw, dict) else raw
        raise CheckpointError(
            f"{path}: format {found!r}; this version reads {FORMAT!r} and {FIRST_FORMAT!r},"
            " and other folders after `unisurg weights import`"
        )
    needed = {"size", "tubelet", "digest"}
    if raw["format"] == FIRST_FORMAT:
        raw = {"rotary": "exact", "rotary_dtype": "float32"} | raw
    else:
        needed |= {"rotary", "rotary_dtype"}
    if missing := needed - set(raw):
        raise CheckpointError(
            f"{path}: lacks {', '.join(sorted(missing))}; export the encoder again"
        )
    for field, values in (("rotary", Rotary), ("rotary_dtype", RotaryDtype)):
        if raw[field] not in get_args(values):
            expected = ", ".join(get_args(values))
            raise CheckpointError(f"{path}: {field} {raw[field]!r}; expected one of {expected}")
    try:
        size = encoder_size(raw["size"]) if isinstance(raw["size"], str) else Size(**raw["size"])
        frames, height, width = raw["tubelet"]
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: size or tubelet cannot be used: {error}") from None
    return Config(
        size=size,
        tubelet=(frames, height, width),
        rotary=raw["rotary"],
        rotary_dtype=raw["rotary_dtype"],
        digest=str(raw["digest"]),
        facts=raw.get("facts", {}),
    )


def read_json(path: Path) -> Any:
    """The content of a JSON file; CheckpointError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; {path.parent} is not a folder of weights"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from None


def write_weights(path: Path, module: nn.Module, config: Mapping[str, Any] | None = None) -> None:
    """A module's state as safetensors, in place only when whole; `config` goes into its header."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    # One entry: the order of several in the header would be another on every run.
    header = None if config is None else {"config": json.dumps(config, sort_keys=True)}
    with replacing(path) as file:
        file.write(save(state, header))


def read_weights(path: Path, module: nn.Module) -> None:
    """Fill a module from safetensors.

    Raises:
        CheckpointError: naming every missing or unknown key and every shape that differs.
    """
    fill(module, _read_state(path), path)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; run the stage that writes it") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from None
    if "mask_token" in state:  # the one token of a predictor of the first format
        state["mask_tokens"] = state.pop("mask_token").unsqueeze(0)
    return state


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put a state that came from `path` into a module.

    Raises:
        CheckpointError: naming every missing or unknown key and every shape that differs.
    """
    own = module.state_dict()
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"unknown {name}" for name in state if name not in own]
    faults += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        raise CheckpointError(f"{path}: does not fit {type(module).__name__}: {'; '.join(faults)}")
    module.load_state_dict(state)
