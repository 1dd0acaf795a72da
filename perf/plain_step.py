"""V-JEPA 2's training step (arXiv 2506.09985), rendered plainly: what `pretrain_step` measures.

Written from the published method, at the cost its published configurations pay: every mask embeds
the whole clip by a 3D convolution and passes through the encoder by itself, all blocks are
checkpointed, rotary angles are made anew in every block and (for masked tokens) in every head, the
predictor sorts its tokens and puts them back, and optimiser and moving average go over the
parameters in plain passes. Same function and same gradients as `unisurg`, so that a ratio of times
compares two ways to the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unisurg.models.sizes import Size

Grid = tuple[int, int, int]
Mask = tuple[Tensor, Tensor]  # token indices to see (B, K) and to predict (B, M)

BASE = 10_000.0
NORM_EPS = 1e-6


def turned(x: Tensor, position: Tensor) -> Tensor:
    """Turn the feature pairs of `x (B, H, N, d)` by angles that grow with `position (..., N)`.

    As the published code does: the list of angles is tiled over the features, so that the two
    features of a pair get different ones, and it is made in the dtype of `x`.
    """
    half = x.shape[-1] // 2
    omega = 1.0 / BASE ** (torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angle = position.to(x.dtype).unsqueeze(-1) * omega
    sine, cosine = angle.sin(), angle.cos()
    sine, cosine = torch.cat([sine, sine], dim=-1), torch.cat([cosine, cosine], dim=-1)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    quarter = torch.stack([-second, first], dim=-1).flatten(-2)
    return x * cosine + quarter * sine


class PlainAttention(nn.Module):
    """Self-attention that works out its rotary angles by itself."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, index: Tensor | None, grid: Grid) -> Tensor:
        """`x (B, N, D)` at token indices `(B, N)`, or all tokens of the grid -> `(B, N, D)`."""
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if index is None:
            index = torch.arange(tokens, device=x.device)
        else:
            index = index.unsqueeze(1).repeat(1, self.heads, 1)
        frame = index // (grid[1] * grid[2])
        row = (index - frame * grid[1] * grid[2]) // grid[2]
        column = index - frame * grid[1] * grid[2] - row * grid[2]
        axes = (frame, row, column)
        mixed = F.scaled_dot_product_attention(self._turn(q, axes), self._turn(k, axes), v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))

    def _turn(self, x: Tensor, axes: Sequence[Tensor]) -> Tensor:
        share = 2 * (x.shape[-1] // 3 // 2)
        parts = [turned(x[..., i * share : (i + 1) * share], axis) for i, axis in enumerate(axes)]
        return torch.cat([*parts, x[..., 3 * share :]], dim=-1)


class PlainBlock(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        hidden = round(size.dim * size.mlp_ratio)
        self.norm1 = nn.LayerNorm(size.dim, eps=NORM_EPS)
        self.attention = PlainAttention(size.dim, size.heads)
        self.norm2 = nn.LayerNorm(size.dim, eps=NORM_EPS)
        self.fc1 = nn.Linear(size.dim, hidden)
        self.fc2 = nn.Linear(hidden, size.dim)

    def forward(self, x: Tensor, index: Tensor | None, grid: Grid) -> Tensor:
        x = x + self.attention(self.norm1(x), index, grid)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class PlainNetwork(nn.Module):
    """Blocks that keep no activations, where `checkpointing` asks for it, and a last norm."""

    def __init__(self, size: Size, checkpointing: bool) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(PlainBlock(size) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.dim, eps=NORM_EPS)

    def through(self, x: Tensor, index: Tensor | None, grid: Grid) -> Tensor:
        for block in self.blocks:
            if self.checkpointing:
                x = checkpoint(block, x, index, grid, use_reentrant=False)
            else:
                x = block(x, index, grid)
        return self.norm(x)


class PlainEncoder(PlainNetwork):
    """Embeds the whole clip, then throws away the tokens that are not wanted."""

    def __init__(self, size: Size, tubelet: Grid, checkpointing: bool = True) -> None:
        super().__init__(size, checkpointing)
        self.tubelet = tubelet
        self.embed = nn.Conv3d(3, size.dim, kernel_size=tubelet, stride=tubelet)

    def forward(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        """`(B, 3, T, H, W)`, and token indices `(B, K)` or none -> `(B, K or N, D)`."""
        embedded = self.embed(clip)
        t, h, w = embedded.shape[2:]
        x = embedded.flatten(2).transpose(1, 2)
        return self.through(x if keep is None else taken(x, keep), keep, (t, h, w))


class PlainPredictor(PlainNetwork):
    """Sorts visible and hidden tokens into the order of the clip, and back again."""

    def __init__(self, size: Size, embed_dim: int, checkpointing: bool = True) -> None:
        super().__init__(size, checkpointing)
        self.enter = nn.Linear(embed_dim, size.dim)
        self.mask_tokens = nn.Parameter(0.02 * torch.randn(size.mask_tokens, size.dim))
        self.leave = nn.Linear(size.dim, embed_dim)

    def forward(self, context: Tensor, mask: Mask, grid: Grid, row: int) -> Tensor:
        """Context `(B, K, D)` of the mask number `row` -> latents `(B, M, D)`."""
        keep, hidden = mask
        visible = self.enter(context)
        blank = self.mask_tokens[row].repeat(len(context), grid[0] * grid[1] * grid[2], 1)
        x = torch.cat([visible, taken(blank, hidden)], dim=1)
        index = torch.cat([keep, hidden], dim=1)
        order = index.argsort(dim=1)
        index = torch.stack([index[i, row] for i, row in enumerate(order)])
        x = torch.stack([x[i, row] for i, row in enumerate(order)])
        x = self.through(x, index, grid)
        x = torch.stack([x[i, row] for i, row in enumerate(order.argsort(dim=1))])
        return self.leave(x[:, keep.shape[1] :])


@dataclass
class PlainLearner:
    """What one step changes."""

    encoder: PlainEncoder
    predictor: PlainPredictor
    target: PlainEncoder
    optimiser: torch.optim.Optimizer


def make_plain_learner(
    encoder: PlainEncoder, predictor: PlainPredictor, lr: float, weight_decay: float
) -> PlainLearner:
    """Target encoder as a copy, AdamW as PyTorch gives it; matrices decay, nothing else does."""
    parameters = [*encoder.parameters(), *predictor.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    target = copy.deepcopy(encoder).requires_grad_(False)
    return PlainLearner(encoder, predictor, target, torch.optim.AdamW(groups, lr=lr))


def plain_gradients(
    learner: PlainLearner, clip: Tensor, masks: Sequence[Mask], bfloat16: bool
) -> float:
    """V-JEPA's mean L1 error over all masks, and its gradients added to the parameters."""
    t, h, w = (n // p for n, p in zip(clip.shape[2:], learner.encoder.tubelet, strict=True))
    with torch.autocast(clip.device.type, torch.bfloat16, bfloat16):
        with torch.no_grad():
            target = learner.target(clip)
            target = F.layer_norm(target, target.shape[-1:])
        contexts = [learner.encoder(clip, keep) for keep, _ in masks]
        guesses = [
            learner.predictor(context, mask, (t, h, w), row)
            for row, (context, mask) in enumerate(zip(contexts, masks, strict=True))
        ]
        errors = [
            (guess - taken(target, hidden)).abs().mean()
            for guess, (_, hidden) in zip(guesses, masks, strict=True)
        ]
        loss = torch.stack(errors).mean()
    loss.backward()
    return float(loss.detach())


def plain_step(
    learner: PlainLearner, clip: Tensor, masks: Sequence[Mask], bfloat16: bool, decay: float
) -> float:
    """One step of optimiser and moving average on `clip (B, 3, T, H, W)`; returns the loss."""
    learner.optimiser.zero_grad()
    loss = plain_gradients(learner, clip, masks, bfloat16)
    learner.optimiser.step()
    with torch.no_grad():
        slow: list[Tensor] = list(learner.target.parameters())
        fast: list[Tensor] = list(learner.encoder.parameters())
        torch._foreach_mul_(slow, decay)
        torch._foreach_add_(slow, fast, alpha=1.0 - decay)
    return loss


def taken(x: Tensor, index: Tensor) -> Tensor:
    """Tokens `(B, M, D)` of `x (B, N, D)` at indices `(B, M)`."""
    return torch.gather(x, 1, index.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
