"""The video encoder: a plain pre-norm ViT over tubelets with 3D rotary positions (V-JEPA 2).

No class token, no learned positions, no fixed input size: any number of frames and any picture that
the tubelet divides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from unisurg.models.blocks import NORM_EPS, initialise, make_blocks, run_block
from unisurg.models.positions import (
    Grid,
    Rotary,
    RotaryDtype,
    Turns,
    rotary_table,
    take_positions,
)
from unisurg.models.sizes import Size, encoder_size

CHANNELS = 3


class VisionTransformer(nn.Module):
    """Clip in, one token per tubelet out.

    Args:
        size: name of a row of `sizes.ENCODERS`, or a row.
        tubelet: frames, height and width in pixels of one token.
        drop_path: largest rate of stochastic depth, reached in the last block; 0 switches it off.
        rotary: convention of the positions, see `positions`.
        rotary_dtype: in which their frequencies are built.
        checkpointing: compute a block's activations anew in the backward pass, to save memory.
    """

    def __init__(
        self,
        size: str | Size,
        tubelet: Sequence[int],
        drop_path: float,
        rotary: Rotary = "exact",
        rotary_dtype: RotaryDtype = "float32",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        row = encoder_size(size) if isinstance(size, str) else size
        frames, height, width = tubelet
        self.size = row
        self.tubelet: Grid = (frames, height, width)
        self.embed_dim = row.dim
        self.rotary: Rotary = rotary
        self.rotary_dtype: RotaryDtype = rotary_dtype
        self.checkpointing = checkpointing
        self.embed = nn.Linear(CHANNELS * frames * height * width, row.dim)
        self.blocks = make_blocks(row, drop_path)
        self.norm = nn.LayerNorm(row.dim, eps=NORM_EPS)
        initialise(self, self.blocks)

    def grid(self, frames: int, height: int, width: int) -> Grid:
        """Tokens in time, height and width of a clip of that size.

        Raises:
            ValueError: the tubelet does not divide the clip.
        """
        names = ("frames", "height", "width")
        clip = (frames, height, width)
        for name, length, step in zip(names, clip, self.tubelet, strict=True):
            if length == 0 or length % step:
                raise ValueError(
                    f"clip of {length} {name}: tubelet {self.tubelet} needs a multiple of {step}"
                )
        t, h, w = (length // step for length, step in zip(clip, self.tubelet, strict=True))
        return t, h, w

    def forward(
        self, clip: Tensor, keep: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Encode a clip, or only some of its tubelets.

        Args:
            clip: normalised float `(B, 3, T, H, W)`, see `normalise.to_input`.
            keep: token indices `(B, K)`; without it all `N = t * h * w` tokens are encoded.
            valid: bool `(B, K)`, False where `keep` is padding: any index, whose token the others
                do not see and whose output means nothing. Every clip keeps at least one token.

        Returns:
            Tokens `(B, K, D)` or `(B, N, D)`, time outermost, after the final norm.

        Raises:
            ValueError: the clip has another layout, or the tubelet does not divide it.
        """
        tokens, turns = self._start(clip, keep)
        for block in self.blocks:
            tokens = run_block(block, tokens, turns, valid, self.checkpointing)
        return self.norm(tokens)

    def features(self, clip: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Tokens `(B, N, D)` after the named blocks (0 is the first), each after the final norm.

        Raises:
            ValueError: a layer the encoder does not have.
        """
        last = len(self.blocks) - 1
        if not layers or min(layers) < 0 or max(layers) > last:
            raise ValueError(f"layers {list(layers)}: this encoder has 0 to {last}")
        tokens, turns = self._start(clip, None)
        seen = []
        for block in self.blocks[: max(layers) + 1]:
            tokens = run_block(block, tokens, turns, None, self.checkpointing)
            seen.append(tokens)
        return [self.norm(seen[layer]) for layer in layers]

    def side_by_side(self, clip: Tensor, layers: Sequence[int]) -> Tensor:
        """What `features` gives of k layers, one after the other: `(B, N, k D)`.

        Without any layer the tokens that the encoder gives in the end, `(B, N, D)`.
        """
        return torch.cat(self.features(clip, layers), dim=-1) if layers else self(clip)

    def _start(self, clip: Tensor, keep: Tensor | None) -> tuple[Tensor, Turns]:
        """Embedded tubelets and the turns of their positions."""
        if clip.ndim != 5 or clip.shape[1] != CHANNELS:
            raise ValueError(f"clip of shape {tuple(clip.shape)}: expected (B, 3, T, H, W)")
        grid = self.grid(*clip.shape[2:])
        table = rotary_table(grid, self.size.head_dim, clip.device, self.rotary, self.rotary_dtype)
        turns = take_positions(table, keep)
        # Autocast would hand on bfloat16; the residual stream stays in float32.
        return self.embed(self._tubelets(clip, keep)).float(), turns

    def _tubelets(self, clip: Tensor, keep: Tensor | None) -> Tensor:
        """Pixels of the wanted tubelets `(B, K, 3 * t * h * w)`, channel outermost."""
        p, q, r = self.tubelet
        if keep is None:
            pattern = "b c (t p) (h q) (w r) -> b (t h w) (c p q r)"
            return rearrange(clip, pattern, p=p, q=q, r=r)
        # A view: the pixels of hidden tubelets are never copied.
        parts = rearrange(clip, "b c (t p) (h q) (w r) -> b t h w c p q r", p=p, q=q, r=r)
        h, w = parts.shape[2:4]
        batch = torch.arange(len(clip), device=clip.device).unsqueeze(1)
        return parts[batch, keep // (h * w), keep // w % h, keep % w].flatten(2)
