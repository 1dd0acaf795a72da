"""Which frame belongs to which instant: exact arithmetic on time stamps, no pixels.

All times are fractions of a second since the first frame, so 29.97 fps drifts nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")

LONGEST_GAP_S = 60
"""A longer silence between two frames is a broken clock, not a pause of the recording."""
LARGEST_REORDER_S = 1
"""A frame earlier than its predecessor by less is out of order; by more, the clock restarted."""


def on_grid(timed: Iterable[tuple[Fraction, T]], fps: Fraction, item_s: Fraction) -> Iterator[T]:
    """Yield for k = 0, 1, ... the item nearest in time to k / fps; of two as near, the earlier.

    `timed` holds (time, item) by ascending time, the first at 0. The grid ends half an item's time
    `item_s` behind the last item: N items at a rate that is a whole multiple m of `fps` give
    ceil(N / m), those with the numbers 0, m, 2 m, ... A source slower than `fps` repeats its items.
    """
    k = 0
    before: tuple[Fraction, T] | None = None
    for time, item in timed:
        while k / fps <= time:
            if before is not None and k / fps - before[0] <= time - k / fps:
                yield before[1]
            else:
                yield item
            k += 1
        before = time, item
    while before is not None and k / fps < before[0] + item_s / 2:
        yield before[1]
        k += 1


class Clock:
    """Presentation stamps of a stream -> times since its first frame that never run backwards.

    Stamps may start anywhere, be missing, jump or restart (joined or damaged files). A frame
    without a stamp follows its predecessor by one nominal frame; so does the first frame behind a
    jump, and `jumps` counts those.
    """

    def __init__(self, time_base: Fraction, frame_s: Fraction) -> None:
        self._time_base = time_base
        self.frame_s = frame_s
        self._shift: Fraction | None = None
        self._last: Fraction | None = None
        self._gaps: tuple[Fraction, Fraction] | None = None
        self.jumps = 0

    def time(self, stamp: int | None) -> Fraction:
        """Seconds since the first frame, for the next frame in order of presentation."""
        expected = self._last + self.frame_s if self._last is not None else Fraction(0)
        time = expected
        if stamp is not None:
            if self._shift is None:
                self._shift = expected - stamp * self._time_base
            time = self._steady(stamp * self._time_base + self._shift, expected)
        if self._last is not None:
            gap = time - self._last
            low, high = self._gaps or (gap, gap)
            self._gaps = min(low, gap), max(high, gap)
        self._last = time
        return time

    def _steady(self, time: Fraction, expected: Fraction) -> Fraction:
        last = self._last if self._last is not None else Fraction(0)
        if last <= time <= last + LONGEST_GAP_S:
            return time
        if last - LARGEST_REORDER_S < time < last:
            return last
        assert self._shift is not None
        self.jumps += 1
        self._shift += expected - time
        return expected

    @property
    def elapsed_s(self) -> float:
        """From the first frame to the end of the last, which lasts one nominal frame."""
        return 0.0 if self._last is None else float(self._last + self.frame_s)

    @property
    def longest_gap_s(self) -> float:
        """Between two frames that follow each other; NaN where there are no two."""
        return math.nan if self._gaps is None else float(self._gaps[1])

    @property
    def variable(self) -> bool:
        """Whether the gaps between frames differ by more than rounding of the stamps explains."""
        if self._gaps is None:
            return False
        low, high = self._gaps
        return high - low > 2 * self._time_base + Fraction(1, 500) + low / 5
