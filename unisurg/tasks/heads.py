"""What is trained on frozen tokens: an attentive classifier and a small decoder of maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks.base import TaskError

MLP_RATIO = 4
DECODER_WIDTH = 32


class Attention(nn.Module):
    """Multi-head attention of `queries` (B, Q, D) over `tokens` (B, N, D)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise TaskError(f"{heads} heads do not divide {dim} features; change probe.heads")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block; queries are the tokens themselves unless given."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, MLP_RATIO * dim), nn.GELU(), nn.Linear(MLP_RATIO * dim, dim)
        )

    def forward(self, tokens: Tensor, queries: Tensor | None = None) -> Tensor:
        normed = self.norm_attention(tokens)
        if queries is None:
            result = tokens + self.attention(normed, normed)
        else:
            result = queries + self.attention(queries, normed)
        return result + self.mlp(self.norm_mlp(result))


class AttentiveProbe(nn.Module):
    """Tokens (B, N, D) -> logits (B, C): self-attention blocks, one learned query, linear.

    Source: attentive probe of V-JEPA 2 (arXiv 2506.09985, appendix), whose depth 4 is here depth 3:
    the cross-attention block is not counted. Tokens carry their place through the encoder.
    """

    def __init__(self, dim: int, classes: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.query = nn.Parameter(torch.zeros(1, 1, dim))
        self.pool = Block(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.classify = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.query, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        pooled = self.pool(tokens, self.query.expand(len(tokens), -1, -1))
        return self.classify(self.norm(pooled[:, 0]))


class DenseDecoder(nn.Module):
    """Tokens (B, t*h*w, D) -> a map of logits (B, 2h, 2w): 1x1 and 3x3 convolutions.

    The time steps of a still picture are averaged (`mean`); of a clip that ends with the frame in
    question the last is taken (`newest`), which has seen the others. The caller resizes the logits
    to the picture. Small on purpose: what is judged are the tokens.
    """

    def __init__(
        self, dim: int, grid: tuple[int, int, int], steps: Literal["mean", "newest"]
    ) -> None:
        super().__init__()
        self.grid, self.steps = grid, steps
        self.norm = nn.LayerNorm(dim)
        self.reduce = nn.Conv2d(dim, DECODER_WIDTH, 1)
        self.mix = nn.Conv2d(DECODER_WIDTH, DECODER_WIDTH, 3, padding=1)
        self.refine = nn.Conv2d(DECODER_WIDTH, DECODER_WIDTH, 3, padding=1)
        self.classify = nn.Conv2d(DECODER_WIDTH, 1, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        steps = self.norm(tokens).unflatten(1, self.grid)
        plane = (steps.mean(1) if self.steps == "mean" else steps[:, -1]).permute(0, 3, 1, 2)
        plane = F.gelu(self.mix(F.gelu(self.reduce(plane))))
        plane = F.interpolate(plane, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.classify(F.gelu(self.refine(plane)))[:, 0]
