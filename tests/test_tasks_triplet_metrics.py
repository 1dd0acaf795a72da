"""Average precision of triplets is that of `ivtmetrics`, over videos and over all frames."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ivtmetrics import Recognition, recognition
from sklearn.metrics import average_precision_score

from unisurg.benchmarks.cholect50 import COMPONENTS, INSTRUMENTS, TRIPLETS
from unisurg.evaluation.statistics import draw_cases, value
from unisurg.tasks import triplet_metrics

CLASSES = len(TRIPLETS)
NULLS = len(INSTRUMENTS)
Videos = tuple[list[np.ndarray], list[np.ndarray]]


def random_videos(seed: int) -> Videos:
    """Four videos of 12 to 32 frames; the scores favour the truth a little; most triplets rare."""
    rng = np.random.default_rng(seed)
    often = rng.random(CLASSES) ** 4 / 3
    truths = [(rng.random((n, CLASSES)) < often).astype(np.int8) for n in rng.integers(12, 33, 4)]
    return truths, [rng.random(rows.shape) + 0.4 * rows for rows in truths]


def tied() -> Videos:
    """Scores of three values only, so that whole frames tie."""
    truths, scores = random_videos(5)
    return truths, [np.round(rows * 2) / 2 for rows in scores]


def alike() -> Videos:
    """A head that says the same of every frame: precision is the share of frames."""
    truths, _ = random_videos(6)
    return truths, [np.full(rows.shape, 0.5) for rows in truths]


def hostile() -> Videos:
    """Scores that rank every frame that shows a triplet below every other."""
    truths, _ = random_videos(7)
    return truths, [1.0 - rows for rows in truths]


def bare() -> Videos:
    """A video of one frame, one that shows nothing at all, one where one triplet never stops."""
    truths, scores = random_videos(8)
    truths[0], scores[0] = truths[0][:1], scores[0][:1]
    truths[1] = np.zeros_like(truths[1])
    truths[2][:, 17] = 1
    return truths, scores


CASES = {
    **{f"random {seed}": random_videos(seed) for seed in range(2)},
    "tied": tied(),
    "alike": alike(),
    "hostile": hostile(),
    "bare": bare(),
}


def zeros_signed(truth: np.ndarray, scores: np.ndarray, average: None) -> np.ndarray:
    """Scikit-learn's score before 1.3, whose absent classes are -0.0, which the package drops."""
    found, shown = np.full(truth.shape[1], -0.0), truth.any(0)
    if shown.any():
        found[shown] = average_precision_score(truth[:, shown], scores[:, shown], average=average)
    return found


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> type[Recognition]:
    monkeypatch.setattr(recognition, "average_precision_score", zeros_signed)
    warnings.simplefilter("ignore")
    return Recognition


def filled(package: type[Recognition], videos: Videos) -> Recognition:
    judge = package(CLASSES)
    for truth, scores in zip(*videos, strict=True):
        judge.update(truth, scores)
        judge.video_end()
    return judge


def tables(videos: Videos) -> dict[str, np.ndarray]:
    return triplet_metrics.tables(*videos, COMPONENTS, NULLS)


