"""A contact sheet: small pictures side by side, each under a line or two of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, styled
from unisurg.report.palette import MUTED

SQUARES_BELOW_PX = 32
"""A smaller picture was pixelated on purpose; its squares are drawn as squares."""
LINE_IN = 0.13
GAP_IN = 0.04
GAP_PX = 4


@dataclass(frozen=True)
class Tile:
    """A picture, uint8 (H, W, 3), and what stands above it."""

    picture: np.ndarray
    lines: tuple[str, ...]


@styled
def contact_figure(tiles: Sequence[Tile], columns: int = 6) -> Figure:
    """At least one tile, in rows of `columns`."""
    rows = -(-len(tiles) // columns)
    width_in = WIDTH_IN / columns
    words_in = 0.1 + LINE_IN * max(len(tile.lines) for tile in tiles)
    tall_in = (width_in - GAP_IN) * max(_proportion(tile) for tile in tiles)
    row_in = words_in + tall_in + GAP_IN
    figure = Figure(figsize=(WIDTH_IN, rows * row_in))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = column / columns, 1 - (row * row_in + words_in) / (rows * row_in)
        height = tall_in / (rows * row_in)
        # Places are known, so no layout engine need look for them: that takes it seconds a sheet.
        axes = figure.add_axes((left, top - height, (width_in - GAP_IN) / WIDTH_IN, height))
        squares = max(tile.picture.shape[:2]) < SQUARES_BELOW_PX
        axes.imshow(tile.picture, interpolation="nearest" if squares else "lanczos")
        axes.set_axis_off()
        axes.set_anchor("NW")
        figure.text(left, top, "\n".join(tile.lines), fontsize=7.5, color=MUTED, va="bottom")
    return figure


def _proportion(tile: Tile) -> float:
    return tile.picture.shape[0] / tile.picture.shape[1]


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures (H, W, 3) as one, on white, with a gap between them."""
    height = max(left.shape[0], right.shape[0])
    width = left.shape[1] + GAP_PX + right.shape[1]
    both = np.full((height, width, 3), 255, np.uint8)
    both[: left.shape[0], : left.shape[1]] = left
    both[: right.shape[0], -right.shape[1] :] = right
    return both
