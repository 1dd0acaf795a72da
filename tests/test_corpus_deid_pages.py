"""Which seconds go with a picture that is mostly text."""

from __future__ import annotations

from itertools import product
from math import ceil

import numpy as np
import pytest

from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.deid.pages import cut_out, is_page, spans_of_medians, spans_of_stills
from unisurg.corpus.deid.text import Found, Kind


def written(*rectangles: Rectangle) -> list[Found]:
    return [Found(one, Kind.TEXT, 0.9, "TEXT") for one in rectangles]


def test_a_page_is_a_picture_that_text_covers_more_of_than_may_be_painted() -> None:
    line = Rectangle(0.0, 0.0, 0.5, 0.2)
    assert not is_page([], 0.1)
    assert not is_page(written(line, line), 0.15)
    assert is_page(written(line, Rectangle(0.5, 0.5, 0.5, 0.2)), 0.15)


def test_no_second_of_a_text_is_left_that_any_median_shows() -> None:
    """All texts, in seconds, of all videos up to 20 s. A median shows what fills more than half of
    its span, so a text that begins or ends in the span beside it does so within half of that."""
    every_s = 6
    for duration_s, start_s in product(range(1, 21), range(20)):
        n_medians = ceil(duration_s / every_s)
        spans = spans_of_medians(n_medians, every_s, duration_s)
        own = [range(i * every_s, min((i + 1) * every_s, duration_s)) for i in range(n_medians)]
        for end_s in range(start_s + 1, duration_s + 1):
            shown = set(range(start_s, end_s))
            pages = [2 * len(shown & set(seconds)) > len(seconds) for seconds in own]
            cut = [span for span, page in zip(spans, pages, strict=True) if page]
            left = [s for s in shown if not any(a <= s and s + 1 <= b for a, b in cut)]
            assert not left or not any(pages)


def test_the_ghost_of_a_title_on_a_median_is_that_title() -> None:
    title = written(Rectangle(0.1, 0.1, 0.8, 0.3), Rectangle(0.1, 0.5, 0.8, 0.3))
    ghost = written(Rectangle(0.15, 0.15, 0.7, 0.2), Rectangle(0.1, 0.5, 0.6, 0.25))
    minute, shot = (0.0, 90.0), (0.0, 18.0)
    assert cut_out([ghost, title, []], [minute, shot, (18.0, 90.0)], 0.2) == [shot]
    assert cut_out([ghost, [], []], [minute, shot, (18.0, 90.0)], 0.2) == [minute]
    more = [*ghost, *written(Rectangle(0.0, 0.85, 1.0, 0.1))]
    assert cut_out([more, title], [minute, shot], 0.2) == [shot, minute]
    assert cut_out([title, title], [shot, shot], 0.2) == [shot]


def test_a_still_takes_its_whole_shot_along() -> None:
    shot_ids = np.array([4, 4, 4, 5, 5, 6], np.int32)
    spans = spans_of_stills([0, 2, 3, 5], shot_ids, grid_s=1.0, duration_s=6.4)
    assert spans == [(0.0, 3.0), (0.0, 3.0), (3.0, 5.0), (5.0, 6.4)]
    assert spans_of_stills([], np.zeros(0, np.int32), 1.0, 0.0) == []


@pytest.mark.parametrize("duration_s", [59.0, 60.0, 61.0])
def test_spans_of_medians_end_with_the_video(duration_s: float) -> None:
    spans = spans_of_medians(2, 60, duration_s)
    assert spans[0] == (0.0, min(90.0, duration_s))
    assert spans[-1][1] == duration_s
