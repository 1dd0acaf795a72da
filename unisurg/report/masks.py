"""What pretraining sees of a clip: frames, hidden tokens, motion scores, and what features tell."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, mosaic, panel, styled
from unisurg.report.palette import INK, MOTION, MUTED

COLUMNS = 8
HIDDEN = np.array([0.93, 0.925, 0.91])
ROWS = ("frames", "visible to\nthe encoder", "motion\nscores", "features")


@styled
def mask_figure(clip: np.ndarray, mask: np.ndarray, motion: np.ndarray, pca: np.ndarray) -> Figure:
    """Four rows of frames of one clip.

    Args:
        clip: (T, H, W, 3) uint8.
        mask: (t, h, w) bool, True where a token is hidden from the context encoder.
        motion: (t, h, w) scores, any scale; colours run from the clip's lowest to its highest.
        pca: (t, h, w, 3) uint8, the first three principal components of the features.
    """
    times = _spread(len(mask), COLUMNS)
    cell_in = (WIDTH_IN - 0.8) / len(times)
    height_in = len(ROWS) * cell_in * clip.shape[1] / clip.shape[2] + 0.3
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=mosaic())
    grid = figure.subplots(len(ROWS), len(times), squeeze=False)
    low, high = float(motion.min()), float(motion.max())
    scores = (motion - low) / (high - low) if high > low else np.zeros(motion.shape)
    for column, time in enumerate(times):
        frame = clip[time * len(clip) // len(mask)].astype(np.float32) / 255
        panel(grid[0, column], frame)
        panel(grid[1, column], np.where(_enlarge(mask[time], frame)[..., None], HIDDEN, frame))
        panel(grid[2, column], _heat(frame, _enlarge(scores[time], frame)))
        panel(grid[3, column], _enlarge(pca[time], frame) / 255)
        grid[0, column].set_title(
            f"frame {time * len(clip) // len(mask)}", color=MUTED, fontweight="normal", fontsize=8.5
        )
    for row, name in zip(grid[:, 0], ROWS, strict=True):
        row.text(
            -0.08,
            0.5,
            name,
            transform=row.transAxes,
            ha="right",
            va="center",
            color=INK,
            fontsize=9,
        )
    return figure


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` indices, evenly spread, first and last among them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()})


def _enlarge(grid: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Values of tokens (h, w) at the pixels of the frame (H, W, 3), each token a rectangle."""
    rows = np.arange(frame.shape[0]) * grid.shape[0] // frame.shape[0]
    columns = np.arange(frame.shape[1]) * grid.shape[1] // frame.shape[1]
    return grid[rows][:, columns]


def _heat(frame: np.ndarray, scores: np.ndarray) -> np.ndarray:
    grey = np.repeat(frame.mean(2, keepdims=True), 3, axis=2)
    return 0.35 * grey + 0.65 * mpl.colormaps[MOTION](scores)[..., :3]
