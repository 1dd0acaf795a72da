"""Other places for runs, trials and artifacts than this machine's files, by settings alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres
import pytest
from postgres import Postgres
from surrogates import objective, search_in
from test_tracking import records, template

from unisurg import settings as settings_module
from unisurg import tracking
from unisurg.addresses import AddressError, PostgresLock, lock_on, need_driver
from unisurg.settings import Settings, SettingsError
from unisurg.tracking import artifact_place, open_store, track_stage

PARAMS = Path(__file__).parent.parent / "params.yaml"


__all__ = ["template"]  # a fixture


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    if lacking := postgres.missing():
        pytest.skip(lacking)
    pytest.importorskip("psycopg", reason="psycopg is not installed: unisurg[postgres]")
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="module")
def database(server: Postgres) -> str:
    """One that several tests share: creating MLflow's tables takes seconds."""
    return server.uri("shared")


def placed(settings: Settings, **changes: Any) -> Settings:
    there = settings.tracking.model_copy(update=changes)
    return settings.model_copy(update={"tracking": there})


def one_stage(settings: Settings, root: Path, name: str) -> None:
    """In a process of its own."""
    os.environ[tracking.PIPELINE_VARIABLE] = "together"
    with track_stage(name, settings, root) as run:
        run.metrics(0, {"loss": 1.0})


