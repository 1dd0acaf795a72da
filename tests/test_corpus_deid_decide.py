"""Nothing passes for want of evidence: de-identification is fail-closed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from deid_onnx import red_is_inside

from unisurg.corpus.deid.decide import (
    DeidRules,
    Evidence,
    Examined,
    Progress,
    State,
    Step,
    Verdict,
    decide,
    examine,
    told,
)
from unisurg.corpus.deid.outside import Detector, OutsideRules
from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.deid.text import Found, Kind, TextError, united

STEPS = [
    Step(),
    *(Step(progress, 5, 5, "so it was") for progress in Progress),
    Step(Progress.DONE, 4, 5),
    Step(Progress.DONE, 6, 5),
    Step(Progress.DONE, 0, 0),
    Step(Progress.DONE, 1, 1),
]
NAMELESS = (None, "", "  ", "None", "unknown", "no", 0, False, True, ["x"], float("nan"))
RULES = DeidRules("all", most_painted=0.2, outside=OutsideRules(0.6, 3.0, 1.0))
RED, BLUE = (200, 40, 40), (40, 60, 160)
LINE = Rectangle(0.1, 0.9, 0.3, 0.05)


def whole(step: Step) -> bool:
    return step.progress == "done" and step.seen == step.wanted and step.wanted > 0


def test_no_path_passes_a_video_with_a_failed_or_missing_step() -> None:
    passed = 0
    for provider, *steps in product((*NAMELESS, "CAMMA, IRCAD"), STEPS, STEPS, STEPS):
        verdict = decide(Evidence(provider, *steps))
        named = provider == "CAMMA, IRCAD"
        assert verdict.passed == all(
            whole(step) or (named and step.progress == "skipped") for step in steps
        )
        if verdict.passed:
            passed += 1
            assert verdict.state == (State.PROVIDER if named else State.DETECTOR)
        else:
            assert verdict.state == State.REFUSED
            assert verdict.reason
            assert verdict.remedy
    assert passed == len(NAMELESS) * 2**3 + 3**3


def test_no_evidence_is_refused_also_of_a_named_provider() -> None:
    assert not decide(Evidence()).passed
    assert not decide(Evidence("IRCAD")).passed


def test_the_reason_tells_what_happened() -> None:
    done = Step(Progress.DONE, 3, 3)
    assert decide(Evidence(None, done, done, done)).reason == "read 3 pictures, saw 3 frames"
    assert "IRCAD" in decide(Evidence(" IRCAD ", *[Step(Progress.SKIPPED)] * 3)).reason
    partly = decide(Evidence(None, replace(done, seen=2), done, done))
    assert partly.reason == "text: saw 2 of 3 pictures"
    broken = decide(Evidence(None, done, done, Step(Progress.FAILED, 0, 3, "OSError: gone")))
    assert broken.reason == "outside: failed: OSError: gone"
    assert "deid_by_provider" in broken.remedy


# -------------------------------------------------------------------------------------- examine


class Reader:
    """Stands for a TextReader: finds one line on every median."""

    def __init__(self, fails: Exception | None = None, drops: int = 0, kind: Kind = Kind.TEXT):
        self.fails, self.drops, self.kind = fails, drops, kind

    def read(self, medians: Any, spreads: Any) -> list[list[Found]]:
        if self.fails:
            raise self.fails
        return [[Found(LINE, self.kind, 0.9, "REC")] for _ in medians][self.drops :]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector(red_is_inside(tmp_path_factory.mktemp("detector")), batch=4)


def picture(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((12, 20, 3), colour, np.uint8)


def examined(detector: Any, reader: Any, **changes: Any) -> Examined:
    usual: dict[str, Any] = {
        "provider": None,
        "doubt": "",
        "overlays": [(0.0, 0.0, 0.2, 0.1)],
        "medians": [picture(RED)] * 2,
        "spans_s": [(0.0, 5.0), (5.0, 10.3)],
        "frames": [picture(RED)] * 8 + [picture(BLUE)] * 2,
        "n_frames": 10,
        "grid_s": 1.0,
        "duration_s": 10.3,
        "rules": RULES,
    }
    return examine(detector=detector, reader=reader, **(usual | changes))


def test_a_video_that_was_read_and_seen_whole_passes_with_what_was_found(
    detector: Detector,
) -> None:
    result = examined(detector, Reader())
    assert result.verdict == Verdict(State.DETECTOR, "read 2 pictures, saw 10 frames")
    assert result.rectangles == (Rectangle(0.0, 0.0, 0.2, 0.1), LINE)
    assert result.outside == ((7.0, 10.3),)
    assert (result.oob_p > 0.5).tolist() == [False] * 8 + [True] * 2
    assert len(result.found) == 1


def test_a_providers_word_makes_up_for_tools_that_are_not_configured(detector: Detector) -> None:
    result = examined(None, None, provider="IRCAD")
    assert result.verdict.state == State.PROVIDER
    assert result.rectangles == (Rectangle(0.0, 0.0, 0.2, 0.1),)
    assert np.isnan(result.oob_p).all()
    assert result.oob_p.shape == (10,)
    assert not examined(None, None).verdict.passed
    assert not examined(None, Reader()).verdict.passed
    assert not examined(detector, None).verdict.passed


def test_text_that_is_not_personal_may_stay_where_the_rules_say_so(detector: Detector) -> None:
    rules = replace(RULES, paint="personal")
    assert LINE not in examined(detector, Reader(), rules=rules).rectangles
    assert LINE in examined(detector, Reader(kind=Kind.PERSONAL), rules=rules).rectangles


def test_a_page_of_text_is_cut_out_and_what_is_written_on_the_others_is_painted(
    detector: Detector,
) -> None:
    class Pages(Reader):
        def read(self, medians: Any, spreads: Any) -> list[list[Found]]:
            page = [Found(Rectangle(0.1, 0.1, 0.8, 0.7), Kind.TEXT, 0.9, "PART ONE")]
            return [page, *super().read(list(medians)[1:], spreads)]

    result = examined(detector, Pages())
    assert result.verdict.passed
    assert result.pages == ((0.0, 5.0),)
    assert result.rectangles == (Rectangle(0.0, 0.0, 0.2, 0.1), LINE)


class Broken:
    """Stands for a detector that fails at the given frame."""

    def __init__(self, detector: Detector) -> None:
        self.card = detector.card

    def __call__(self, frames: Any) -> np.ndarray:
        raise MemoryError("no room")


def test_whatever_goes_wrong_in_a_step_refuses_the_video_whoever_vouches_for_it(
    detector: Detector,
) -> None:
    def torn() -> Any:
        yield picture(RED)
        raise OSError("cannot decode")

    failures: list[tuple[Any, Any, dict[str, Any]]] = [
        (detector, Reader(fails=TextError("broken")), {}),
        (detector, Reader(fails=MemoryError()), {}),
        (detector, Reader(drops=1), {}),
        (detector, Reader(), {"spans_s": [(0.0, 5.0)] * 3}),
        (detector, Reader(), {"medians": [], "spans_s": []}),
        (detector, Reader(), {"overlays": [(0.0, 0.0, 2.0, 0.1)]}),
        (detector, Reader(), {"overlays": [(0.0, 0.0, 0.9, 0.9)]}),
        (detector, Reader(), {"overlays": [(0.0, "x", 0.9, 0.9)]}),
        (detector, Reader(), {"n_frames": 11}),
        (detector, Reader(), {"frames": [], "n_frames": 0}),
        (detector, Reader(), {"frames": torn()}),
        (detector, Reader(), {"frames": [np.zeros((4, 4))] * 10}),
        (Broken(detector), Reader(), {}),
    ]
    for provider in (None, "IRCAD"):
        for tool, reader, changes in failures:
            result = examined(tool, reader, provider=provider, **changes)
            assert result.verdict.state == State.REFUSED, changes
            assert result.verdict.remedy


def test_a_refused_run_of_the_detector_leaves_no_probability_behind(detector: Detector) -> None:
    result = examined(detector, Reader(), n_frames=11)
    assert result.oob_p.shape == (11,)
    assert np.isnan(result.oob_p).all()
    assert result.outside == ()


def test_what_is_told_of_an_error_names_files_but_not_where_they_lie() -> None:
    for error, said in {
        FileNotFoundError(2, "No such file", "/data/my site/a.npz"): (
            "FileNotFoundError: [Errno 2] No such file: 'a.npz'"
        ),
        TextError("/opt/lib/models: 0 networks"): "TextError: models: 0 networks",
        ValueError("frame 3/4 of /a/b.mp4, (/c/d.yaml)"): (
            "ValueError: frame 3/4 of b.mp4, (d.yaml)"
        ),
    }.items():
        assert told(error) == said


def test_text_that_several_pictures_show_in_one_place_is_one_rectangle_around_all_of_it() -> None:
    places = [
        Rectangle(0.1, 0.9, 0.3, 0.05),
        Rectangle(0.09, 0.9, 0.3, 0.05),
        Rectangle(0, 0, 1, 0.1),
    ]
    kinds = [Kind.TEXT, Kind.PERSONAL, Kind.TEXT]
    top, line = united(Found(p, k, 0.9, "REC") for p, k in zip(places, kinds, strict=True))
    assert top.rectangle == places[2]
    assert line.rectangle == pytest.approx((0.09, 0.9, 0.31, 0.05))
    assert (top.kind, line.kind) == (Kind.TEXT, Kind.PERSONAL)
