"""The predictor: a narrow ViT that guesses hidden tokens from visible ones (V-JEPA).

With pixels for an output it is VideoMAE's decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unisurg.models.blocks import NORM_EPS, initialise, make_blocks, run_block
from unisurg.models.positions import Grid, Rotary, RotaryDtype, rotary_table, take_positions
from unisurg.models.sizes import Size, predictor_size


class Predictor(nn.Module):
    """`z_hat = P(E(x), position)`: context tokens in, one vector per hidden position out.

    Args:
        size: name of a row of `sizes.PREDICTORS`, or a row.
        embed_dim: width of the encoder.
        out_dim: width of a prediction [`embed_dim`].
        rotary, rotary_dtype, checkpointing: as for the encoder.
    """

    def __init__(
        self,
        size: str | Size,
        embed_dim: int,
        out_dim: int | None = None,
        rotary: Rotary = "exact",
        rotary_dtype: RotaryDtype = "float32",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        row = predictor_size(size) if isinstance(size, str) else size
        self.size = row
        self.rotary: Rotary = rotary
        self.rotary_dtype: RotaryDtype = rotary_dtype
        self.checkpointing = checkpointing
        self.enter = nn.Linear(embed_dim, row.dim)
        self.mask_tokens = nn.Parameter(torch.zeros(row.mask_tokens, row.dim))
        self.blocks = make_blocks(row, drop_path=0.0)
        self.norm = nn.LayerNorm(row.dim, eps=NORM_EPS)
        self.leave = nn.Linear(row.dim, embed_dim if out_dim is None else out_dim)
        initialise(self, self.blocks)
        nn.init.trunc_normal_(self.mask_tokens, std=0.02)

    def forward(
        self,
        context: Tensor,
        keep: Tensor,
        hidden: Tensor,
        grid: Grid,
        row: int = 0,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Predict what is at hidden positions.

        Args:
            context: encoder's output at the visible tokens `(B, K, D)`.
            keep: their indices in the grid `(B, K)`.
            hidden: indices to predict `(B, M)`.
            grid: tokens of the whole clip in time, height and width.
            row: which kind of mask this is; its mask token is number `row % mask_tokens`.
            valid: bool `(B, K + M)`, False where `keep` or `hidden` is padding: any index, whose
                token the others do not see and whose output means nothing.

        Returns:
            `(B, M, out_dim)` in the order of `hidden`.
        """
        # Attention does not care about order: positions travel with the tokens, nothing is sorted.
        visible = self.enter(context).float()
        blank = self.mask_tokens[row % len(self.mask_tokens)].expand(*hidden.shape, -1)
        tokens = torch.cat([visible, blank], dim=1)
        table = rotary_table(
            grid, self.size.head_dim, context.device, self.rotary, self.rotary_dtype
        )
        turns = take_positions(table, torch.cat([keep, hidden], dim=1))
        *blocks, last = self.blocks
        for block in blocks:
            tokens = run_block(block, tokens, turns, valid, self.checkpointing)
        # Nobody reads what the last block makes of visible tokens.
        tokens = run_block(last, tokens, turns, valid, self.checkpointing, keep.shape[1])
        return self.leave(self.norm(tokens))