def test_eight_processes_at_once_on_a_fresh_database_from_two_checkouts_all_record(
    server: Postgres, settings: Settings, tmp_path: Path
) -> None:
    there = placed(settings, uri=server.uri("fresh"), artifacts=(tmp_path / "kept").as_uri())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.db.utils", "mlflow.tracking", "psycopg"])
    running = [
        context.Process(target=one_stage, args=(there, tmp_path / f"checkout{i % 2}", f"stage{i}"))
        for i in range(8)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 8
    found = records(tmp_path, there)
    assert set(found) == {"pipeline without", *(f"stage{i}" for i in range(8))}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert {found[f"stage{i}"].data.metrics["loss"] for i in range(8)} == {1.0}


def test_a_stage_and_its_pipeline_are_nested_runs_with_their_artifacts(
    database: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = placed(settings, uri=database, experiment="nested")
    monkeypatch.setenv(tracking.PIPELINE_VARIABLE, "tonight")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_text("w")
    with track_stage("pretrain", there, tmp_path) as run:
        run.metrics(0, {"loss": 0.5})
        run.artifact(tmp_path / "weights")
    record = records(tmp_path, there)["pretrain"]
    assert record.data.tags[tracking.PARENT] == run.pipeline_run_id
    assert record.data.metrics == {"loss": 0.5}
    stored = tmp_path / "mlruns/artifacts" / record.info.run_id / "artifacts/weights"
    assert stored.read_text() == "w"


def search(settings: Settings, folder: Path, storage: str, trials: int) -> None:
    """In a process of its own."""
    search_in(folder, settings, storage=storage).work(objective, trials)


def test_two_processes_on_two_machines_search_together_in_a_fresh_database(
    server: Postgres, settings: Settings, tmp_path: Path
) -> None:
    storage = server.uri("trials")
    context = multiprocessing.get_context("forkserver")
    running = [
        context.Process(target=search, args=(settings, tmp_path / f"machine{i}", storage, 12))
        for i in range(2)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    rows = search_in(tmp_path, settings, storage=storage).rows()
    assert [row.number for row in rows] == list(range(12))
    assert {row.state for row in rows} <= {"complete", "stopped"}
    assert rows[0].default


def test_a_killed_database_costs_no_result_and_the_next_run_is_recorded(
    server: Postgres, database: str, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    there = placed(settings, uri=database, experiment="killed")
    monkeypatch.setattr(tracking, "BUFFERED_METRICS", 1)
    with track_stage("pretrain", there, tmp_path) as run:
        run.metrics(0, {"loss": 1.0})
        server.kill()
        start = time.monotonic()
        for step in range(1, 4):
            run.metrics(step, {"loss": 1.0 / step})
        run.write_identity(tmp_path / "pretrain.run.json")
        waited_s = time.monotonic() - start
    assert "WARNING: TRACKING FAILED to record metrics" in capfd.readouterr().err
    assert waited_s < 5.0
    assert json.loads((tmp_path / "pretrain.run.json").read_text())["run_id"] == run.run_id
    with track_stage("untracked", there, tmp_path) as run:
        pass
    assert run.run_id is None
    assert "TRACKING FAILED to start a run" in capfd.readouterr().err
    server.start()
    with track_stage("probe", there, tmp_path) as run:
        run.metrics(0, {"loss": 2.0})
    found = records(tmp_path, there)
    assert found["probe"].data.metrics == {"loss": 2.0}
    assert found["pretrain"].data.metrics == {"loss": 1.0}


def test_metrics_after_the_database_has_come_back_are_recorded_in_the_same_run(
    server: Postgres, database: str, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    there = placed(settings, uri=database, experiment="back")
    monkeypatch.setattr(tracking, "BUFFERED_METRICS", 1)
    with track_stage("pretrain", there, tmp_path) as run:
        run.metrics(0, {"loss": 1.0})
        server.kill()
        run.metrics(1, {"loss": 0.5})
        server.start()
        run.metrics(2, {"loss": 0.25})
    history = open_store(there.tracking, tmp_path).client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (2, 0.25)]


def test_the_lock_in_the_database_is_held_by_one_at_a_time_and_as_often_as_he_likes(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy

    monkeypatch.setattr("unisurg.addresses.LOCK_TIMEOUT_S", 0.2)
    mine, other = lock_on(database, tmp_path), PostgresLock(database)
    with mine, mine, pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
        other.__enter__()
    with other:
        pass


def test_a_database_that_does_not_answer_is_not_waited_for_long(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("psycopg", reason="psycopg is not installed: unisurg[postgres]")
    monkeypatch.setattr("unisurg.addresses.CONNECT_TIMEOUT_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"postgresql://unisurg@127.0.0.1:{silent.getsockname()[1]}/runs"
        start = time.monotonic()
        with track_stage("pretrain", placed(settings, uri=uri), tmp_path) as run:
            run.metrics(0, {"loss": 1.0})
        waited_s = time.monotonic() - start
    assert run.run_id is None
    assert "TRACKING FAILED to start a run" in capfd.readouterr().err
    assert 1.0 < waited_s < 60.0


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AddressError, match=r"needs psycopg: pip install 'unisurg\[postgres\]'"):
        need_driver("postgresql://team@host/runs")
    with pytest.raises(AddressError, match=r"needs boto3: pip install 'unisurg\[s3\]'"):
        need_driver("s3://bucket/runs")
    need_driver("sqlite:///mlruns/mlflow.db")


def test_a_password_in_an_address_is_refused_with_the_place_where_it_belongs() -> None:
    with pytest.raises(SettingsError, match=r"tracking\.uri: a password stands .* ~/\.pgpass"):
        settings_module.load(PARAMS, ["tracking.uri=postgresql://team:secret@host/runs"])
    with pytest.raises(SettingsError, match=r"tracking\.s3_endpoint: a password"):
        settings_module.load(PARAMS, ["tracking.s3_endpoint=http://key:secret@host:9000"])


@pytest.mark.parametrize(
    ("uri", "artifacts", "place"),
    [
        ("sqlite:///mlruns/a.db", "mlruns/artifacts", "file:///here/mlruns/artifacts"),
        ("postgresql://team@host/runs", "/shared/runs", "file:///shared/runs"),
        ("postgresql://team@host/runs", "s3://bucket/runs/", "s3://bucket/runs"),
        ("https://mlflow.example", "s3://bucket/runs", "s3://bucket/runs"),
        ("https://mlflow.example", "mlruns/artifacts", None),
    ],
)
def test_artifacts_go_where_the_settings_say_and_a_server_has_a_place_of_its_own(
    settings: Settings, uri: str, artifacts: str, place: str | None
) -> None:
    there = settings.tracking.model_copy(update={"uri": uri, "artifacts": artifacts})
    assert artifact_place(there, Path("/here")) == place


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, template: Path, tmp_path: Path) -> None:
    """What a user of an S3-compatible store has in the environment, and a ready database."""
    pytest.importorskip("boto3", reason="boto3 is not installed: unisurg[s3]")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "")  # restored after what the store sets
    (tmp_path / "mlruns").mkdir()
    shutil.copy(template, tmp_path / "mlruns")


@pytest.fixture
def bucket(keys: None) -> Iterator[str]:
    """The address of an S3-compatible server in this process with a bucket named `runs`."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="runs")
    yield f"http://{host}:{port}"
    server.stop()


def test_artifacts_are_kept_in_an_s3_compatible_store_and_read_back(
    bucket: str, settings: Settings, tmp_path: Path
) -> None:
    there = placed(settings, artifacts="s3://runs/unisurg", s3_endpoint=bucket)
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "weights").write_bytes(bytes(1000))
    with track_stage("pretrain", there, tmp_path) as run:
        run.artifact(tmp_path / "encoder")
        run.table("cases", {"case": ["a"], "f1": [0.1]})
    store = open_store(there.tracking, tmp_path)
    back = Path(store.client.download_artifacts(run.run_id, "encoder", str(tmp_path / "back")))
    assert (back / "weights").read_bytes() == bytes(1000)
    assert store.client.get_run(run.run_id).info.artifact_uri.startswith("s3://runs/unisurg/")


def test_a_store_of_artifacts_that_is_down_costs_no_result(
    keys: None, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = placed(settings, artifacts="s3://runs/unisurg", s3_endpoint="http://127.0.0.1:9")
    (tmp_path / "weights").write_text("w")
    with track_stage("pretrain", there, tmp_path) as run:
        run.artifact(tmp_path / "weights")
        run.metrics(0, {"loss": 1.0})
    assert "TRACKING FAILED to store an artifact" in capfd.readouterr().err
    assert records(tmp_path, there)["pretrain"].data.metrics == {"loss": 1.0}
