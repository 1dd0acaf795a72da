"""The weights a run starts from: an exported encoder, a published one, or a checkpoint of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from unisurg.models.checkpoints import (
    PREDICTOR,
    CheckpointError,
    encoder_digest,
    load_encoder,
    load_predictor,
)
from unisurg.models.encoder import VisionTransformer
from unisurg.models.predictor import Predictor
from unisurg.models.sources import (
    PREDICTOR_PART,
    build_encoder,
    build_predictor,
    is_own,
    open_source,
)
from unisurg.pretrain import resume


def fill(path: Path, encoder: VisionTransformer, predictor: Predictor | None) -> str:
    """Put weights into the networks; a predictor that the source lacks stays as it is.

    Args:
        path: a folder of `unisurg pretrain` or `unisurg weights import`, a folder or file that
            `unisurg.load_encoder` reads, or a `step_*.pt` of an unfinished run.

    Returns:
        The digest of the encoder's weights, which is part of the run's identity.

    Raises:
        CheckpointError: no such weights, or of another architecture.
    """
    if path.is_file() and resume.is_checkpoint(path):
        _from_run(path, encoder, predictor)
    else:
        _from_export(path, encoder, predictor)
    return encoder_digest(encoder)


def _from_export(path: Path, encoder: VisionTransformer, predictor: Predictor | None) -> None:
    if is_own(path):
        earlier = load_encoder(path)
        _check_architecture(path, earlier, encoder)
        if predictor is not None and (path / PREDICTOR).is_file():
            load_predictor(path, predictor)
    else:
        source = open_source(path)
        earlier = build_encoder(source, rotary_dtype=encoder.rotary_dtype)
        _check_architecture(path, earlier, encoder)
        if predictor is not None and PREDICTOR_PART in source.parts:
            _take(path, predictor, build_predictor(source).state_dict())
    encoder.load_state_dict(earlier.state_dict())


def _check_architecture(path: Path, earlier: VisionTransformer, encoder: VisionTransformer) -> None:
    found, asked = (_architecture(network) for network in (earlier, encoder))
    if found != asked:
        raise CheckpointError(
            f"{path}: holds {found}; params.yaml asks for {asked}: change section model, or start"
            " from other weights"
        )


def _architecture(encoder: VisionTransformer) -> str:
    size = encoder.size
    return (
        f"an encoder {size.dim} wide and {size.depth} deep with {size.heads} heads, tubelet"
        f" {encoder.tubelet}, {encoder.rotary} rotary positions in {encoder.rotary_dtype}"
    )


def _from_run(path: Path, encoder: VisionTransformer, predictor: Predictor | None) -> None:
    """The encoder that a run would export at its checkpoint, and its predictor."""
    state = resume.read_state(path, torch.device("cpu"))
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state["networks"].items():
        part, _, key = name.partition(".")
        parts.setdefault(part, {})[key] = tensor
    _take(path, encoder, state.get("teacher", parts["encoder"]))
    if predictor is not None and "predictor" in parts:
        _take(path, predictor, parts["predictor"])


def _take(path: Path, network: nn.Module, state: dict[str, Tensor]) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: another architecture than params.yaml asks for in section model: {error}"
        ) from None
