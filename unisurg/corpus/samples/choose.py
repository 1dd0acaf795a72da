"""Which moments stand for many: spread over videos and over time, and nothing left to chance.

A video's id is a digest of its bytes, so an order by it is no order of arrival, of name or of date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(frames: Mapping[str, Sequence[range]], most: int) -> list[tuple[str, int]]:
    """At most `most` (video, frame): as many videos as can be, and of each evenly spread frames.

    Args:
        frames: video -> the frames that may be taken, in ranges by ascending time.
    """
    room = {video: sum(map(len, frames[video])) for video in sorted(frames)}
    shares = dict.fromkeys(room, 0)
    left = min(most, sum(room.values()))
    while left:
        for video in [video for video in room if shares[video] < room[video]][:left]:
            shares[video] += 1
            left -= 1
    return [
        (video, _nth(frames[video], place))
        for video, share in shares.items()
        for place in evenly(room[video], share)
    ]


def evenly(n: int, most: int) -> list[int]:
    """At most `most` numbers of 0..n - 1, in the middles of equal parts."""
    parts = min(n, most)
    return [(2 * part + 1) * n // (2 * parts) for part in range(parts)]


def thinned(rows: Sequence[T], most: int) -> list[T]:
    """At most `most` of the rows, evenly spread from the first to the last."""
    return [rows[place] for place in evenly(len(rows), most)]


def _nth(ranges: Sequence[range], place: int) -> int:
    """Number `place` of all frames of the ranges one after the other."""
    for frames in ranges:
        if place < len(frames):
            return frames[place]
        place -= len(frames)
    raise IndexError(place)
