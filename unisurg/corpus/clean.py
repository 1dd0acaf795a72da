"""Measurements on the frames of a video -> which of its seconds are kept, and why not the rest.

A frame of the grid stands for the time until the next: frame k for [k grid_s, (k + 1) grid_s), the
last one to the end of the video. Nothing is deleted here; see `unisurg.corpus.intervals`. A shot
cut refuses nothing: it ends one piece of `keep` and begins the next, so that no clip reaches across
(curation reference 4.1, stages 5 and 8).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.intervals import Interval, Span, State, of_state, paint, whole

if TYPE_CHECKING:
    import pandas as pd

STAGE = "clean"
LOST = "declared by the header, but not in the recording"
LEAST_CARD = 2
"""Frames of a shot that can stand still: of one frame nobody can tell."""

Flags = NDArray[np.bool_]


class CleanError(ValueError):
    """The frames table cannot be judged; the message names the column and the remedy."""


@dataclass(frozen=True)
class CleanRules:
    """When seconds are refused. Luma is 0..255, shares are 0..1, times are seconds of video."""

    grid_s: float
    """Between two frames of the grid."""
    gap_s: float
    """A grid second whose nearest frame is further away than this is undecodable."""
    black_dark_frac: float
    """Black: at least this share of the pixels of the content box is dark (luma below 16)."""
    frozen_diff: float
    """Standing still: a mean luma difference to the frame before of at most this. A whole shot
    that does is a title card or a still picture."""
    frozen_s: float
    """Frozen: standing still for longer than this. The first showing of the picture is kept."""
    blur_lap_var: float
    """Blurred: a variance of the Laplacian, at short side 256, of at most this."""
    blur_s: float
    """A shorter blur is smoke, water or a fast move, and is kept."""
    short_s: float
    """A piece of `keep` that is shorter than this is refused as `short`."""
    across_cuts: bool
    """Whether a piece of `keep` may reach over shot cuts, for ablations."""


def clean(
    frames: pd.DataFrame,
    duration_s: float,
    rules: CleanRules,
    oob_spans: Sequence[Span] = (),
    page_spans: Sequence[Span] = (),
    lasts_s: float = 0.0,
) -> tuple[Interval, ...]:
    """The intervals of one video; they conserve its duration.

    Of several reasons the first in this order wins: out of the body (so that no such second is ever
    shown under another name), undecodable, black, nonsurgical, frozen, blur, short. What is kept
    of each shot is an interval of its own, whose reason names the shot; of a video without a cut,
    or with `rules.across_cuts`, it has none.

    Args:
        frames: rows of the table `frames` of this video: k, pts_s (seconds since the first frame),
            dark_frac, lap_var, diff_prev (NaN: no frame before), shot_id.
        duration_s: of the video, as far as it could be decoded.
        rules: thresholds.
        oob_spans: [start, end) in seconds that a detector calls out of the body.
        page_spans: the same in which the picture may be mostly text.
        lasts_s: of the whole recording, where its end was lost; that is undecodable.

    Raises:
        CleanError: a frame twice, a frame behind the end, or a measurement that is no number.
    """
    grid = _Grid(frames, duration_s, rules.grid_s)
    intervals = whole(max(duration_s, lasts_s))
    if not rules.across_cuts:
        intervals = _by_shot(intervals, grid)
    intervals = paint(intervals, [(duration_s, lasts_s)], State.UNDECODABLE, LOST, STAGE)
    intervals = paint(intervals, oob_spans, State.OOB, "by the detector", STAGE)
    intervals = paint(intervals, page_spans, State.NONSURGICAL, "a page of text", STAGE)
    for state, reason, flags, longer_than_s in _judged(grid, rules):
        intervals = paint(intervals, grid.spans(flags, longer_than_s), state, reason, STAGE)
    return short_refused(intervals, rules.short_s)


def short_refused(
    intervals: Sequence[Interval], short_s: float, stage: str = STAGE
) -> tuple[Interval, ...]:
    """Paint `short` over pieces of `keep` below `short_s`; once more after each later painting."""
    pieces = [(i.start_s, i.end_s) for i in of_state(intervals, State.KEEP) if i.seconds < short_s]
    return paint(intervals, pieces, State.SHORT, f"piece shorter than {short_s:g} s", stage)


def _by_shot(intervals: tuple[Interval, ...], grid: _Grid) -> tuple[Interval, ...]:
    """A video that is `keep`, cut where the shots of its frames change: on the grid, so that no
    frame lies on a cut. Touching intervals with different reasons stay apart."""
    if len(grid.shots) < 2 or not intervals:
        return intervals
    [video] = intervals
    shots = [(grid.start_s(first), f"shot {shot}") for first, _, shot in grid.shots]
    within = [(start_s, said) for start_s, said in shots if start_s < video.end_s]
    ends = [*(start_s for start_s, _ in within[1:]), video.end_s]
    return tuple(
        Interval(start_s, end_s, State.KEEP, said, STAGE)
        for (start_s, said), end_s in zip(within, ends, strict=True)
    )


def _judged(grid: _Grid, rules: CleanRules) -> Iterator[tuple[State, str, Flags, float]]:
    """(state, reason, which cells, only runs longer than so many seconds), the strongest first."""
    gap = grid.distance_s > rules.gap_s
    yield State.UNDECODABLE, f"no frame within {rules.gap_s:g} s", gap, 0.0

    black = grid.column("dark_frac") >= rules.black_dark_frac
    yield State.BLACK, f"dark_frac >= {rules.black_dark_frac:g}", black, 0.0

    # A gap that the nearest frame fills, or darkness, stands still too but is not a frozen picture.
    still = (grid.column("diff_prev") <= rules.frozen_diff) & ~gap & ~black
    seen = f"diff_prev <= {rules.frozen_diff:g}"
    yield State.NONSURGICAL, f"a shot in which nothing moves, {seen}", _cards(grid, still), 0.0

    yield State.FROZEN, f"{seen} for more than {rules.frozen_s:g} s", still, rules.frozen_s

    blurred = (grid.column("lap_var") <= rules.blur_lap_var) & ~gap & ~black
    reason = f"lap_var <= {rules.blur_lap_var:g} for more than {rules.blur_s:g} s"
    yield State.BLUR, reason, blurred, rules.blur_s


def _cards(grid: _Grid, still: Flags) -> Flags:
    """The cells of shots in which nothing moves from the first frame to the last.

    Where a video has no cut, nothing tells a card from a picture that froze.
    """
    flags = np.zeros(len(still), bool)
    for first, behind, _ in grid.shots if len(grid.shots) > 1 else ():
        # The cut to a card moves a lot: its first frame is still because those behind it are.
        if behind - first >= LEAST_CARD and still[first + 1 : behind].all():
            flags[first:behind] = True
    return flags


class _Grid:
    """The frames of a video by their place in time: one cell a frame, also where there is none."""

    def __init__(self, frames: pd.DataFrame, duration_s: float, grid_s: float) -> None:
        self._frames = frames
        self._k = frames["k"].to_numpy(np.int64)
        _check(frames, self._k, duration_s, grid_s)
        # Less than half a cell behind the last frame is still that frame's time.
        cells = max(1, math.ceil(duration_s / grid_s - 0.5), int(self._k.max(initial=-1)) + 1)
        starts = np.arange(cells) * grid_s
        self._starts = starts.tolist()
        self._ends = [*self._starts[1:], max(duration_s, self._starts[-1])]
        self._grid_s = grid_s
        absent = np.full(cells, np.inf)
        absent[self._k] = np.abs(frames["pts_s"].to_numpy(float) - starts[self._k])
        self.distance_s = absent
        """From each cell's instant to its frame, infinite where there is none."""
        self.shots = self._shots()
        """(first cell, cell behind the last, shot_id) of each shot that has a frame; they leave no
        cell out: one without a frame belongs to the shot of the frame before it."""

    def start_s(self, cell: int) -> float:
        return self._starts[cell]

    def column(self, name: str) -> NDArray[np.float64]:
        """Values by cell, NaN where there is no frame."""
        values = np.full(len(self._starts), np.nan)
        values[self._k] = self._frames[name].to_numpy(np.float64, na_value=np.nan)
        return values

    def _shots(self) -> list[tuple[int, int, int]]:
        order = np.argsort(self._k)
        cells, ids = self._k[order], self._frames["shot_id"].to_numpy(np.int64)[order]
        begins = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
        firsts = [0, *cells[begins[1:]].tolist()]
        behinds = [*firsts[1:], len(self._starts)]
        return list(zip(firsts, behinds, ids[begins].tolist(), strict=True)) if len(ids) else []

    def spans(self, flags: Flags, longer_than_s: float) -> Iterator[Span]:
        """Runs of flagged cells that last longer than so many seconds."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
        for first, behind in edges.reshape(-1, 2).tolist():
            if (behind - first) * self._grid_s > longer_than_s:
                yield self._starts[first], self._ends[behind - 1]


def _check(frames: pd.DataFrame, k: NDArray[np.int64], duration_s: float, grid_s: float) -> None:
    if len(np.unique(k)) < len(k) or k.min(initial=0) < 0:
        raise CleanError("frames: column k names a frame twice or below 0; scan the video again")
    if k.max(initial=0) * grid_s > duration_s + grid_s:
        raise CleanError(
            f"frames: column k reaches {k.max() * grid_s:g} s in a video of {duration_s:g} s; "
            "the grid is another one, or the video was probed wrongly"
        )
    for name in ("pts_s", "dark_frac", "lap_var"):
        if wrong := int(frames[name].isna().sum()):
            raise CleanError(f"frames: {wrong} rows without a {name}; scan the video again")
