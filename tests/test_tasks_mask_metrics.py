"""Mask metrics equal the public implementation, and say what they claim on hand-worked masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unisurg.tasks import mask_metrics
from unisurg.tasks.mask_metrics import measure, normalised, tables

KINDS = ("raw", "minmax")
# Of `drawn`, by PySODMetrics 1.6.2 with `normalize=False` (`minmax`: of the stretched scores).
# `test_every_metric_is_that_of_pysodmetrics` asks the package itself, where it is installed.
GOLDEN: dict[int, dict[str, float]] = {
    0: {
        "s_measure_raw": 0.537279870786,
        "e_measure_mean_raw": 0.551920680733,
        "e_measure_max_per_picture_raw": 0.965500276770,
        "e_measure_adaptive_raw": 0.942456482236,
        "weighted_f_raw": 0.157026951529,
        "mae_raw": 0.261640332640,
        "mean_dice_256_thresholds_raw": 0.347839273420,
        "mean_dice_threshold_0.5": 0.700787401575,
        "mean_iou_256_thresholds_raw": 0.235904624395,
        "mean_iou_threshold_0.5": 0.539393939394,
        "s_measure_minmax": 0.542881409160,
        "e_measure_mean_minmax": 0.588370784193,
        "e_measure_max_per_picture_minmax": 0.965500276770,
        "e_measure_adaptive_minmax": 0.932769072227,
        "weighted_f_minmax": 0.173317860185,
        "mae_minmax": 0.246484554155,
        "mean_dice_256_thresholds_minmax": 0.384993903534,
        "mean_iou_256_thresholds_minmax": 0.261810752809,
    },
    1: {
        "s_measure_raw": 0.607828541305,
        "e_measure_mean_raw": 0.557123088708,
        "e_measure_max_per_picture_raw": 0.945703152703,
        "e_measure_adaptive_raw": 0.931457158840,
        "weighted_f_raw": 0.282581908333,
        "mae_raw": 0.273628765792,
        "mean_dice_256_thresholds_raw": 0.413408862330,
        "mean_dice_threshold_0.5": 0.738955823293,
        "mean_iou_256_thresholds_raw": 0.285705568723,
        "mean_iou_threshold_0.5": 0.585987261146,
        "s_measure_minmax": 0.618724110819,
        "e_measure_mean_minmax": 0.592784942214,
        "e_measure_max_per_picture_minmax": 0.945703152703,
        "e_measure_adaptive_minmax": 0.942574630453,
        "weighted_f_minmax": 0.306592410861,
        "mae_minmax": 0.257505553242,
        "mean_dice_256_thresholds_minmax": 0.451899374125,
        "mean_iou_256_thresholds_minmax": 0.313562380976,
    },
    2: {
        "s_measure_raw": 0.638058655555,
        "e_measure_mean_raw": 0.548842488049,
        "e_measure_max_per_picture_raw": 0.903340762975,
        "e_measure_adaptive_raw": 0.814156347561,
        "weighted_f_raw": 0.389818602729,
        "mae_raw": 0.291742830712,
        "mean_dice_256_thresholds_raw": 0.456247597114,
        "mean_dice_threshold_0.5": 0.745679012346,
        "mean_iou_256_thresholds_raw": 0.318244550015,
        "mean_iou_threshold_0.5": 0.594488188976,
        "s_measure_minmax": 0.650195527825,
        "e_measure_mean_minmax": 0.583560794940,
        "e_measure_max_per_picture_minmax": 0.903340762975,
        "e_measure_adaptive_minmax": 0.857655881973,
        "weighted_f_minmax": 0.416680185492,
        "mae_minmax": 0.275548846967,
        "mean_dice_256_thresholds_minmax": 0.494329728663,
        "mean_iou_256_thresholds_minmax": 0.346244887615,
    },
}


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc and scores of a shifted disc under noise, all of whole numbers: (H, W) each."""
    height, width = 37 + 5 * number, 52 - 3 * number
    row, column = np.mgrid[:height, :width]
    truth = (row - 17) ** 2 + (column - 20) ** 2 < (6 + 3 * number) ** 2
    found = (row - 19) ** 2 + (column - 22 - number) ** 2 < (7 + 2 * number) ** 2
    noise = (7 * row * row + 13 * row * column + 29 * column + 3 * number) % 397
    return truth, (40 + 500 * found + noise) / 1000


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = rng.integers(5, 90, 2)
    truth = ndimage.gaussian_filter(rng.normal(size=size), 3) > rng.normal() * 0.02
    truth[size[0] // 2, size[1] // 2] = True
    scores = ndimage.gaussian_filter(rng.random(size) * 1.2 - 0.1 + 0.5 * truth, seed % 3)
    scores = scores.clip(0, 1)
    return truth, np.round(scores * 255) / 255 if seed % 2 else scores


def by_pysodmetrics(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    sod = pytest.importorskip("py_sod_metrics", reason="PySODMetrics is not installed")
    found = {}
    for kind, given in (("raw", scores), ("minmax", normalised(scores))):
        s, e, f, mae = sod.Smeasure(0.5), sod.Emeasure(), sod.WeightedFmeasure(1), sod.MAE()
        rates = {"with_dynamic": True, "with_adaptive": False, "with_binary": True}
        overlaps = sod.FmeasureV2(
            {
                "dice": sod.DICEHandler(**rates, sample_based=True),
                "iou": sod.IOUHandler(**rates, sample_based=True),
            }
        )
        for metric in (s, e, f, mae, overlaps):
            metric.step(given.astype(float), truth, normalize=False)
        aligned, rates = e.get_results()["em"], overlaps.get_results()
        found |= {
            f"s_measure_{kind}": s.get_results()["sm"],
            f"e_measure_mean_{kind}": aligned["curve"].mean(),
            f"e_measure_max_per_picture_{kind}": aligned["curve"].max(),
            f"e_measure_adaptive_{kind}": aligned["adp"],
            f"weighted_f_{kind}": f.get_results()["wfm"],
            f"mae_{kind}": mae.get_results()["mae"],
        }
        for name in ("dice", "iou"):
            found[f"mean_{name}_256_thresholds_{kind}"] = rates[name]["dynamic"].mean()
            if kind == "raw":
                found[f"mean_{name}_threshold_0.5"] = rates[name]["binary"]
    return {name: float(value) for name, value in found.items()}


# --- the public implementation ----------------------------------------------------------------


@pytest.mark.parametrize("number", range(3))
def test_every_metric_is_as_pysodmetrics_printed_it(number: int) -> None:
    truth, scores = drawn(number)
    assert measure(truth, scores) == pytest.approx(GOLDEN[number], abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_every_metric_is_that_of_pysodmetrics(seed: int) -> None:
    truth, scores = random_pair(seed)
    assert measure(truth, scores) == pytest.approx(by_pysodmetrics(truth, scores), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_dice_and_iou_at_one_half_alone_are_those_among_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [rng.random((9, 7)) > 0.6 for _ in range(3)]
    scores = [rng.random((9, 7)) for _ in truths]
    everything = mask_metrics.tables(truths, scores)
    for name, table in mask_metrics.tables_at_half(truths, scores).items():
        assert np.array_equal(table, everything[name])


# --- what they mean ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_has_no_error(kind: str) -> None:
    truth, _ = drawn(1)
    found = measure(truth, truth.astype(float))
    for name in ("s_measure", "weighted_f"):
        assert found[f"{name}_{kind}"] == pytest.approx(1)
    assert found[f"mae_{kind}"] == 0
    # At threshold 0 all is foreground; the authors divide by one pixel too few.
    assert found[f"e_measure_max_per_picture_{kind}"] == pytest.approx(
        truth.size / (truth.size - 1)
    )
    share = truth.mean()
    at_zero = 2 * share / (1 + share)
    assert found[f"mean_dice_256_thresholds_{kind}"] == pytest.approx((255 + at_zero) / 256)


def test_dice_and_iou_at_one_half_are_counted_by_hand() -> None:
    truth = np.array([[True, True, False, False]])
    found = measure(truth, np.array([[0.5, 0.4, 0.6, 0.1]]))
    assert found["mean_dice_threshold_0.5"] == 0.5
    assert found["mean_iou_threshold_0.5"] == pytest.approx(1 / 3)


def test_dice_over_thresholds_is_the_mean_of_256_masks() -> None:
    truth, scores = drawn(2)
    dices = []
    for k in range(256):
        kept = scores >= k / 255
        dices.append(2 * (kept & truth).sum() / (kept.sum() + truth.sum()))
    assert measure(truth, scores)["mean_dice_256_thresholds_raw"] == pytest.approx(np.mean(dices))


def test_a_score_at_a_threshold_is_kept_by_it() -> None:
    scores = (np.arange(256) / 255)[None]
    counts = mask_metrics.count_thresholds(np.ones((1, 256), bool), scores)
    assert counts.hit.tolist() == list(range(256, 0, -1))


def test_stretching_a_faint_prediction_changes_what_is_called_minmax_alone() -> None:
    truth, scores = drawn(0)
    plain, faint = measure(truth, scores), measure(truth, scores / 4)
    same = {name for name in plain if faint[name] == plain[name]}
    assert same >= {name for name in plain if name.endswith("_minmax")}
    # The best and the adaptive threshold of the E-measure go with the scores.
    assert {name for name in same if name.endswith("_raw")} <= {
        "e_measure_max_per_picture_raw",
        "e_measure_adaptive_raw",
    }


def test_the_weighted_f_minds_an_error_far_away_more_than_one_at_the_edge() -> None:
    truth = np.zeros((40, 40), bool)
    truth[10:20, 10:20] = True
    beside, far = truth.astype(float), truth.astype(float)
    beside[12:18, 20] = 1
    far[12:18, 38] = 1
    assert mask_metrics.weighted_f(truth, beside) > mask_metrics.weighted_f(truth, far)
    assert measure(truth, beside)["mae_raw"] == measure(truth, far)["mae_raw"]


def test_the_printed_max_of_e_is_at_one_threshold_for_all_pictures() -> None:
    pairs = [drawn(number) for number in range(3)]
    truths, scores = [t for t, _ in pairs], [s for _, s in pairs]
    found = mask_metrics.drawn(truths, scores)
    alone = np.vstack([np.ones(3), np.eye(3)])
    for kind in KINDS:
        of_set, *of_each = found[f"e_measure_max_{kind}"](alone)
        expected = tables(truths, scores)[f"e_measure_max_per_picture_{kind}"][:, 0]
        assert of_each == pytest.approx(expected)
        assert of_set < np.mean(expected)


def test_a_picture_that_is_drawn_twice_counts_twice_for_the_max_of_e() -> None:
    pairs = [drawn(number) for number in (0, 1, 1)]
    thrice = mask_metrics.drawn([t for t, _ in pairs], [s for _, s in pairs])
    twice = mask_metrics.drawn([t for t, _ in pairs[:2]], [s for _, s in pairs[:2]])
    name = "e_measure_max_minmax"
    assert twice[name](np.array([[1, 2]])) == pytest.approx(thrice[name](np.ones((1, 3))))


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("full", [False, True])
def test_a_picture_without_polyp_and_one_full_of_it_have_numbers(full: bool, value: float) -> None:
    truth = np.full((8, 9), full)
    found = measure(truth, np.full((8, 9), value))
    assert all(np.isfinite(number) for number in found.values())
    assert found["s_measure_raw"] == pytest.approx(value if full else 1 - value)
    assert found["mean_dice_threshold_0.5"] == float((value >= 0.5) == full)


def test_a_single_pixel_of_polyp_in_a_corner_has_numbers() -> None:
    truth = np.zeros((6, 7), bool)
    truth[-1, -1] = True
    assert all(np.isfinite(number) for number in measure(truth, truth * 0.7).values())


def test_tables_have_a_row_per_picture_and_take_them_one_by_one() -> None:
    pairs = [drawn(number) for number in range(3)]
    found = tables((t for t, _ in pairs), (s for _, s in pairs))
    assert {table.shape for table in found.values()} == {(3, 1)}
    assert found["mae_raw"][1, 0] == measure(*pairs[1])["mae_raw"]


@pytest.mark.parametrize(
    ("truth", "scores", "told"),
    [
        (np.ones((2, 2), bool), np.ones((2, 3)), r"\(2, 3\) for a truth of \(2, 2\)"),
        (np.ones((2, 2)), np.ones((2, 2)), "truth bool"),
        (np.ones((2, 2), bool), np.full((2, 2), 1.5), "within 0..1"),
        (np.ones((2, 2), bool), np.full((2, 2), np.nan), "within 0..1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    truth: np.ndarray, scores: np.ndarray, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        measure(truth, scores)
    for of_set in (tables, mask_metrics.drawn):
        with pytest.raises(ValueError, match="no picture"):
            of_set([], [])
