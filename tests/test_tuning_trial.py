"""A trial from end to end on seconds of video: what it learns from, opens and leaves."""

from __future__ import annotations

import csv
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pretrain_corpus import write_corpus

from flows import graph
from flows import tune as flow
from unisurg import lineage
from unisurg import settings as settings_module
from unisurg.pretrain.resume import FREE
from unisurg.report.sections import search as section
from unisurg.settings import Pretrain, Settings, SettingsError, laid_over, tuned
from unisurg.stages import pretrain as pretrain_stage
from unisurg.stages import tune as stage
from unisurg.tuning import trial
from unisurg.tuning.probe import ProbeError, validation_probe
from unisurg.tuning.study import Refused

ROOT = Path(__file__).resolve().parent.parent
STAGE = "tuning/dvc.yaml:tune"
SMALL = {
    "benchmarks.polypdiag.root": "polypdiag",
    "benchmarks.polypdiag.frames": 4,
    "benchmarks.polypdiag.size_px": 48,
    "curate.short_side_px": 64,
    "pretrain.frames": 4,
    "pretrain.size_px": 48,
    "pretrain.batch": 2,
    "pretrain.masks.ratio": [0.5, 0.8],
    "tune.benchmark": "polypdiag",
    "tune.trials": 2,
    "tune.workers": 1,
    "tune.startup": 2,
    "tune.steps": 4,
    "tune.warmup_steps": 1,
    "tune.health_every": 2,
    "tune.probe_every": 2,
    "tune.again": [1],
    "tune.space.ratio_width": [0.3, 0.4],
}


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    return laid_over(settings, SMALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a few clips of PolypDiag whose test clips are no videos."""
    home = tmp_path_factory.mktemp("home")
    write_corpus(home / "corpus")
    shutil.copy(ROOT / "params.yaml", home)
    theatre, copy = ROOT / "theatre/polypdiag", home / "polypdiag"
    (copy / "splits").mkdir(parents=True)
    (copy / "videos").mkdir()
    for name, count in (("train.txt", 12), ("val.txt", 2)):
        lines = (theatre / "splits" / name).read_text().splitlines()[:count]
        (copy / "splits" / name).write_text("\n".join(lines) + "\n")
        for clip in (line.split(",")[0] for line in lines):
            shutil.copy(theatre / "videos" / clip, copy / "videos")
            if name == "val.txt":  # Endo-FM's name for the test list
                (copy / "videos" / clip).write_bytes(b"opened by no trial")
    return home


@pytest.fixture(scope="module")
def done(home: Path, small: Settings) -> Path:
    """`unisurg tune` has run there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        stage.run(small, Path("corpus"), Path("artifacts/tune"), None)
    return home


def best(home: Path) -> dict[str, Any]:
    return yaml.safe_load((home / "artifacts/tune/best.yaml").read_text())


def test_it_leaves_the_best_the_trials_and_pictures(done: Path) -> None:
    found = best(done)
    assert found["trials"].keys() <= {"complete", "stopped"}
    assert sum(found["trials"].values()) == 2
    assert found["score"] >= found["default"]
    assert found["beats_default"] == (found["score"] > found["default"])
    with (done / "artifacts/tune/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["0", "1"]
    assert [row["default"] for row in rows] == ["1", "0"]
    for name in ("history", "slices"):
        assert (done / f"artifacts/tune/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_trial_is_a_run_with_its_curves_below_that_of_the_search(
    done: Path, small: Settings
) -> None:
    from unisurg.tracking import PARENT, open_store

    store = open_store(small.tracking, done)
    runs = {
        run.info.run_name: run for run in store.client.search_runs([store.experiment_id])
    }  # fmt: skip
    parent = runs.pop("tune").info.run_id
    assert {"trial 0", "trial 1"} <= runs.keys()
    assert {run.data.tags[PARENT] for run in runs.values()} == {parent}
    first = runs["trial 0"]
    losses = store.client.get_metric_history(first.info.run_id, "loss")
    assert [metric.step for metric in losses] == [0, 1, 2, 3]
    assert {"score", "rank_me", "val_probe"} <= first.data.metrics.keys()
    assert first.data.params["objectives.dense.top_k"] == "3"


def test_the_run_of_a_trial_whose_process_was_killed_is_told_as_killed(
    done: Path, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unisurg.tracking import PROCESS, open_store, track_part

    monkeypatch.chdir(done)
    store = open_store(small.tracking, done)
    gone = {PROCESS: f"{socket.gethostname()}/999999999/0"}
    left = store.client.create_run(store.experiment_id, tags=gone).info.run_id
    with track_part("trial 7", left, {}, small):
        pass
    assert store.client.get_run(left).info.status == "KILLED"


def test_what_a_trial_trained_with_is_gone_and_the_journal_stays(done: Path) -> None:
    (study,) = [path.parent for path in (done / ".scratch/tune").glob("*/journal.log")]
    assert list((study / "trials").iterdir()) == []


def test_called_again_it_trains_nothing(
    done: Path, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done)
    monkeypatch.setattr(trial, "train", None)
    before = best(done)
    stage.run(small, Path("corpus"), Path("artifacts/tune"), None)
    assert best(done) == before


def test_the_page_tells_of_a_search_where_there_was_one(done: Path, small: Settings) -> None:
    class Inputs:
        root, settings = done, small

    (told,) = section.sections(Inputs)  # type: ignore[arg-type]
    text = " ".join(getattr(block, "text", "") for block in told.blocks)
    assert best(done)["verdict"] in text
    assert "Nothing uses its values until `pretrain.tuned` names" in text
    Inputs.root = done / "elsewhere"
    assert section.sections(Inputs) == []  # type: ignore[arg-type]


def test_the_flow_shows_the_verdict_the_trials_and_the_pictures(done: Path) -> None:
    output = done / "artifacts/tune"
    text = flow.summary(best(done), output)
    assert best(done)["verdict"] in text
    assert (output / "history.png").as_uri() in text
    assert [row["trial"] for row in flow.table(output / "trials.csv")] == ["0", "1"]


def test_the_flow_takes_no_other_count_than_dvc_knows_of(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(flow.OtherCount, match=r"tune\.trials is 20, .* set it to 7"):
        flow.tune.fn(7)


Rows = list[dict[str, float]]


@pytest.fixture
def course(home: Path, small: Settings, tmp_path: Path, monkeypatch: Any) -> trial.Course:
    monkeypatch.chdir(home)
    probe = validation_probe(small, Path(".scratch/tune"), Path(".scratch/features"))
    return trial.Course(Path("corpus"), small, probe, tmp_path)


def training(rows: Rows) -> Callable[..., dict[str, Any]]:
    def train(*arguments: Any) -> dict[str, Any]:
        for step, row in enumerate(rows):
            arguments[6](step, row)
        raise AssertionError("it went on to its end")

    return train


HEALTHY = {"rank_me": 20.0, "feature_std": 0.8, "token_cosine": 0.4, "temporal_cosine": 0.9}


def test_a_collapsed_trial_is_stopped_where_its_meters_say_so(
    course: trial.Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**HEALTHY, "rank_me": 1.0}, HEALTHY, {**HEALTHY, "rank_me": 1.2}, HEALTHY]
    monkeypatch.setattr(trial, "train", training(rows))
    with pytest.raises(Refused, match=r"stopped at step 2: .* collapsed to rank 1\.20"):
        trial.run_trial(course, "t", {}, 0, lambda *_: None, lambda *_: None)


def test_masks_that_cannot_be_drawn_are_refused_before_anything_is_trained(
    course: trial.Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "train", None)
    narrow = {"pretrain.masks.ratio": [0.5, 0.51]}
    with pytest.raises(Refused, match=r"cannot be masked: pretrain\.masks\.ratio"):
        trial.run_trial(course, "t", narrow, 0, lambda *_: None, lambda *_: None)


def test_a_benchmark_without_a_nearest_neighbour_probe_is_refused(
    home: Path, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    polyps = laid_over(small, {"tune.benchmark": "kvasir"})
    with pytest.raises(ProbeError, match=r"kvasir is of family segmentation"):
        validation_probe(polyps, Path(), Path())


def written(tmp_path: Path, values: object) -> Path:
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump({"values": values}))
    return path


def test_what_was_found_is_used_only_where_the_settings_say_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = list[Settings]()

    def train(**given: Any) -> dict[str, Any]:
        used.append(given["settings"])
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain_stage, "train", train)
    shutil.copytree(ROOT / "tuning", tmp_path / "tuning")
    monkeypatch.chdir(tmp_path)
    found = written(tmp_path, {"pretrain.masks.ratio": [0.6, 0.7], "objectives.dense.gamma": 1.5})
    quiet = laid_over(settings, {"tracking.enabled": False})
    asked = laid_over(quiet, {"pretrain.tuned": str(found)})
    for given in (quiet, asked):
        for name in ("pretrain", "pretrain_long"):
            with pytest.raises(KeyboardInterrupt):
                pretrain_stage.run(name, given, tmp_path, tmp_path / "out", None)
    assert [(one.masks.ratio, one.objective.gamma) for one in used] == [
        *[((0.75, 0.95), 2.0)] * 2,
        *[((0.6, 0.7), 1.5)] * 2,
    ]


def test_the_file_that_stands_for_nothing_tuned_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert tuned(settings) == settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": 3}, "seed: only pretrain and objectives can be tuned"),
        ({"pretrain.mask": 3}, r"pretrain\.mask: no such key"),
        ({"pretrain.masks.ratio": [0.9, 0.1]}, "the smaller number comes first"),
        ([1], "expected a mapping `values`"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    values: object, said: str, settings: Settings, tmp_path: Path
) -> None:
    asked = laid_over(settings, {"pretrain.tuned": str(written(tmp_path, values))})
    with pytest.raises(SettingsError, match=rf"best\.yaml: .*{said}"):
        tuned(asked)


def test_a_file_that_is_not_there_is_told_with_the_remedy(
    settings: Settings, tmp_path: Path
) -> None:
    asked = laid_over(settings, {"pretrain.tuned": str(tmp_path / "best.yaml")})
    with pytest.raises(SettingsError, match=r"best\.yaml: no such file, (.|\n)*dvc repro tuning"):
        tuned(asked)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph alone, as DVC reads it."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("graph")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "tuning", root / "tuning")
    Repo.init(str(root), no_scm=True).close()
    return root


def test_the_graph_runs_no_trial_unless_pretraining_asks_for_the_result(repository: Path) -> None:
    needs = graph.read(repository).needs
    assert STAGE in needs
    assert STAGE not in graph.usual(needs)
    params = repository / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("tuned: tuning/untuned.yaml", "tuned: artifacts/tune/best.yaml"))
    needs = graph.read(repository).needs
    params.write_text(text)
    assert STAGE in needs["pretrain"]
    assert STAGE in graph.usual(needs)


def test_the_stage_knows_of_all_that_a_trial_is_trained_with_but_not_of_its_own_result() -> None:
    (body,) = yaml.safe_load((ROOT / "tuning/dvc.yaml").read_text())["stages"].values()
    of_trials = {"steps", "warmup_steps", "health_every", "knn_clips", "tuned"}
    same_result = {"activation_checkpointing", "compile"}
    decides = set(Pretrain.model_fields) - of_trials - same_result - set(FREE)
    listed = {p.partition(".")[2] for p in body["params"] if p.startswith("pretrain.")}
    assert listed == decides
    name = settings_module.load(ROOT / "params.yaml").tune.benchmark
    assert f"benchmarks.{name}" in body["params"]
    assert any(f"benchmarks.{name}.root" in dep for dep in body["deps"])


def test_the_inputs_of_the_search_are_known_by_their_hashes(repository: Path) -> None:
    lock = {"stages": {"shards": {"outs": [{"path": "artifacts/shards", "md5": "s0.dir"}]}}}
    (repository / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert lineage.inputs(repository, "tune") == {"artifacts/shards": "s0.dir"}
    (repository / "dvc.lock").unlink()
