"""Edit score and segmental F1 look at segments, not at seconds."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from unisurg.evaluation.statistics import value
from unisurg.tasks.edit import edit_score, edit_score_per_video, levenshtein
from unisurg.tasks.segments import (
    best_overlaps,
    f1_segmental_pooled,
    labelled,
    segmental_counts,
    segments,
)


def letters(word: str) -> np.ndarray:
    """A second per letter; a dot is a second that is not scored."""
    return np.array([-1 if letter == "." else ord(letter) for letter in word], int)


# --- segments ---------------------------------------------------------------------------------


def test_segments_partition_the_seconds() -> None:
    labels, lengths = segments(np.array([2, 2, 0, 1, 1, 1, 2]))
    assert labels.tolist() == [2, 0, 1, 2]
    assert lengths.tolist() == [2, 1, 3, 1]


def test_no_seconds_have_no_segments() -> None:
    labels, lengths = segments(np.array([], int))
    assert (len(labels), len(lengths)) == (0, 0)


def test_the_segments_on_both_sides_of_an_ignored_gap_touch() -> None:
    truth, prediction = labelled(letters("aa..ab"), letters("xyzzxy"))
    assert truth.tolist() == letters("aaab").tolist()
    assert prediction.tolist() == letters("xyxy").tolist()


# --- edit score -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "prediction", "score"),
    [
        ("aabbcc", "aabbcc", 1.0),
        ("aabbcc", "abbbbc", 1.0),  # the order of segments counts, not their length
        ("abc", "acb", 1 - 2 / 3),
        ("aaaa", "abab", 1 - 3 / 4),
        ("aaaa", "bbbb", 0.0),
        ("aab..baa", "aabccbaa", 1.0),  # what is predicted in a gap does not count
        ("a..a", "abba", 1.0),  # and the sides of the gap are one segment
    ],
)
def test_the_edit_score_compares_the_order_of_segments(
    truth: str, prediction: str, score: float
) -> None:
    assert math.isclose(edit_score(letters(truth), letters(prediction)), score)


def test_the_edit_score_is_a_mean_over_the_videos_that_are_scored() -> None:
    truths = [letters("aabb"), letters("aaaa"), letters("....")]
    predictions = [letters("aabb"), letters("bbbb"), letters("abab")]
    table = edit_score_per_video(truths, predictions)["edit_score_per_video"]
    assert np.array_equal(table, [[1.0], [0.0], [np.nan]], equal_nan=True)
    assert value(table) == 0.5


@pytest.mark.parametrize("seed", range(20))
def test_the_distance_is_the_one_of_the_recursive_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = (rng.integers(0, 3, rng.integers(0, 7)) for _ in range(2))

    @functools.cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + int(ours[i - 1] != theirs[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, replaced)

    assert levenshtein(ours, theirs) == distance(len(ours), len(theirs))


# --- segmental F1 -----------------------------------------------------------------------------


def test_segmental_f1_of_a_hand_worked_video() -> None:
    truth, prediction = letters("aaaaaaaabb"), letters("aaaccccbbb")
    # a: 3 of 8 s, IoU 0.375; c: none; b: 2 of 3 s, IoU 0.667. Three predicted, two true.
    index, iou = best_overlaps(truth, prediction)
    assert index[[0, 2]].tolist() == [0, 1]
    assert iou.tolist() == [3 / 8, 0.0, 2 / 3]
    tables = f1_segmental_pooled([truth], [prediction])
    found = {name: value(table) for name, table in tables.items()}
    assert found == {
        "f1_at_10_segmental_pooled": 2 * 2 / 5,
        "f1_at_25_segmental_pooled": 2 * 2 / 5,
        "f1_at_50_segmental_pooled": 2 * 1 / 5,
    }


def test_an_overlap_equal_to_the_threshold_is_enough() -> None:
    truth, prediction = letters("a" * 10 + "b"), letters("a" + "b" * 10)
    for overlap, part in ((0.1, 4), (0.1001, 0)):
        assert segmental_counts(truth, prediction, overlap) == (part, 4)


def test_a_true_segment_makes_one_predicted_segment_right() -> None:
    truth, prediction = letters("aaaaaaaaaa"), letters("aaaabaaaaa")
    # Two a of IoU 0.4 and 0.5 go to the one true segment; the other and b are wrong.
    assert segmental_counts(truth, prediction, 0.25) == (2, 4)


def test_a_segment_that_spans_two_of_its_label_goes_to_the_larger_overlap_only() -> None:
    truth, prediction = letters("aaabaaaa"), letters("aaaaaaaa")
    index, iou = best_overlaps(truth, prediction)
    assert (index.tolist(), iou.tolist()) == ([2], [0.5])
    assert segmental_counts(truth, prediction, 0.25) == (2, 4)
    equal = letters("aaabaaa"), letters("aaaaaaa")
    assert best_overlaps(*equal)[0].tolist() == [0]  # of equals the first


def test_segments_are_counted_over_all_videos_before_f1_is_taken() -> None:
    truths = [letters("ab"), letters("aaaa"), letters("...")]
    predictions = [letters("ab"), letters("abab"), letters("aba")]
    table = f1_segmental_pooled(truths, predictions)["f1_at_50_segmental_pooled"]
    # 2 right of 2 + 2, then none of 4 + 1 (IoU 0.25); a mean over videos would be 0.5.
    assert table.tolist() == [[[4.0, 4.0]], [[0.0, 5.0]], [[0.0, 0.0]]]
    assert value(table) == 4 / 9


@pytest.mark.parametrize("seed", range(10))
def test_right_segments_are_those_that_a_search_in_order_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, 3, 12), rng.integers(1, 9, 12))
    prediction = np.where(rng.random(len(truth)) < 0.7, truth, rng.integers(0, 3, len(truth)))

    def spans(labels: np.ndarray) -> list[tuple[int, set[int]]]:
        names, lengths = segments(labels)
        ends = lengths.cumsum()
        return [
            (int(n), set(range(e - k, e))) for n, k, e in zip(names, lengths, ends, strict=True)
        ]

    for overlap in (0.1, 0.25, 0.5):
        taken: set[int] = set()
        for name, seconds in spans(prediction):
            ious = [
                len(seconds & true) / len(seconds | true) if name == label else 0.0
                for label, true in spans(truth)
            ]
            if max(ious) >= overlap:
                taken.add(ious.index(max(ious)))
        total = len(spans(prediction)) + len(spans(truth))
        assert segmental_counts(truth, prediction, overlap) == (2 * len(taken), total)
