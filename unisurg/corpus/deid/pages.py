"""Pictures that are mostly text: title cards, forms, screens. They are cut out, not painted.

Painting covers a place in all frames of a video, which suits what a recorder burns in; a page of
text would turn the operation behind it black, or have the whole video refused. What is cut is all
the time in which the page may have been shown (`spans_of_medians`, `spans_of_stills`), so that no
frame with its text is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.deid.overlays import Rectangle, painted_share
from unisurg.corpus.deid.text import Found

Span = tuple[float, float]
"""[start, end) in seconds."""


def cut_out(
    found: Sequence[Sequence[Found]], spans: Sequence[Span], most_share: float
) -> list[Span]:
    """The time in which pages may be shown, in order.

    A page whose text stands in the same places on another page of less time within its own, as the
    ghost of a title does on the median of the minute that it opens, is that one.

    Args:
        found: text on each picture.
        spans: time for which each picture speaks.
    """
    pages = [i for i, on_one in enumerate(found) if is_page(on_one, most_share)]
    own = [i for i in pages if not any(_tells(found, spans, j, i) for j in pages)]
    return sorted({spans[i] for i in own})


def _tells(found: Sequence[Sequence[Found]], spans: Sequence[Span], j: int, i: int) -> bool:
    (start, end), (from_s, to_s) = spans[i], spans[j]
    shorter = start <= from_s and to_s <= end and to_s - from_s < end - start
    return shorter and all(
        any(_holds(other.rectangle, one.rectangle) for other in found[j]) for one in found[i]
    )


def _holds(outer: Rectangle, inner: Rectangle) -> bool:
    """Whether the middle of `inner` lies in `outer`."""
    x, y = inner.x + inner.w / 2, inner.y + inner.h / 2
    return outer.x <= x <= outer.x + outer.w and outer.y <= y <= outer.y + outer.h


def is_page(found: Sequence[Found], most_share: float) -> bool:
    """Whether the text on one picture covers more than this share of it."""
    return painted_share(one.rectangle for one in found) > most_share


def spans_of_medians(n_medians: int, every_s: float, duration_s: float) -> list[Span]:
    """The time for which each median may speak: its own, and half as much on both sides.

    A text stands on the median of every span of which it fills more than half. So one that reaches
    from a page into the span beside it, and is not to be seen on that one's median, ends within its
    first half.
    """
    half = every_s / 2
    return [
        (max(0.0, i * every_s - half), min((i + 1) * every_s + half, duration_s))
        for i in range(n_medians)
    ]


def spans_of_stills(
    stills: Sequence[int],
    shot_ids: NDArray[np.integer[Any]],
    grid_s: float,
    duration_s: float,
) -> list[Span]:
    """The shot in which each still lies.

    Args:
        stills: numbers of frames of the grid, as of `scan.stills.chosen`.
        shot_ids: of each frame of the grid.
    """
    firsts = np.flatnonzero(np.diff(shot_ids, prepend=shot_ids[:1] - 1))
    behind = np.append(firsts[1:], len(shot_ids))
    shot_of = np.searchsorted(firsts, np.asarray(stills, np.int64), side="right") - 1
    ends = np.where(behind == len(shot_ids), duration_s, behind * grid_s)
    return [(float(firsts[s] * grid_s), float(ends[s])) for s in shot_of]
