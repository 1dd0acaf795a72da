"""Folds are probed one by one; what is told of all of them never passes for what one head says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe_stores import index, quick, write
from test_evaluation_cases import cases_of, video
from test_evaluation_trial import write_trials

from unisurg.benchmarks import REGISTRY, find
from unisurg.benchmarks.base import Part
from unisurg.benchmarks.cholect50 import CHOLECT50
from unisurg.benchmarks.jigsaws import JIGSAWS, SPLITS, TRIALS
from unisurg.benchmarks.surgicalactions160 import SURGICALACTIONS160
from unisurg.evaluation import folds
from unisurg.evaluation.probing import probe
from unisurg.evaluation.reported import Results
from unisurg.settings import LabelEfficiency

FEW: dict[Part, int] = {"train": 6, "val": 3, "test": 4}
MAE, RHO = "mae_grs_points_over_trials", "spearman_over_trials"


# --- families -----------------------------------------------------------------------------------


def test_the_folds_of_louo_test_every_trial_once() -> None:
    names = folds.folds_of(JIGSAWS, "louo")
    assert names == [f"louo-{letter}" for letter in "BCDEFGHI"]
    tested = [trial for name in names for trial in SPLITS[name].test]
    assert sorted(tested) == sorted(TRIALS)


@pytest.mark.parametrize(
    ("benchmark", "family", "found"),
    [
        (SURGICALACTIONS160, "fold", [f"fold{i}" for i in range(4)]),
        (CHOLECT50, "cholect50-crossval", [f"cholect50-crossval-fold{i}" for i in range(1, 6)]),
        (CHOLECT50, "cholect45-crossval", [f"cholect45-crossval-fold{i}" for i in range(1, 6)]),
        (JIGSAWS, "loso", [f"loso-{i}" for i in range(1, 6)]),
    ],
)
def test_a_fold_is_named_like_its_family_and_one_word_more(
    benchmark: Any, family: str, found: list[str]
) -> None:
    assert folds.folds_of(benchmark, family) == found


@pytest.mark.parametrize(
    ("benchmark", "family"),
    [(JIGSAWS, "fold"), (CHOLECT50, "cholect50"), (CHOLECT50, "c"), (SURGICALACTIONS160, "f.ld")],
)
def test_splits_that_merely_begin_alike_are_no_family(benchmark: Any, family: str) -> None:
    first, *_ = benchmark.splits
    with pytest.raises(folds.FoldsError, match=f"no folds of a family .*{first}"):
        folds.folds_of(benchmark, family)


def test_folds_that_share_a_test_case_are_refused_before_anything_is_encoded(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cases"
    root.mkdir()
    benchmark = find("jigsaws", root)
    monkeypatch.setattr(folds, "folds_of", lambda *_: ["louo-B", "again"])
    monkeypatch.setattr(folds, "read_cases", lambda *_: cases_of(video([0, 1, 2], "test")))
    monkeypatch.setattr(folds, "extract", lambda *_: pytest.fail("encoded"))
    row = settings.benchmarks["jigsaws"].model_copy(update={"root": root})
    asked = settings.model_copy(update={"benchmarks": {benchmark.name: row}})
    with pytest.raises(folds.FoldsError, match="v is tested in louo-B and in again"):
        folds.run("jigsaws", "louo", asked, root, tmp_path / "out", tmp_path / "scratch")


def test_a_trial_that_is_tested_twice_is_an_error(tmp_path: Path, settings: Any) -> None:
    features = {f"f-{n}": write_trials(tmp_path / f"{n}", FEW) for n in range(2)}
    with pytest.raises(folds.FoldsError, match="test0 is tested in f-0 and in f-1"):
        folds.pool("f", features, quick(settings, seeds=(0,)), tmp_path / "pooled")


# --- what is told -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(settings: Any) -> Any:
    return quick(settings, lr=(1e-2,), weight_decay=(0.01,), seeds=(0,))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("features")
    return {f"louo-{name}": write_trials(root / name, FEW, tested=name) for name in ("B", "C")}


@pytest.fixture(scope="module")
def alone(
    features: dict[str, Path], asked: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a probe of each fold says."""
    root = tmp_path_factory.mktemp("alone")
    return {
        fold: probe.run("x", asked, folder, root / f"{fold}.json", root / fold, lambda *_: None)
        for fold, folder in features.items()
    }


