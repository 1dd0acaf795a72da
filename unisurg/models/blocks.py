"""The transformer block that encoder and predictor share: pre-norm attention, then an MLP."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unisurg.models._timm import timm_module
from unisurg.models.positions import Turns, rotate
from unisurg.models.sizes import Size

NORM_EPS = 1e-6  # V-JEPA 2's, in encoder and predictor


class Attention(nn.Module):
    """Self-attention with rotary positions, through PyTorch's fused kernel."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dimension {dim} does not divide into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, turns: Turns, valid: Tensor | None = None, first: int = 0
    ) -> Tensor:
        """Mix the tokens of a clip.

        Args:
            x: tokens `(B, N, D)`.
            turns: their positions, as `positions.take_positions` gives them.
            valid: bool `(B, N)`, False for padding, which no token then looks at.
            first: tokens before it are looked at, but do not look themselves.

        Returns:
            `(B, N - first, D)`.
        """
        qkv = self.qkv(x).unflatten(-1, (3 * self.heads, -1))
        # Queries and keys lie side by side, so that one call turns both.
        qk, v = qkv.split([2 * self.heads, self.heads], dim=2)
        q, k = rotate(qk, turns).chunk(2, dim=2)
        q = q[:, first:] if first else q
        seen = None if valid is None else valid[:, None, None]
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    The residual stream keeps the dtype of `x`, float32 under autocast too: in bfloat16 the
    gradients of the norms are off by percents.
    """

    def __init__(self, size: Size, drop_path: float) -> None:
        super().__init__()
        layers = timm_module("layers")
        self.norm1 = nn.LayerNorm(size.dim, eps=NORM_EPS)
        self.attention = Attention(size.dim, size.heads)
        self.norm2 = nn.LayerNorm(size.dim, eps=NORM_EPS)
        self.mlp = layers.Mlp(size.dim, hidden_features=size.hidden)
        self.drop_path = layers.DropPath(drop_path) if drop_path else nn.Identity()

    def forward(
        self, x: Tensor, turns: Turns, valid: Tensor | None = None, first: int = 0
    ) -> Tensor:
        """Tokens `(B, N, D)` in; out those from `first` on, the others serve them alone."""
        mixed = self.attention(self.norm1(x), turns, valid, first)
        x = (x[:, first:] if first else x) + self.drop_path(mixed)
        return x + self.drop_path(self.mlp(self.norm2(x)))


def make_blocks(size: Size, drop_path: float) -> nn.ModuleList:
    """`size.depth` blocks whose drop-path rate grows linearly from 0 to `drop_path`."""
    last = max(size.depth - 1, 1)
    return nn.ModuleList(Block(size, drop_path * i / last) for i in range(size.depth))


def run_block(
    block: nn.Module,
    x: Tensor,
    turns: Turns,
    valid: Tensor | None,
    checkpointing: bool,
    first: int = 0,
) -> Tensor:
    """One block; with `checkpointing` its activations are computed anew in the backward pass.

    The random state is replayed then, so drop path drops the same and gradients are the same.
    """
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, x, turns, valid, first, use_reentrant=False)
    return block(x, turns, valid, first)


def initialise(module: nn.Module, blocks: nn.ModuleList) -> None:
    """Xavier's uniform weights (MAE), a block's last layers shrunk with its depth (V-JEPA).

    V-JEPA's constant deviation of 0.02 suits its width; in a narrow network signals die of it, and
    training spends its first hundreds of steps on bringing them back.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    for depth, block in enumerate(blocks, start=1):
        for name, part in block.named_modules():
            if name in ("attention.proj", "mlp.fc2") and isinstance(part, nn.Linear):
                part.weight.data.div_(math.sqrt(2.0 * depth))
