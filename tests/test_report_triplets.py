"""The report's triplets: a timeline with truth above prediction, and a table of what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_inputs import REPOSITORY, estimate

from unisurg.benchmarks.cholect50 import COMPONENTS, TRIPLETS
from unisurg.evaluation.reported import Results
from unisurg.report import figures
from unisurg.report.inputs import InputError, Predictions, read_predictions
from unisurg.report.sections import predictions as section
from unisurg.report.sections.components import component_table, overlap_in_brief, overlap_of
from unisurg.report.triplets import most_frequent, triplet_figure
from unisurg.settings import Settings, load

OFTEN, SELDOM, NOTHING = 17, 60, 94


def bands(seed: int = 0) -> dict[str, np.ndarray]:
    """Twelve seconds, of which the fourth and fifth were not labelled."""
    rng = np.random.default_rng(seed)
    moments = np.delete(np.arange(12.0), [4, 5])
    truth = np.zeros((10, len(TRIPLETS)), np.int8)
    truth[2:7, OFTEN], truth[8:, SELDOM], truth[:, NOTHING] = 1, 1, 1
    ours = (0.1 * rng.random(truth.shape) + 0.4 * truth).astype(np.float32)
    return {"truth": truth, "pretrained": ours, "random": 0 * ours, "moments": moments}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(REPOSITORY / "params.yaml")


def results(**more: object) -> Results:
    def of(value: float) -> dict[str, object]:
        return {f"ap_{name}_videowise": estimate(value, 0.05) for name in COMPONENTS}

    facts = {
        "benchmark": "cholect50", "task": "triplet", "split": "cholect50", "protocol": "dense",
        "window": "causal", "lookahead_s": 0.0, "frames": 16, "fps": 1.0, "kind": "triplet",
        "cases": {"train": 35, "val": 5, "test": 10}, "clips": {}, "unit": "video",
        "main": "ap_ivt_videowise", "pretrained": of(0.4), "random": of(0.2),
        "kinds": {"plain": {"pretrained": of(0.3)}}, **more,
    }  # fmt: skip
    return Results.model_validate(json.loads(json.dumps(facts)))


def test_the_most_frequent_triplets_come_first_and_those_that_do_nothing_not_at_all() -> None:
    truth = bands()["truth"]
    assert most_frequent([truth, truth], TRIPLETS) == [OFTEN, SELDOM]
    assert len(most_frequent([np.zeros_like(truth)], TRIPLETS)) == 1


def test_truth_stands_above_prediction_at_its_moments_and_gaps_stay_empty() -> None:
    case = bands()
    (axes,) = triplet_figure({"VID51": case}, TRIPLETS).axes
    lines = axes.images[0].get_array()
    assert lines.shape == (6, 12)
    seen, said, between = lines[:3]
    assert seen.mask.nonzero()[0].tolist() == [4, 5]
    assert between.mask.all()
    assert seen[~seen.mask].tolist() == case["truth"][:, OFTEN].tolist()
    assert said.max() == 1
    share = case["pretrained"][:, OFTEN] / case["pretrained"][:, OFTEN].max()
    assert said[~said.mask].tolist() == pytest.approx(share.tolist())
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [TRIPLETS[i].replace(",", " · ") for i in (OFTEN, SELDOM)]
    assert [text.get_text() for text in axes.texts] == ["AP 100 %", "AP 100 %"]


def test_a_triplet_that_one_video_does_not_show_says_so_there() -> None:
    bare = bands() | {"truth": np.zeros_like(bands()["truth"])}
    first, second = triplet_figure({"VID51": bands(), "VID06": bare}, TRIPLETS).axes
    assert (first.texts[0].get_text(), second.texts[0].get_text()) == ("AP 100 %", "not shown")


def test_timelines_are_drawn_of_as_many_videos_as_the_settings_say(settings: Settings) -> None:
    cases = {f"VID{n}": bands(n) for n in range(9)}
    drawn = figures.drawn(Predictions("triplet", TRIPLETS, cases), settings.report)
    assert list(drawn) == ["timelines"]
    assert len(drawn["timelines"].axes) == settings.report.ribbons
    (picture,) = section._triplets(Predictions("triplet", TRIPLETS, cases), drawn)
    assert f"in {settings.report.ribbons} test videos" in picture.alt


def test_every_component_has_a_row_and_every_head_a_column() -> None:
    table = component_table(results())
    assert [row[0] for row in table.rows][-1] == "triplet"
    assert len(table.rows) == len(COMPONENTS)
    first = "instruments, verbs, targets and which go together"
    plain = "attentive, a logit per triplet"
    assert table.head == ["part", first, plain, f"{first}, random weights"]
    assert [cell.split(" ")[0] for cell in table.rows[1][1:]] == ["40.0", "30.0", "20.0"]


def test_the_overlap_with_cholec80_is_told_where_it_is_a_question() -> None:
    assert overlap_of(results()) == ""
    assert overlap_of(results(cholec80_train_in_test=[])).startswith("None of the test videos")
    told = overlap_of(results(cholec80_train_in_test=["VID06", "VID10"]))
    brief = overlap_in_brief(results(cholec80_train_in_test=["VID06", "VID10"]))
    assert brief == " (Cholec80 trains on 2 of its 10 test videos)"
    assert overlap_in_brief(results()) == overlap_in_brief(results(cholec80_train_in_test=[])) == ""
    assert told.startswith("OVERLAP: 2 of 10 test videos are training videos of Cholec80 (VID06, ")


def test_moments_that_are_not_one_per_row_are_an_error(tmp_path: Path) -> None:
    case = bands()
    arrays = {f"{name}/VID51": array for name, array in case.items()}
    facts = {"task": np.array("triplet"), "classes": np.array(TRIPLETS)}
    path = tmp_path / "cholect50/predictions.npz"
    path.parent.mkdir()
    np.savez(path, **facts, **arrays)
    found = read_predictions(path)
    assert found is not None
    assert found.cases["VID51"]["moments"].shape == (10,)
    np.savez(path, **facts, **arrays | {"moments/VID51": np.arange(9.0)})
    with pytest.raises(InputError, match=r"moments/VID51 has shape \(9,\)"):
        read_predictions(path)
