"""Tracking: every stage a run, every run in its pipeline, and never a result lost for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from postgres import free_port
from toy_flows import have_ended, soon

from unisurg import lineage, telemetry, tracking
from unisurg.settings import Settings
from unisurg.tracking import TrackingError, absolute_uri, flatten, open_store, track_stage

STAGE = """
import sys
from pathlib import Path
from unisurg import settings
from unisurg.tracking import track_stage
with track_stage(sys.argv[1], settings.load("params.yaml")) as run:
    run.metrics(0, {"loss": 1.0})
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """A ready database: creating one takes seconds."""
    root = tmp_path_factory.mktemp("template")
    place = settings.tracking.model_copy(update={"experiment": "another"})
    open_store(place, root)
    return root / "mlruns" / "mlflow.db"


@pytest.fixture
def root(
    tmp_path: Path, template: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Path:
    shutil.copy(Path(__file__).parent.parent / "params.yaml", tmp_path)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(template, tmp_path / "mlruns")
    monkeypatch.delenv(tracking.PIPELINE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(root: Path, settings: Settings) -> dict[str, Any]:
    """All runs by name; the last of those with one name."""
    store = open_store(settings.tracking, root)
    found = store.client.search_runs([store.experiment_id], order_by=["attributes.start_time"])
    return {run.info.run_name: run for run in found}


def test_a_stage_is_a_run_with_parameters_metrics_artifacts_and_a_table(
    root: Path, settings: Settings
) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "weights").write_text("w")
    with track_stage("pretrain", settings) as run:
        for step in range(3):
            run.metrics(step, {"loss": 1.0 / (step + 1), "rank_me": None})
        run.params({"facts": {"clips": 12}})
        run.artifact(root / "folder")
        run.artifact(root / "params.yaml", "settings")
        run.table("cases", {"case": ["a", "b"], "f1": [0.1, 0.2]})
    record = records(root, settings)["pretrain"]
    assert record.info.status == "FINISHED"
    assert record.data.params["pretrain.objective.top_k"] == "3"
    assert record.data.params["facts.clips"] == "12"
    assert record.data.metrics == {"loss": pytest.approx(1 / 3)}
    stored = root / "mlruns" / "artifacts" / record.info.run_id / "artifacts"
    for path in ("folder/weights", "settings/params.yaml", "tables/cases.json"):
        assert (stored / path).is_file()


def test_every_value_of_a_metric_is_kept_though_they_are_written_in_batches(
    root: Path, settings: Settings
) -> None:
    with track_stage("pretrain", settings) as run:
        for step in range(1234):
            run.metrics(step, {"loss": float(step)})
    store = open_store(settings.tracking, root)
    history = store.client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(step, float(step)) for step in range(1234)]


def test_a_figure_is_stored_as_a_picture(root: Path, settings: Settings) -> None:
    from matplotlib.figure import Figure

    with track_stage("report", settings) as run:
        run.figure("pretraining/curves", Figure())
    place = root / "mlruns/artifacts" / str(run.run_id) / "artifacts"
    assert (place / "figures/pretraining/curves.png").is_file()


def test_a_failing_stage_is_marked_failed_with_its_error_and_the_error_passes_on(
    root: Path, settings: Settings
) -> None:
    def stage() -> None:
        with track_stage("probe", settings) as run:
            run.metrics(0, {"loss": 1.0})
            raise ValueError("planned")

    with pytest.raises(ValueError, match="planned"):
        stage()
    record = records(root, settings)["probe"]
    assert record.info.status == "FAILED"
    assert record.data.tags["error"] == "ValueError: planned"
    assert record.data.metrics == {"loss": 1.0}


def test_an_interrupted_stage_is_marked_killed(root: Path, settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), track_stage("probe", settings):
        raise KeyboardInterrupt
    assert records(root, settings)["probe"].info.status == "KILLED"


def test_stages_of_one_pipeline_are_nested_under_one_run_whose_status_follows_them(
    root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.PIPELINE_VARIABLE, "tonight's run")
    parents = []
    for stage in ("curate", "pretrain"):
        with track_stage(stage, settings) as run:
            found = records(root, settings)
            parents.append(run.pipeline_run_id)
            assert found[stage].data.tags[tracking.PARENT] == run.pipeline_run_id
            assert found["pipeline without"].info.status == "RUNNING"
        assert records(root, settings)["pipeline without"].info.status == "FINISHED"
    assert len(set(parents)) == 1
    with pytest.raises(ValueError, match="planned"), track_stage("report", settings):
        raise ValueError("planned")
    parent = records(root, settings)["pipeline without"]
    assert parent.info.status == "FAILED"
    assert parent.info.end_time is not None


def test_a_stage_that_fails_and_then_succeeds_leaves_a_finished_pipeline(
    root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.PIPELINE_VARIABLE, "again")
    with pytest.raises(ValueError, match="planned"), track_stage("probe", settings):
        raise ValueError("planned")
    with track_stage("probe", settings):
        pass
    assert records(root, settings)["pipeline without"].info.status == "FINISHED"


def test_a_stage_whose_process_was_killed_does_not_run_for_ever(
    root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.PIPELINE_VARIABLE, "killed")
    killed = STAGE + "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", killed, "pretrain"], cwd=root, check=False)
    assert done.returncode == -9
    with track_stage("validate", settings):
        pass
    found = records(root, settings)
    assert found["pretrain"].info.status == "KILLED"
    assert found["pipeline without"].info.status == "FAILED"


