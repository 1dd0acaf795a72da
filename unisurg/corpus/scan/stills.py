"""Single frames beside the medians: text that stands too shortly for a median is seen on them.

Chosen are the first frame of every shot, where title cards begin, and a frame every EVERY_S of the
first and the last EDGE_S, where recorders name the patient; and the last frame. Which frames these
are follows from their number and shots alone (`chosen`), so that whoever reads them can tell
whether any is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.normalise import Sizer
from unisurg.corpus.scan.medians import Pictures, jpeg

EVERY_S = 10
EDGE_S = 60
MOST_SHOTS = 96
"""Of more shots every 2nd, 4th, ... is kept: no video has more than 110 stills."""
RECENT = 8
"""Frames of the grid that are held until it is told whether one of them begins a shot; a cut is
told two frames of the recording behind it."""


def chosen(shot_ids: NDArray[np.integer[Any]], fps: Fraction) -> list[int]:
    """Numbers of the stills, ascending, of a video whose frame k is of shot `shot_ids[k]`."""
    n_frames = len(shot_ids)
    if not n_frames:
        return []
    firsts = [0, *(np.flatnonzero(np.diff(shot_ids)) + 1).tolist()]
    step = 1
    while ceil(len(firsts) / step) > MOST_SHOTS:
        step *= 2
    stride, edge = _stride(fps), _edge(fps)
    regular = (k for k in range(0, n_frames, stride) if k < edge or k >= n_frames - edge)
    return sorted({*firsts[::step], *regular, n_frames - 1})


class Stills:
    """Collects the chosen frames while those of the grid pass by, in bounded memory."""

    def __init__(self, fps: Fraction, short_side_px: int, aspect: Fraction) -> None:
        self._stride, self._edge = _stride(fps), _edge(fps)
        self._sizer = Sizer(short_side_px, aspect)
        self._recent: deque[tuple[int, float, Any]] = deque(maxlen=RECENT)
        self._last: tuple[int, Any] | None = None
        self._early: dict[int, bytes] = {}
        self._late: deque[tuple[int, bytes]] = deque(maxlen=ceil(self._edge / self._stride) + 1)
        self._firsts: dict[int, bytes] = {}
        self._n_firsts, self._step = 0, 1
        self._newest_first = -1
        self._n_cuts = 0

    def see(self, k: int, time_s: float, frame: Any, cuts_s: Sequence[float]) -> None:
        """Take frame k of the grid, shown at `time_s`; `cuts_s` are all cuts told until now."""
        if not self._recent or time_s > self._recent[-1][1]:  # the grid may repeat a frame
            self._recent.append((k, time_s, frame))
        if k == 0:
            self._begin_shot(k, frame)
        self._settle(cuts_s)
        if k % self._stride == 0:
            picture = self._jpeg(frame)
            if k < self._edge:
                self._early[k] = picture
            self._late.append((k, picture))
        self._last = k, frame

    def pictures(self, cuts_s: Sequence[float]) -> Pictures:
        """The frames that `chosen` names, once all have been seen."""
        if self._last is None:
            return Pictures()
        self._settle(cuts_s)
        k, frame = self._last
        late = {i: picture for i, picture in self._late if i >= k + 1 - self._edge}
        found = self._early | late | self._firsts | {k: self._jpeg(frame)}
        return Pictures(found[i] for i in sorted(found))

    def _settle(self, cuts_s: Sequence[float]) -> None:
        """Keep the first frame of the grid behind every cut, as soon as it is there."""
        for cut_s in cuts_s[self._n_cuts :]:
            first = next(((k, f) for k, time_s, f in self._recent if time_s >= cut_s), None)
            if first is None:
                return
            self._n_cuts += 1
            self._begin_shot(*first)

    def _begin_shot(self, k: int, frame: Any) -> None:
        if k == self._newest_first:  # a shot without a frame of the grid went before
            return
        self._newest_first = k
        if self._n_firsts % self._step == 0:
            self._firsts[k] = self._jpeg(frame)
        self._n_firsts += 1
        if len(self._firsts) > MOST_SHOTS:
            self._step *= 2
            self._firsts = {i: self._firsts[i] for i in list(self._firsts)[::2]}

    def _jpeg(self, frame: Any) -> bytes:
        return jpeg(self._sizer(frame).to_ndarray(format="rgb24"))


def _stride(fps: Fraction) -> int:
    return max(1, round(EVERY_S * fps))


def _edge(fps: Fraction) -> int:
    """Frames of the grid in EDGE_S."""
    return max(1, round(EDGE_S * fps))