def drawn(videos: Videos, draws: np.ndarray) -> dict[str, np.ndarray]:
    found = triplet_metrics.drawn(*videos, COMPONENTS, NULLS)
    return {name: metric(draws) for name, metric in found.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_video_wise_precision_is_the_packages_for_every_component(
    case: str, package: type[Recognition]
) -> None:
    judge, found = filled(package, CASES[case]), tables(CASES[case])
    for name in COMPONENTS:
        table = found[f"ap_{name}_videowise"]
        theirs = judge.compute_video_AP(name)
        per_class = [value(table[:, [k]]) for k in range(table.shape[1])]
        np.testing.assert_allclose(per_class, theirs["AP"], rtol=0, atol=1e-9)
        assert value(table) == pytest.approx(theirs["mAP"], abs=1e-9)
    without = judge.compute_video_AP("ivt", ignore_null=True)["mAP"]
    assert value(found["ap_ivt_videowise_without_null"]) == pytest.approx(without, abs=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_precision_over_all_frames_is_the_packages_for_every_component(
    case: str, package: type[Recognition]
) -> None:
    judge, found = filled(package, CASES[case]), drawn(CASES[case], np.ones((1, 4)))
    for name, of in COMPONENTS.items():
        theirs = judge.compute_global_AP(name)
        classes = triplet_metrics.ap_global(*CASES[case], of, np.ones((1, 4)))[0]
        np.testing.assert_allclose(classes, theirs["AP"], rtol=0, atol=1e-9)
        assert found[f"ap_{name}_global"][0] == pytest.approx(theirs["mAP"], abs=1e-9)
    without = judge.compute_global_AP("ivt", ignore_null=True)["mAP"]
    assert found["ap_ivt_global_without_null"][0] == pytest.approx(without, abs=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("best", triplet_metrics.BEST)
def test_recall_of_the_best_triplets_is_the_packages_top_k(
    seed: int, best: int, package: type[Recognition]
) -> None:
    videos = random_videos(seed)
    found = value(tables(videos)[f"recall_top{best}_ivt_over_frames"])
    assert found == pytest.approx(filled(package, videos).topK(best), abs=1e-12)


def test_a_class_that_no_frame_shows_does_not_count_as_a_zero() -> None:
    truth = np.zeros((4, CLASSES), np.int8)
    truth[:2, 17] = 1
    scores = np.zeros((4, CLASSES))
    scores[:, 17] = [4, 3, 2, 1]
    found = tables(([truth], [scores]))
    assert value(found["ap_ivt_videowise"]) == 1.0
    assert np.isfinite(found["ap_ivt_videowise"]).sum() == 1


def test_a_hand_worked_precision() -> None:
    truth = np.zeros((4, CLASSES), np.int8)
    truth[[0, 3], 94] = 1
    scores = np.zeros((4, CLASSES))
    scores[:, 94] = [0.9, 0.8, 0.8, 0.7]
    found = tables(([truth], [scores]))
    # The frames that show it come first of one and last of four.
    assert value(found["ap_ivt_videowise"]) == pytest.approx((1 / 1 + 2 / 4) / 2)
    # Triplet 94 is a null triplet, and the null verb and the null target count in V and T.
    assert np.isnan(value(found["ap_ivt_videowise_without_null"]))
    assert value(found["ap_v_videowise"]) == pytest.approx(0.75)
    assert value(found["ap_t_videowise"]) == pytest.approx(0.75)


def test_a_component_is_seen_and_scored_where_its_likeliest_triplet_is() -> None:
    rows = np.zeros((1, CLASSES))
    rows[0, [22, 44]] = [0.3, 0.6]
    assert triplet_metrics.group(rows, COMPONENTS["i"])[0].tolist() == [0, 0.6, 0, 0, 0, 0]
    verbs = triplet_metrics.group(rows, COMPONENTS["v"])[0]
    assert verbs[[1, 3]].tolist() == [0.6, 0.3]


def test_frames_that_nobody_labelled_change_nothing() -> None:
    truths, scores = random_videos(1)
    rng = np.random.default_rng(0)
    more = [np.vstack([rows, np.full((9, CLASSES), -1, np.int8)]) for rows in truths]
    guesses = [np.vstack([rows, rng.random((9, CLASSES))]) for rows in scores]
    for name, table in tables((more, guesses)).items():
        np.testing.assert_array_equal(table, tables((truths, scores))[name])


def test_a_video_drawn_twice_adds_its_frames_twice_and_one_not_drawn_adds_none() -> None:
    truths, scores = tied()
    draws = np.array([[2.0, 0, 1, 1]])
    picked = [0, 0, 2, 3]
    repeated = [truths[i] for i in picked], [scores[i] for i in picked]
    found, expected = drawn((truths, scores), draws), drawn(repeated, np.ones((1, 4)))
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-12)


def test_draws_are_looked_at_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    videos, draws = random_videos(2), draw_cases(4, 6, seed=0).astype(float)
    together = drawn(videos, draws)["ap_ivt_global"]
    monkeypatch.setattr(triplet_metrics, "CHUNK", 3)
    singly = [drawn(videos, row[None])["ap_ivt_global"][0] for row in draws]
    np.testing.assert_allclose(together, singly, atol=1e-12)
    assert together.std() > 0


def test_precision_depends_on_the_order_of_scores_alone() -> None:
    truths, scores = random_videos(3)
    bent = [np.exp(3 * rows) for rows in scores]
    for name, table in tables((truths, scores)).items():
        np.testing.assert_allclose(table, tables((truths, bent))[name])


@pytest.mark.parametrize(
    ("truth", "scores", "problem"),
    [
        (np.zeros((2, 100)), np.zeros((3, 100)), "scores of shape"),
        (np.zeros((2, 100)), np.full((2, 100), np.nan), "not finite"),
        (np.full((2, 100), 2), np.zeros((2, 100)), "neither 0 nor 1"),
        (np.eye(2, 100) - 1, np.zeros((2, 100)), "nor is its whole row -1"),
        (np.full((2, 100), -1), np.zeros((2, 100)), "no frame is labelled"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    truth: np.ndarray, scores: np.ndarray, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        tables(([truth], [scores]))


def test_with_and_without_null_precisions_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    count = triplet_metrics.ap_global

    def counting(truths: object, scores: object, of: np.ndarray, draws: np.ndarray) -> np.ndarray:
        counted.append(len(np.unique(of)))
        return count(truths, scores, of, draws)

    monkeypatch.setattr(triplet_metrics, "ap_global", counting)
    videos, draws = random_videos(2), draw_cases(4, 9, 0)
    found = triplet_metrics.drawn(*videos, COMPONENTS, NULLS)
    both = [found[f"ap_ivt_global{end}"](draws.copy()) for end in ("", "_without_null")]
    assert counted == [CLASSES]
    classes = count(*videos, COMPONENTS["ivt"], draws)
    for means, kept in zip(both, (CLASSES, CLASSES - NULLS), strict=True):
        np.testing.assert_allclose(means, np.nanmean(classes[:, :kept], axis=1))
    other = found["ap_ivt_global"](draws[::-1])
    np.testing.assert_array_equal(other, both[0][::-1])
    assert counted == [CLASSES, CLASSES]