def test_processes_that_start_together_on_no_database_share_one_pipeline_run(
    tmp_path: Path, settings: Settings
) -> None:
    shutil.copy(Path(__file__).parent.parent / "params.yaml", tmp_path)
    environment = {**os.environ, tracking.PIPELINE_VARIABLE: "together"}
    command = [sys.executable, "-c", STAGE]
    running = [
        subprocess.Popen([*command, f"stage{i}"], cwd=tmp_path, env=environment) for i in range(2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    found = records(tmp_path, settings)
    assert set(found) == {"stage0", "stage1", "pipeline without"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}


def test_a_stage_under_a_dvc_process_belongs_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(tracking.PIPELINE_VARIABLE, raising=False)
    assert tracking.pipeline_key() is None
    dvc = tmp_path / "dvc"
    dvc.write_text(
        "import subprocess, sys\n"
        "ask = 'from unisurg.tracking import pipeline_key; print(pipeline_key())'\n"
        "subprocess.run([sys.executable, '-c', ask])\n"
        "subprocess.run(['sh', '-c', f'{sys.executable} -c \"{ask}\"; true'])\n"
    )
    said = subprocess.run([sys.executable, str(dvc)], capture_output=True, text=True, check=True)
    first, second = said.stdout.split("\n")[:2]
    assert first == second
    assert first.startswith("dvc ")


def test_a_broken_store_is_told_loudly_and_the_stage_goes_on(
    root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "mlruns" / "mlflow.db").write_bytes(b"this is no database" * 100)
    with track_stage("pretrain", settings) as run:
        run.metrics(0, {"loss": 1.0})
        run.write_identity(root / "pretrain.run.json")
    assert "TRACKING FAILED to start a run" in capsys.readouterr().err
    assert json.loads((root / "pretrain.run.json").read_text())["run_id"] is None


def test_a_store_that_breaks_midway_is_told_and_the_stage_goes_on(
    root: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with track_stage("pretrain", settings) as run:
        run.artifact(root / "not_there")
        run.metrics(0, {"loss": 1.0})
    assert "TRACKING FAILED to store an artifact" in capsys.readouterr().err
    assert records(root, settings)["pretrain"].data.metrics == {"loss": 1.0}


def test_switched_off_tracking_writes_nothing_but_the_identity(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    off = settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"enabled": False})}
    )
    with track_stage("curate", off) as run:
        run.metrics(0, {"loss": 1.0})
        run.params({"a": 1})
        run.artifact(tmp_path)
        run.table("t", {"a": [1]})
        run.link("curate", tmp_path / "nowhere.json")
        run.write_identity(tmp_path / "curate.run.json")
    assert [path.name for path in tmp_path.iterdir()] == ["curate.run.json"]


def test_the_identity_names_the_run_and_a_later_stage_can_link_to_it(
    root: Path, settings: Settings
) -> None:
    with track_stage("pretrain", settings) as first:
        first.write_identity(root / "runs" / "pretrain.run.json")
    with track_stage("probe", settings) as second:
        second.link("pretrain", root / "runs" / "pretrain.run.json")
    facts = json.loads((root / "runs" / "pretrain.run.json").read_text())
    assert facts["run_id"] == first.run_id
    assert records(root, settings)["probe"].data.tags["from.pretrain"] == first.run_id


def test_a_moved_repository_is_not_tracked_into_its_old_place(
    root: Path, settings: Settings, tmp_path: Path
) -> None:
    open_store(settings.tracking, root)
    moved = tmp_path / "moved"
    shutil.copytree(root / "mlruns", moved / "mlruns")
    with pytest.raises(TrackingError, match=r"keeps its artifacts in .* params\.yaml says"):
        open_store(settings.tracking, moved)


def test_values_of_any_length_and_names_of_any_kind_can_be_recorded(
    root: Path, settings: Settings
) -> None:
    with track_stage("curate", settings) as run:
        run.params({"long": "x" * 20_000, "smørrebrød & co": 1})
        run.metrics(0, {"share (%)": float("nan"), "infinite": float("inf")})
    params = records(root, settings)["curate"].data.params
    assert params["long"].startswith("xxx")
    assert "20000 characters" in params["long"]
    assert params["smørrebrød _ co"] == "1"


def test_a_relative_database_lies_in_the_repository_wherever_the_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    root = lineage.repository_root()
    assert root == tmp_path
    assert absolute_uri("sqlite:///mlruns/a.db", root) == f"sqlite:///{tmp_path}/mlruns/a.db"
    assert absolute_uri("https://mlflow.example", root) == "https://mlflow.example"


def test_nested_settings_become_dotted_names() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": None}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [1, {"e": 2}], "f": None}


def test_telemetry_is_off_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "")
    telemetry.switch_off()
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["DVC_NO_ANALYTICS"] == ""


def test_the_pages_take_two_processes_and_end_with_their_command(root: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "unisurg", "ui", "--port", str(port)]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    soon(lambda: _answers(f"http://127.0.0.1:{port}/health"))
    below = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait(60)
    assert len(below) == 1
    soon(lambda: have_ended(below))


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def test_metrics_of_numpy_are_numbers_too(root: Path, settings: Settings) -> None:
    with track_stage("probe", settings) as run:
        run.metrics(0, {"f1": np.float32(0.5), "cases": np.int64(3)})  # type: ignore[dict-item]
    assert records(root, settings)["probe"].data.metrics == {"f1": 0.5, "cases": 3.0}
