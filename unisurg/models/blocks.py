"""The transformer block that encoder and predictor share: pre-norm attention, then an MLP."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from unisurg.models._timm import timm_module
from unisurg.models.positions import rotate
from unisurg.models.sizes import Size


class Attention(nn.Module):
    """Self-attention with rotary positions, through PyTorch's fused kernel."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dimension {dim} does not divide into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """`x (B, N, D)`, `turns` as `positions.take_positions` gives them -> `(B, N, D)`."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (rotate(q, turns), rotate(k, turns), v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    The residual stream keeps the dtype of `x`, float32 under autocast too: in bfloat16 the
    gradients of the norms are off by percents.
    """

    def __init__(self, size: Size, drop_path: float) -> None:
        super().__init__()
        layers = timm_module("layers")
        self.norm1 = nn.LayerNorm(size.dim)
        self.attention = Attention(size.dim, size.heads)
        self.norm2 = nn.LayerNorm(size.dim)
        self.mlp = layers.Mlp(size.dim, hidden_features=int(size.dim * size.mlp_ratio))
        self.drop_path = layers.DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x), turns))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def make_blocks(size: Size, drop_path: float) -> nn.ModuleList:
    """`size.depth` blocks whose drop-path rate grows linearly from 0 to `drop_path`."""
    last = max(size.depth - 1, 1)
    return nn.ModuleList(Block(size, drop_path * i / last) for i in range(size.depth))


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
