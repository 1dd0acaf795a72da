"""A contact sheet: one frame of many clips of the curated corpus, by specialty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from unisurg.report.drawing import WIDTH_IN, mosaic, panel, styled

COLUMNS = 6
MOST = 24


def frames_of(corpus: Path, manifest: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """The middle frame of up to 24 clips, the same number of every specialty; (specialty, frame).

    Clips that are not on this machine are left out: the corpus may have been moved away.
    """
    from unisurg.video.decode import open_clip

    groups = [group for _, group in manifest.groupby("specialty", sort=True)]
    each = max(1, MOST // max(1, len(groups)))
    chosen = [row for group in groups for row in group.sort_values("video_id")[:each].itertuples()]
    frames = []
    for row in chosen[:MOST]:
        clip = corpus / str(row.clip)
        if clip.is_file():
            frames.append((str(row.specialty), open_clip(clip).read([int(row.n_frames) // 2])[0]))
    return frames


@styled
def contact_figure(frames: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Frames side by side, each under the name of its specialty; frames are (H, W, 3) uint8."""
    rows = -(-len(frames) // COLUMNS)
    height_in = rows * (WIDTH_IN / COLUMNS + 0.22)
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=mosaic())
    for axes in (grid := list(figure.subplots(rows, COLUMNS, squeeze=False).flat)):
        axes.set_axis_off()
    for axes, (specialty, frame) in zip(grid, frames, strict=False):
        panel(axes, frame)
        axes.set_title(specialty.replace("_", " "), fontsize=8.5, fontweight="normal", pad=3)
    return figure