@pytest.fixture(scope="module")
def output(features: dict[str, Path], asked: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("pooled")
    folds.pool("louo", features, asked, output)
    return output


@pytest.fixture(scope="module")
def whole(output: Path) -> Any:
    return json.loads((output / "metrics.json").read_text())


def test_every_fold_says_what_its_own_probe_says(whole: Any, alone: dict[str, Any]) -> None:
    for fold, one in alone.items():
        told = whole["folds"][fold]
        assert told["metrics"] == {name: one[name] for name in ("pretrained", "random")}
        assert told["chosen"]["trial/pretrained/0"] == one["chosen"]["pretrained"]["0"]


@pytest.mark.parametrize("metric", [MAE, RHO])
def test_the_mean_of_folds_is_that_of_heads_that_are_measured_apart(
    whole: Any, alone: dict[str, Any], metric: str
) -> None:
    for encoder in ("pretrained", "random"):
        told = whole["mean_of_folds"][encoder][metric]
        means = [one[encoder][metric]["mean"] for one in alone.values()]
        assert told == {"mean": pytest.approx(np.mean(means)), "folds": 2}


def test_a_mean_of_folds_says_how_many_folds_have_a_number() -> None:
    first, second = {"a": {"mean": 0.2}, "b": {"mean": 0.4}}, {"a": {"mean": 0.6}}
    found = folds.mean_of_folds([{"pretrained": first}, {"pretrained": second}])
    assert found["pretrained"]["a"] == {"mean": pytest.approx(0.4), "folds": 2}
    assert found["pretrained"]["b"] == {"mean": 0.4, "folds": 1}


def test_a_mean_over_cases_is_one_over_the_cases_of_all_folds(
    whole: Any, output: Path, alone: dict[str, Any]
) -> None:
    expected = np.mean([one["pretrained"][MAE]["mean"] for one in alone.values()])
    assert whole["pretrained"][MAE]["mean"] == pytest.approx(expected)
    with np.load(output / "tables.npz") as stored:
        assert stored["cases"].tolist() == [f"{f}{i}" for f in "BC" for i in range(FEW["test"])]


@pytest.mark.parametrize(("task", "ranks"), [("triplet", "ap_ivt_global"), ("skill", RHO)])
def test_a_metric_that_ranks_the_scores_of_several_heads_says_so_in_its_name(
    task: str, ranks: str, whole: Any, settings: Any, tmp_path: Path
) -> None:
    if task == "triplet":
        features = {name: write(tmp_path / name, index(task), i) for i, name in enumerate("ab")}
        for name, folder in features.items():
            rename_tests(folder, name)
        whole = folds.pool("f", features, quick(settings, seeds=(0,)), tmp_path / "pooled")
    assert ranks in whole["mean_of_folds"]["pretrained"]
    for told in (whole["pretrained"], whole["random"], whole["difference"]):
        assert ranks not in told
        assert f"{ranks}_across_heads" in told
    assert whole["main"] in whole["pretrained"]


def rename_tests(root: Path, fold: str) -> None:
    """Test cases of a made-up folder of features under names that no other fold has."""
    for path in [*root.rglob("test*")]:
        path.rename(path.with_name(f"{fold}-{path.name}"))
    facts = json.loads((root / "index.json").read_text())
    for row in facts["cases"]:
        if row["split"] == "test":
            row["case"] = row["group"] = f"{fold}-{row['case']}"
    (root / "index.json").write_text(json.dumps(facts))


def test_of_all_folds_together_nothing_is_said_that_only_one_of_them_has(
    whole: Any, settings: Any, features: dict[str, Path], tmp_path: Path
) -> None:
    assert whole["split"] == "louo"
    assert whole["cases"] == {"test": 2 * FEW["test"]}
    assert set(whole["clips"]) == {"test"}
    assert not {"chosen", "label_efficiency"} & set(whole)
    shares = LabelEfficiency(benchmarks=("jigsaws",), fractions=(0.5,))
    asked = quick(settings, seeds=(0,), lr=(1e-2,), label_efficiency=shares)
    told = folds.pool("louo", features, asked, tmp_path)
    assert "label_efficiency" not in told
    assert set(told["folds"]["louo-B"]["chosen"]) == {"trial/pretrained/0", "trial/random/0"}


def test_all_folds_together_are_read_as_a_probe_is(whole: Any) -> None:
    assert Results.model_validate(whole).cases["test"] == 2 * FEW["test"]
    assert whole["benchmark"] in REGISTRY
