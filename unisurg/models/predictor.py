"""The predictor: a narrow ViT that guesses hidden tokens from visible ones (V-JEPA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unisurg.models.blocks import initialise, make_blocks
from unisurg.models.positions import Grid, rotary_table, take_positions
from unisurg.models.sizes import predictor_size


class Predictor(nn.Module):
    """`z_hat = P(E(x), position)`: context tokens in, one latent per hidden position out.

    Args:
        size: name of a row of `sizes.PREDICTORS`.
        embed_dim: width of the encoder, in and out.
    """

    def __init__(self, size: str, embed_dim: int) -> None:
        super().__init__()
        row = predictor_size(size)
        self.size = size
        self.head_dim = row.head_dim
        self.enter = nn.Linear(embed_dim, row.dim)
        self.mask_token = nn.Parameter(torch.zeros(row.dim))
        self.blocks = make_blocks(row, drop_path=0.0)
        self.norm = nn.LayerNorm(row.dim)
        self.leave = nn.Linear(row.dim, embed_dim)
        initialise(self, self.blocks)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, context: Tensor, keep: Tensor, hidden: Tensor, grid: Grid) -> Tensor:
        """Predict the latents at hidden positions.

        Args:
            context: encoder's output at the visible tokens `(B, K, D)`.
            keep: their indices in the grid `(B, K)`.
            hidden: indices to predict `(B, M)`.
            grid: tokens of the whole clip in time, height and width.

        Returns:
            `(B, M, D)` in the order of `hidden`.
        """
        # Attention does not care about order: positions travel with the tokens, nothing is sorted.
        visible = self.enter(context).float()
        blank = self.mask_token.expand(*hidden.shape, -1)
        tokens = torch.cat([visible, blank], dim=1)
        table = rotary_table(grid, self.head_dim, context.device)
        turns = take_positions(table, torch.cat([keep, hidden], dim=1))
        for block in self.blocks:
            tokens = block(tokens, turns)
        return self.leave(self.norm(tokens[:, keep.shape[1] :]))
