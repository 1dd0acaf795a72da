"""An out-of-body detector is a plug-in: frames -> probabilities -> spans; broken ones are named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from deid_onnx import red_is_inside

from unisurg.corpus.deid.outside import (
    Card,
    Detector,
    DetectorError,
    OutsideRules,
    outside_spans,
)

RED, BLUE = (200, 40, 40), (40, 60, 160)
RULES = OutsideRules(hold=0.6, fill_s=3.0, margin_s=1.0)


def frames(colours: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return [np.full((24, 40, 3), colour, np.uint8) for colour in colours]


def test_red_frames_are_inside_and_others_outside(tmp_path: Path) -> None:
    answer = Detector(red_is_inside(tmp_path), batch=2)(frames([RED, BLUE, RED, BLUE, BLUE]))
    assert answer.dtype == np.float32
    assert (answer > 0.5).tolist() == [False, True, False, True, True]


def test_the_probability_is_what_the_card_and_the_network_say(tmp_path: Path) -> None:
    card = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
    [answer] = Detector(red_is_inside(tmp_path, **card), batch=1)(frames([RED]))
    r, g, b = (np.array(RED) / 255 - card["mean"]) / card["std"]
    assert answer == pytest.approx(1 / (1 + np.exp(8 * r - 4 * g - 4 * b)), rel=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
@pytest.mark.parametrize("built_for", ["n", 1, 4])
def test_neither_the_batch_nor_what_the_network_was_built_for_changes_the_answer(
    tmp_path: Path, batch: int, built_for: int | str
) -> None:
    seen = frames([RED, BLUE, RED, BLUE, RED, BLUE, BLUE])
    plain = Detector(red_is_inside(tmp_path / "plain"), batch=7)(seen)
    other = Detector(red_is_inside(tmp_path / "other", batch=built_for), batch=batch)(seen)
    np.testing.assert_allclose(other, plain, rtol=1e-6)


def test_layout_and_order_of_channels_are_the_cards(tmp_path: Path) -> None:
    seen = frames([RED, BLUE])
    plain = Detector(red_is_inside(tmp_path / "plain"), batch=2)(seen)
    last = Detector(red_is_inside(tmp_path / "last", layout="NHWC"), batch=2)(seen)
    np.testing.assert_allclose(last, plain, rtol=1e-6)
    turned = Detector(red_is_inside(tmp_path / "turned", channels="BGR"), batch=2)
    np.testing.assert_allclose(turned([f[..., ::-1] for f in seen]), plain, rtol=1e-6)


def test_a_sigmoid_of_one_column_and_a_ready_probability_are_read_alike(tmp_path: Path) -> None:
    column = [[-8.0], [4.0], [4.0]]
    how = {"columns": column, "activation": "sigmoid", "outside": 0}
    answer = Detector(red_is_inside(tmp_path / "a", **how), batch=2)(frames([RED, BLUE]))
    assert (answer > 0.5).tolist() == [False, True]
    ready = {"columns": [[0.0], [0.5], [0.5]], "activation": "none", "outside": 0}
    [half] = Detector(red_is_inside(tmp_path / "b", **ready), batch=2)(frames([(0, 51, 51)]))
    assert half == pytest.approx(0.2, rel=1e-5)


def test_frames_are_taken_batch_by_batch(tmp_path: Path) -> None:
    detector = Detector(red_is_inside(tmp_path), batch=4)
    taken = 0

    def endless() -> object:
        nonlocal taken
        for _ in range(9):
            taken += 1
            yield np.zeros((6, 8, 3), np.uint8)
        raise RuntimeError("the tenth")

    with pytest.raises(RuntimeError, match="the tenth"):
        detector(endless())
    assert taken == 9
    assert len(detector([])) == 0


def test_a_folder_and_its_file_are_the_same_plug_in_and_its_digest_tells_any_change(
    tmp_path: Path,
) -> None:
    folder = red_is_inside(tmp_path / "a")
    digest = Detector(folder, batch=1).digest
    assert Detector(folder / "detector.onnx", batch=1).digest == digest
    assert Detector(red_is_inside(tmp_path / "b", threshold=0.4), batch=1).digest != digest


@pytest.mark.parametrize("field", list(Card.model_fields))
def test_a_card_without_a_field_names_it_and_says_what_to_give(tmp_path: Path, field: str) -> None:
    with pytest.raises(DetectorError, match=rf"detector\.yaml: field '{field}': .*; give "):
        Detector(red_is_inside(tmp_path, **{field: None}), batch=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"width_px": 9},
            r"it takes frames tensor\(float\).*correct width_px, height_px or layout",
        ),
        ({"opset": 999}, r"onnxruntime .* cannot load it: .*opset.*export it anew"),
        ({"output": 1}, "it has 1 outputs; correct `output`"),
        ({"outside": 2}, "2 columns, none of them number 2; correct `outside`"),
        (
            {"activation": "none", "outside": 0, "mean": [9.0, 0.0, 0.0]},
            "no probability; set activation",
        ),
        ({"threshold": 1.0}, "field 'threshold'"),
        ({"std": [1.0, 0.0, 1.0]}, "field 'std'.*three numbers above 0"),
        ({"activation": "tanh"}, "field 'activation'.*softmax or sigmoid"),
        ({"colour": "red"}, "field 'colour' is not known; remove it"),
    ],
)
def test_a_plug_in_that_does_not_fit_is_refused_before_any_frame(
    tmp_path: Path, change: dict, said: str
) -> None:
    with pytest.raises(DetectorError, match=said):
        Detector(red_is_inside(tmp_path, **change), batch=1)


def test_a_network_of_one_layout_and_a_card_of_the_other_do_not_fit(tmp_path: Path) -> None:
    card = red_is_inside(tmp_path) / "detector.yaml"
    card.write_text(card.read_text().replace("NCHW", "NHWC"))
    with pytest.raises(DetectorError, match="the card says float frames"):
        Detector(tmp_path, batch=1)


def test_files_that_are_absent_or_none_of_the_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"detector\.yaml: no such file"):
        Detector(tmp_path, batch=1)
    folder = red_is_inside(tmp_path)
    (folder / "detector.onnx").write_bytes(b"no network")
    with pytest.raises(DetectorError, match=r"detector\.onnx: onnxruntime .* cannot load it"):
        Detector(folder, batch=1)
    (folder / "detector.onnx").unlink()
    with pytest.raises(DetectorError, match=r"detector\.onnx: no such file"):
        Detector(folder, batch=1)
    for text, said in (
        ("a: [", "no YAML"),
        ("", "wanted the fields"),
        ("- a", "wanted the fields"),
    ):
        (folder / "detector.yaml").write_text(text)
        with pytest.raises(DetectorError, match=said):
            Detector(folder, batch=1)


def test_an_answer_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    nan = float("nan")
    with pytest.raises(DetectorError, match="no probability"):
        Detector(red_is_inside(tmp_path, columns=[[nan, 0.0]] * 3), batch=1)


def test_softmax_of_one_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="one column is always 1; set activation: sigmoid"):
        Detector(red_is_inside(tmp_path, columns=[[1.0]] * 3, outside=0), batch=1)


def test_frames_that_are_none_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="wanted frames"):
        Detector(red_is_inside(tmp_path), batch=1)([np.zeros((6, 8), np.uint8)])


# ---------------------------------------------------------------------------------------- spans


def spans(oob_p: list[float], rules: OutsideRules = RULES, duration_s: float | None = None) -> list:
    known = np.array(oob_p, np.float32)
    return outside_spans(known, 1.0, duration_s or len(oob_p), 0.5, rules)


def test_a_span_covers_its_frames_and_a_margin() -> None:
    assert spans([0, 0, 0, 0.9, 0.9, 0, 0, 0, 0, 0]) == [(2.0, 6.0)]


def test_a_span_goes_on_while_the_probability_holds() -> None:
    assert spans([0, 0, 0, 0.9, 0.4, 0.35, 0.2, 0, 0, 0]) == [(2.0, 7.0)]
    assert spans([0, 0.4, 0.45, 0.4, 0, 0]) == []


def test_short_gaps_are_filled_and_long_ones_kept() -> None:
    assert spans([0.9, 0, 0, 0, 0, 0.9, 0, 0]) == [(0.0, 7.0)]
    assert spans([0.9, *[0] * 8, 0.9, 0, 0]) == [(0.0, 2.0), (8.0, 11.0)]


def test_a_single_bad_second_is_never_smoothed_away() -> None:
    assert spans([0, 0, 0.5, 0, 0], OutsideRules(1.0, 0.0, 0.0)) == [(2.0, 3.0)]


def test_the_last_frame_stands_for_the_rest_of_the_video() -> None:
    assert spans([0, 0, 0, 0.9], duration_s=4.4) == [(2.0, 4.4)]


def test_whatever_the_rules_every_frame_at_the_threshold_lies_in_a_span() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        oob_p = rng.random(int(rng.integers(1, 60))).astype(np.float32) ** 3
        rules = OutsideRules(*(rng.random(3) * (2, 5, 3)))
        grid_s, threshold = float(rng.uniform(0.2, 2)), float(rng.uniform(0.05, 0.95))
        duration_s = grid_s * (len(oob_p) + float(rng.uniform(-0.5, 0.5)))
        found = outside_spans(oob_p, grid_s, duration_s, threshold, rules)
        for k in np.flatnonzero(oob_p >= threshold):
            begin, end = k * grid_s, min((k + 1) * grid_s, duration_s)
            assert any(a <= begin + 1e-9 and end - 1e-9 <= b for a, b in found)
        assert all(a[1] < b[0] for a, b in pairwise(found))
        assert all(0 <= a < b <= duration_s for a, b in found)


@pytest.mark.parametrize("oob_p", [[], [0.1, np.nan, 0.2]])
def test_frames_without_an_answer_give_no_spans_but_an_error(oob_p: list[float]) -> None:
    with pytest.raises(DetectorError, match="not every frame has an answer"):
        outside_spans(np.array(oob_p, np.float32), 1.0, 3.0, 0.5, RULES)
