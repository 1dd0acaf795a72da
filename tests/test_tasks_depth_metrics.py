"""Depth metrics agree with hand-worked frames; every scaling and every reading has its own name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unisurg.evaluation.statistics import value
from unisurg.tasks import depth_metrics
from unisurg.tasks.depth_metrics import measure, names, tables


def of(truth: list[float], predicted: list[float]) -> dict[str, float]:
    return measure(np.array([truth]), np.array([predicted]))


def test_the_four_errors_are_counted_by_hand() -> None:
    found = of([10, 20, 40, 50], [12, 20, 30, 50])
    assert found["abs_rel_unscaled"] == pytest.approx((0.2 + 0.25) / 4)
    assert found["sq_rel_mm_unscaled"] == pytest.approx((4 / 10 + 100 / 40) / 4)
    assert found["rmse_mm_unscaled"] == pytest.approx(math.sqrt(104 / 4))
    logs = math.log(1.2) ** 2 + math.log(0.75) ** 2
    assert found["rmse_log_unscaled"] == pytest.approx(math.sqrt(logs / 4))


def test_the_two_readings_of_delta_differ_below_the_truth() -> None:
    # 9.05 is 9.5 % short of 10, and 10 is 10.5 % more than 9.05.
    found = of([10, 10, 10, 10], [9.05, 10.95, 7.9, 12.6])
    assert found["delta_1.1_relative_unscaled"] == 0.5
    assert found["delta_1.1_ratio_unscaled"] == 0.25
    assert found["delta_1.25_relative_unscaled"] == 0.75
    assert found["delta_1.25_ratio_unscaled"] == 0.5


@pytest.mark.parametrize("predicted", [[11.0], [1e3], [0.0]])
def test_a_delta_has_both_readings_for_every_limit_and_scaling(predicted: list[float]) -> None:
    assert sorted(of([10.0], predicted)) == sorted(names())
    assert len(names()) == 3 * (4 + 2 * 2)


def test_pixels_without_truth_are_left_out() -> None:
    full, holed = of([10, 20], [11, 22]), of([10, 0, 20, 0], [11, 99, 22, 0])
    assert holed == full


def test_the_median_scale_brings_the_medians_together() -> None:
    truth, predicted = np.array([10.0, 20, 60]), np.array([1.0, 4, 5])
    assert depth_metrics.median_scale(truth, predicted) == 5
    found = of([10, 20, 60], [1, 4, 5])
    assert found["abs_rel_median_scaled"] == pytest.approx((0.5 + 0 + 35 / 60) / 3)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 3.0])
def test_a_prediction_that_is_off_by_a_factor_is_right_when_scaled(factor: float) -> None:
    truth = np.linspace(5, 90, 600).reshape(20, 30)
    found = measure(truth, truth / factor)
    assert found["abs_rel_median_scaled"] == pytest.approx(0, abs=1e-12)
    assert found["abs_rel_ppsnet_scaled"] == pytest.approx(0, abs=1e-5)
    assert (found["abs_rel_unscaled"] > 0.05) == (factor != 1)


def test_ppsnets_scale_does_not_see_the_worst_pixels_and_the_median_error_cannot_be_bettered() -> (
    None
):
    rng = np.random.default_rng(0)
    truth = rng.uniform(5, 90, 4001)
    predicted = truth / 1.3 * rng.normal(1, 0.02, truth.shape)
    predicted[:1500] *= 4
    factor = depth_metrics.ppsnet_scale(truth, predicted)
    assert factor == pytest.approx(1.3, rel=0.02)
    assert depth_metrics.median_scale(truth, predicted) < 1.2

    def median_error(scale: float) -> float:
        return float(np.median((truth - scale * predicted) ** 2))

    around = [median_error(factor * (1 + change)) for change in (-0.1, -0.03, 0.03, 0.1)]
    assert min(around) > median_error(factor)


def test_ppsnets_scale_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(1)
    truth, noise = rng.uniform(5, 90, 2000), rng.normal(1, 0.1, 2000)
    in_mm = depth_metrics.ppsnet_scale(truth, truth * noise)
    in_metres = depth_metrics.ppsnet_scale(truth / 1000, truth * noise / 1000)
    assert in_metres == pytest.approx(in_mm, rel=1e-6)


def test_frames_are_averaged_within_a_sequence_and_sequences_then_count_alike() -> None:
    frame = np.array([[10.0]])
    sequences = [[frame * 1.1, frame * 1.1, frame * 1.4], [frame * 1.5]]
    truths = [[frame] * 3, [frame]]
    found = tables(truths, sequences)["abs_rel_unscaled"]
    assert found[:, 0] == pytest.approx([0.2, 0.5])
    assert value(found) == pytest.approx(0.35)


def test_frames_come_one_by_one_and_those_without_truth_are_left_out() -> None:
    frame, empty = np.array([[10.0]]), np.zeros((1, 1))
    truths = [iter([frame, empty]), iter([empty])]
    found = tables(truths, (iter(p) for p in ([frame * 1.1, frame], [frame])))
    assert {table.shape for table in found.values()} == {(2, 1)}
    assert found["abs_rel_unscaled"][0, 0] == pytest.approx(0.1)
    assert all(np.isnan(table[1, 0]) for table in found.values())


def test_a_depth_below_the_floor_is_taken_as_the_floor() -> None:
    assert of([10, 20], [-5, 20]) == of([10, 20], [depth_metrics.FLOOR_MM, 20])
    assert all(math.isfinite(number) for number in of([10.0, 20.0], [0.0, 0.0]).values())


def test_what_cannot_be_measured_is_refused() -> None:
    frame = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 2\) for a truth of \(2, 3\)"):
        measure(frame, np.ones((2, 2)))
    with pytest.raises(ValueError, match="not finite"):
        measure(frame, np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="zip"):
        tables([[frame, frame]], [[frame]])
    with pytest.raises(ValueError, match="no sequence"):
        tables([], [])


@pytest.mark.parametrize("name", names())
def test_a_metric_measured_alone_is_the_one_among_all(name: str) -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(5, 90, (30, 40))
    found = truth * rng.normal(1, 0.1, truth.shape)
    assert measure(truth, found, [name]) == {name: measure(truth, found)[name]}


def test_what_is_not_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def dear(*_: object) -> float:
        raise AssertionError("measured")

    for name in ("median_scaled", "ppsnet_scaled"):
        monkeypatch.setitem(depth_metrics.SCALINGS, name, depth_metrics.Scaling(dear))
    monkeypatch.setitem(depth_metrics.RULES, "rmse_log", dear)
    frame = np.array([[10.0]])
    found = tables([[frame]], [[frame]], ["delta_1.1_ratio_unscaled"])
    assert {name: table.tolist() for name, table in found.items()} == {
        "delta_1.1_ratio_unscaled": [[1.0]]
    }


def test_ppsnets_numbers_are_of_384_pixels_a_side_and_smaller_frames_are_whole() -> None:
    rng = np.random.default_rng(3)
    small = rng.uniform(5, 90, (384, 200))
    found = small * rng.normal(1, 0.1, small.shape)
    # Twice as high: of two rows the lower one is seen.
    truth, high = (np.repeat(plane, 2, axis=0) for plane in (small, found))
    truth[::2], high[::2] = 50.0, 1.0
    whole, part = measure(truth, high), measure(small, found)
    for name in names():
        assert (whole[name] == part[name]) == name.endswith("ppsnet_scaled")


def test_a_frame_whose_only_truth_lies_between_the_thinned_pixels_has_no_number_of_ppsnet() -> None:
    truth = np.zeros((2 * 384, 384))
    truth[0, 0] = 10.0
    found = tables([[truth]], [[truth]], ["abs_rel_unscaled", "abs_rel_ppsnet_scaled"])
    assert found["abs_rel_unscaled"].tolist() == [[0.0]]
    assert np.isnan(found["abs_rel_ppsnet_scaled"]).all()
