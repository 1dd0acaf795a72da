"""Triplets go the way of every probe: both heads alike, and told with intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from probe_stores import CLIPS, PARTS, TRIPLETS, index, quick, write

from unisurg.benchmarks import REGISTRY
from unisurg.benchmarks.base import TripletCase
from unisurg.benchmarks.cholect50 import CHOLECT50
from unisurg.evaluation import statistics, store
from unisurg.evaluation.compare import from_tables, read_groups, read_tables
from unisurg.evaluation.extraction.cases import read_cases
from unisurg.evaluation.probing import probe
from unisurg.evaluation.reported import Results
from unisurg.settings import Settings


def silent(step: int, values: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def asked(settings: Settings) -> Settings:
    epochs = settings.probe.epochs.model_copy(update={"triplet": 12})
    return quick(settings, epochs=epochs, lr=(3e-2,), weight_decay=(0.05,))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("features"), index("triplet"))


@pytest.fixture(scope="module")
def output(root: Path, asked: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    probe.run("x", asked, root, folder / "metrics.json", folder / "x", silent)
    return folder


@pytest.fixture(scope="module")
def found(output: Path) -> Results:
    return Results.model_validate(json.loads((output / "metrics.json").read_text()))


def test_the_head_of_parts_is_the_main_one_and_the_plain_one_stands_beside_it(
    found: Results,
) -> None:
    assert (found.kind, list(found.kinds)) == ("triplet", ["plain"])
    assert found.main == "ap_ivt_videowise"


@pytest.mark.parametrize("kind", ["triplet", "plain"])
def test_an_encoder_that_knows_beats_one_that_does_not(found: Results, kind: str) -> None:
    head = found.heads[kind]
    assert head.pretrained[found.main].mean > 0.8
    assert head.difference[found.main].low > 0.1


@pytest.mark.parametrize("metric", ["ap_ivt_videowise", "ap_ivt_global", "ap_v_global"])
def test_what_is_compared_later_are_the_numbers_that_were_told(
    output: Path, found: Results, asked: Settings, metric: str
) -> None:
    path = output / "x/tables.npz"
    tables, groups = read_tables(path, metric), read_groups(path)
    ours, theirs, _ = from_tables(tables, groups, metric, "pretrained", asked)
    assert ours.estimate.as_dict() == found.pretrained[metric].model_dump() | {
        "seeds": [*found.pretrained[metric].seeds]
    }
    assert theirs.difference is not None
    told = found.difference[metric]
    assert theirs.difference.mean == pytest.approx(-told.mean)
    assert (theirs.difference.low, theirs.difference.high) == pytest.approx((-told.high, -told.low))


def test_a_global_precision_is_its_value_and_one_for_every_draw_of_videos(
    root: Path, output: Path, asked: Settings
) -> None:
    data = store.read(root)
    task = probe.task_of(data.index, asked)
    cases = data.cases("test")
    with np.load(output / "x/tables.npz") as tables, np.load(output / "x/predictions.npz") as rows:
        kept = tables["pretrained/0/ap_ivt_global"]
        truths = [rows[f"truth/{case.case}"] for case in cases]
        scores = [rows[f"pretrained/{case.case}"] for case in cases]
    draws = statistics.draw_cases(len(cases), asked.probe.bootstrap, asked.seed)
    assert kept.shape == (1 + asked.probe.bootstrap,)
    for value, draw in zip(kept[1:6], draws[:5], strict=True):
        drawn = np.repeat(np.arange(len(cases)), draw)
        again = task.drawn([truths[i] for i in drawn], [scores[i] for i in drawn])
        assert again["ap_ivt_global"](np.ones((1, len(drawn))))[0] == pytest.approx(value)


def test_predictions_are_scores_at_moments(output: Path) -> None:
    with np.load(output / "x/predictions.npz") as arrays:
        assert (arrays["task"], arrays["classes"].tolist()) == ("triplet", [*TRIPLETS])
        for i in range(PARTS["test"]):
            assert arrays[f"moments/test{i}"].shape == (CLIPS,)
            scores = arrays[f"pretrained/test{i}"]
            assert scores.shape == arrays[f"truth/test{i}"].shape == (CLIPS, len(TRIPLETS))
            assert ((scores >= 0) & (scores <= 1)).all()


def test_test_videos_that_cholec80_trains_on_are_found_by_their_number() -> None:
    test = ["VID111", "VID51", "VID32", "VID06", "VID41", "VID40"]
    found = REGISTRY["cholect50"].overlaps_in(test)
    assert found == {"cholec80_train_in_test": ["VID06", "VID32", "VID40"]}
    assert REGISTRY["cholec80"].overlaps_in(test) == {}


def test_moments_that_nobody_labelled_are_left_out_and_bare_ones_are_kept(
    settings: Settings,
) -> None:
    labels = np.zeros((9, 100), np.int8)
    labels[[1, 4, 8]] = -1
    labels[5, 17] = 1
    found = [
        TripletCase("VID81", Path("v"), part, labels, 1.0) for part in ("train", "val", "test")
    ]
    benchmark = replace(CHOLECT50, reader=lambda root, split, findings: found)
    row = settings.benchmarks["cholect50"].model_copy(update={"root": Path("/")})
    asked = settings.model_copy(update={"benchmarks": {"cholect50": row}})
    train, _, test = read_cases(benchmark, asked)
    assert test.moments.tolist() == [0, 2, 3, 5, 6, 7]
    assert np.array_equal(test.labels, labels[[0, 2, 3, 5, 6, 7]])
    assert train.moments.tolist() == [0]
