"""Encoder weights on disk: `encoder.safetensors` beside a readable `config.json`.

The bytes depend on the weights and facts alone, so an equal encoder is an equal file. The weights
are written first and the configuration, which names their digest, last: a torn folder shows itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unisurg.models.encoder import VisionTransformer
from unisurg.models.predictor import Predictor
from unisurg.settings import Model

FORMAT = "unisurg-encoder-1"
WEIGHTS = "encoder.safetensors"
PREDICTOR = "predictor.safetensors"
CONFIG = "config.json"


class CheckpointError(ValueError):
    """A folder or file that cannot be used as weights; the message names it and the remedy."""


def save_encoder(folder: Path, encoder: VisionTransformer, facts: Mapping[str, Any]) -> None:
    """Write an encoder into `folder`, made if missing; what was there stays until the new is whole.

    Args:
        facts: plain values kept in `config.json` for the reader (steps, frames, seed, ...).
    """
    config = {
        "format": FORMAT,
        "size": encoder.size,
        "tubelet": list(encoder.tubelet),
        "embed_dim": encoder.embed_dim,
        "digest": encoder_digest(encoder),
        "facts": dict(facts),
    }
    write_weights(folder / WEIGHTS, encoder)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    write_atomically(folder / CONFIG, text.encode())


def load_encoder(folder: Path) -> VisionTransformer:
    """The encoder of a folder written by `save_encoder`, in evaluation mode on the CPU.

    Raises:
        CheckpointError: a file is missing, of another format or size, or not what its digest says.
    """
    config = read_config(folder)
    encoder = VisionTransformer(config["size"], config["tubelet"], drop_path=0.0)
    read_weights(folder / WEIGHTS, encoder)
    if encoder_digest(encoder) != config["digest"]:
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
    if isinstance(source, Model):
        size, tubelet = source.encoder, list(source.tubelet)
    else:
        config = read_config(source)
        size, tubelet = config["size"], config["tubelet"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(size, tubelet, drop_path=0.0).eval()


def encoder_digest(source: Path | nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and values of the weights, of a folder or a module."""
    if isinstance(source, Path):
        return str(read_config(source)["digest"])
    digest = hashlib.sha256()
    for name, tensor in sorted(source.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def save_predictor(folder: Path, predictor: Predictor) -> None:
    """Write the predictor beside the encoder, for a stage that goes on from both."""
    write_weights(folder / PREDICTOR, predictor)


def load_predictor(folder: Path, predictor: Predictor) -> None:
    """Fill `predictor` from a folder of `save_predictor`; CheckpointError where it does not fit."""
    read_weights(folder / PREDICTOR, predictor)


def read_config(folder: Path) -> dict[str, Any]:
    """The checked content of `config.json`.

    Raises:
        CheckpointError: the file is missing, unreadable, or lacks a field.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; {folder} is not a folder of `unisurg pretrain`"
        ) from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from None
    missing = {"format", "size", "tubelet", "digest"} - set(config)
    if missing:
        raise CheckpointError(
            f"{path}: lacks {', '.join(sorted(missing))}; export the encoder again"
        )
    if config["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {config['format']!r}; this version reads {FORMAT!r}")
    return config


def write_weights(path: Path, module: nn.Module) -> None:
    """A module's state as safetensors, in place only when whole."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    write_atomically(path, save(state))


def read_weights(path: Path, module: nn.Module) -> None:
    """Fill a module from safetensors.

    Raises:
        CheckpointError: naming every missing or unknown key and every shape that differs.
    """
    try:
        state: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; run the stage that writes it") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from None
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


def write_atomically(path: Path, content: bytes) -> None:
    """Write aside, flush to disk, rename: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
