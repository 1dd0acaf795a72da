"""Depth maps on the page: one scale for all, errors where there is a truth, sources kept apart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from unisurg.evaluation.reported import Estimate, Results
from unisurg.report import figures
from unisurg.report.depths import depth_figure, depth_range, relative_error
from unisurg.report.drawing import as_photo
from unisurg.report.inputs import Predictions
from unisurg.report.sections import predictions
from unisurg.report.wording import group_of, protocol_of, warning_of
from unisurg.settings import Settings


def case(seed: int, **more: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(5, 50, (24, 32)).astype(np.float32)
    truth[:4] = 0
    picture = rng.integers(0, 256, (24, 32, 3), np.uint8)
    return {"image": picture, "truth": truth, "pretrained": truth + 2, **more}


CASES = {"a": case(0), "b": case(1)}


def test_an_error_is_a_share_of_the_depth_and_is_left_out_where_there_is_none() -> None:
    error = relative_error(np.array([[10.0, 0.0, 4.0]]), np.array([[12.0, 3.0, 3.0]]))
    assert error.mask.tolist() == [[False, True, False]]
    assert error.compressed().tolist() == pytest.approx([0.2, -0.25])


def test_the_scale_runs_over_what_is_true_and_not_over_what_is_unknown() -> None:
    low, high = depth_range(CASES)
    assert 5 <= low < 7
    assert 48 < high <= 50
    assert depth_range({"none": case(0) | {"truth": np.zeros((2, 2))}}) == (1, 100)
    flat = case(0) | {"truth": np.full((2, 2), 7.0)}
    low, high = depth_range({"flat": flat})
    assert low == 7 < high


def test_a_row_has_the_picture_its_depth_and_every_encoder_with_its_error() -> None:
    figure = depth_figure(CASES)
    assert len(figure.axes) == 2 * 4 + 2  # and two scales
    both = {name: {**found, "random": found["truth"] * 2} for name, found in CASES.items()}
    assert len(depth_figure(both).axes) == 2 * 6 + 2
    titles = [axes.get_title(loc="left") for axes in depth_figure(both).axes[:6]]
    assert titles[1:5] == ["True depth", "Pretrained", "its error", "Random weights"]
    assert as_photo(figure) == as_photo(depth_figure(CASES))


def test_depth_maps_are_drawn_in_one_colour_per_depth() -> None:
    drawn = [axes.images[0] for axes in depth_figure(CASES).axes[:8] if axes.images]
    maps = [drawn[i] for i in (1, 2, 5, 6)]
    assert len({(image.norm.vmin, image.norm.vmax) for image in maps}) == 1


def test_the_section_shows_depth_and_says_what_grey_is(
    settings: Settings,
) -> None:
    found = Predictions("depth", ("depth",), CASES)
    assert list(figures.drawn(found, settings.report)) == ["depths"]

    page = SimpleNamespace(
        predictions={"c3vd": found}, embedded=frozenset({"c3vd"}), settings=settings
    )
    section = predictions.section(page, "c3vd")  # type: ignore[arg-type]
    (picture,) = section.blocks
    assert section.title == "Embedded C3VD: depth"
    assert "Grey" in picture.caption  # type: ignore[union-attr]


def test_seen_and_unseen_sources_of_polyps_stand_apart() -> None:
    groups = {n: group_of(n, "segmentation") for n in ("kvasir", "clinicdb", "cvc300", "etis")}
    assert groups["kvasir"] == groups["clinicdb"] != groups["cvc300"] == groups["etis"]
    assert group_of("c3vd", "depth") == "Depth"
    assert group_of("mine", "phase") == "Workflow"


def test_the_protocol_of_depth_tells_the_clips() -> None:
    number = Estimate(mean=0.5, low=0.4, high=0.6, seeds=(0.5,))
    facts = {"benchmark": "c3vd", "task": "depth", "split": "theatre", "protocol": "dense"}
    facts |= {"window": "causal", "lookahead_s": 0.0, "frames": 4, "fps": None, "kind": "decoder"}
    facts |= {"cases": {}, "clips": {}, "unit": "sequence", "main": "m"}
    facts["pretrained"] = {"m": number.model_dump()}
    said = "Protocol `dense`; each frame of a sequence is shown"
    assert protocol_of(Results.model_validate(facts)) == f"{said} with the 3 before it."
    assert protocol_of(Results.model_validate(facts | {"frames": 1})) == f"{said} alone."


def test_a_lookahead_at_an_unknown_rate_is_told_in_frames() -> None:
    number = {"mean": 0.5, "low": 0.4, "high": 0.6, "seeds": [None]}
    facts = {"benchmark": "c3vd", "task": "depth", "split": "theatre", "protocol": "fast"}
    facts |= {"window": "causal", "lookahead_s": None, "lookahead_frames": 2, "frames": 4}
    facts |= {"fps": None, "kind": "decoder", "cases": {}, "clips": {}, "unit": "sequence"}
    found = Results.model_validate({**facts, "main": "m", "pretrained": {"m": number}})
    assert "LOOKAHEAD: features may know of 2 frames after" in warning_of(found)
