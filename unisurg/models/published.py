"""How V-JEPA 2's weights are named where they are published, as data.

Two layouts hold the same tensors: the `.pt` releases of the authors (and of SurgMotion, which kept
their networks) and the folders of `transformers`. A row says which published tensors make up one
of ours: one and the same in another shape, or several one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unisurg.models.encoder import CHANNELS
from unisurg.models.sizes import Size


class Row(NamedTuple):
    """One of our tensors, `own` in shape, made of the published ones, each `shape`."""

    ours: str
    theirs: tuple[str, ...]
    own: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Names of one publication; those of a block's parts follow `blocks` or `predictor_blocks`."""

    embed: str
    blocks: str
    norm: str
    qkv: tuple[str, ...]
    attention_proj: str
    enter: str
    mask_tokens: str
    mask_tokens_apart: bool  # each mask token is a tensor of its own
    predictor_blocks: str
    predictor_norm: str
    leave: str


RELEASE = Layout(
    embed="patch_embed.proj",
    blocks="blocks",
    norm="norm",
    qkv=("attn.qkv",),
    attention_proj="attn.proj",
    enter="predictor_embed",
    mask_tokens="mask_tokens",
    mask_tokens_apart=True,
    predictor_blocks="predictor_blocks",
    predictor_norm="predictor_norm",
    leave="predictor_proj",
)
TRANSFORMERS = Layout(
    embed="encoder.embeddings.patch_embeddings.proj",
    blocks="encoder.layer",
    norm="encoder.layernorm",
    qkv=("attention.query", "attention.key", "attention.value"),
    attention_proj="attention.proj",
    enter="predictor.embeddings.predictor_embeddings",
    mask_tokens="predictor.embeddings.mask_tokens",
    mask_tokens_apart=False,
    predictor_blocks="predictor.layer",
    predictor_norm="predictor.layernorm",
    leave="predictor.proj",
)

# What wraps a network in training leaves its name before that of each tensor.
WRAPPERS = ("module.", "backbone.", "encoder.", "_orig_mod.")

# Tensors that tell another network apart, by the start of their names.
FOREIGN = {
    "pos_embed": "a table of positions, where this encoder turns queries and keys",
    "predictor_pos_embed": "a table of positions, where this predictor turns queries and keys",
    "cls_token": "a class token, as image encoders have",
    "patch_embed_img": "a second patch embedding for images, as V-JEPA 2.1 has",
    "img_mod_embed": "embeddings of the modality, as V-JEPA 2.1 has",
    "norms_block": "norms inside the encoder, as V-JEPA 2.1 has",
    "action_encoder": "an encoder of actions, as V-JEPA 2-AC has: import the encoder alone",
}


def encoder_rows(layout: Layout, size: Size, tubelet: tuple[int, int, int]) -> list[Row]:
    """Every tensor of an encoder."""
    pixels = (size.dim, CHANNELS, *tubelet)
    return [
        *_linear("embed", (layout.embed,), size.dim, CHANNELS * _product(tubelet), pixels),
        *_blocks(layout, layout.blocks, size),
        *_norm("norm", layout.norm, size.dim),
    ]


def predictor_rows(layout: Layout, size: Size, embed_dim: int, out_dim: int) -> list[Row]:
    """Every tensor of a predictor."""
    many, dim = size.mask_tokens, size.dim
    if layout.mask_tokens_apart:
        names = tuple(f"{layout.mask_tokens}.{i}" for i in range(many))
        masks = Row("mask_tokens", names, (many, dim), (1, 1, dim))
    else:
        masks = Row("mask_tokens", (layout.mask_tokens,), (many, dim), (many, 1, 1, dim))
    return [
        *_linear("enter", (layout.enter,), dim, embed_dim),
        masks,
        *_blocks(layout, layout.predictor_blocks, size),
        *_norm("norm", layout.predictor_norm, dim),
        *_linear("leave", (layout.leave,), out_dim, dim),
    ]


def to_ours(state: Mapping[str, Tensor], rows: list[Row]) -> dict[str, Tensor]:
    """Published tensors, all there and in the shapes of `rows`, as a float32 state of ours."""
    return {
        row.ours: torch.cat([state[name] for name in row.theirs]).reshape(row.own).float()
        for row in rows
    }


def to_theirs(state: Mapping[str, Tensor], rows: list[Row]) -> dict[str, Tensor]:
    """A state of ours under the names and in the shapes of a publication."""
    return {
        name: part.reshape(row.shape).clone()
        for row in rows
        for name, part in zip(row.theirs, state[row.ours].chunk(len(row.theirs)), strict=True)
    }


def _blocks(layout: Layout, where: str, size: Size) -> Iterator[Row]:
    dim = size.dim
    for i in range(size.depth):
        ours, theirs = f"blocks.{i}", f"{where}.{i}"
        qkv = tuple(f"{theirs}.{name}" for name in layout.qkv)
        yield from _norm(f"{ours}.norm1", f"{theirs}.norm1", dim)
        yield from _linear(f"{ours}.attention.qkv", qkv, 3 * dim, dim)
        attention_proj = (f"{theirs}.{layout.attention_proj}",)
        yield from _linear(f"{ours}.attention.proj", attention_proj, dim, dim)
        yield from _norm(f"{ours}.norm2", f"{theirs}.norm2", dim)
        yield from _linear(f"{ours}.mlp.fc1", (f"{theirs}.mlp.fc1",), size.hidden, dim)
        yield from _linear(f"{ours}.mlp.fc2", (f"{theirs}.mlp.fc2",), dim, size.hidden)


def _linear(
    ours: str, theirs: tuple[str, ...], out: int, into: int, shape: tuple[int, ...] | None = None
) -> Iterator[Row]:
    each = out // len(theirs)
    names = tuple(f"{name}.weight" for name in theirs)
    yield Row(f"{ours}.weight", names, (out, into), shape or (each, into))
    yield Row(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs), (out,), (each,))


def _norm(ours: str, theirs: str, dim: int) -> Iterator[Row]:
    for kind in ("weight", "bias"):
        yield Row(f"{ours}.{kind}", (f"{theirs}.{kind}",), (dim,), (dim,))


def _product(tubelet: tuple[int, int, int]) -> int:
    frames, height, width = tubelet
    return frames * height * width
