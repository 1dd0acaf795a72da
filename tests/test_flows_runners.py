"""Stages on the workers of a cluster: spread, ended with the flow, and the same graph."""

from __future__ import annotations

import importlib.util
import os
import sys
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from toy_flows import SLOW, below, dvc, have_ended, repository, soon, start

from flows import pipeline, runners
from unisurg import settings as settings_module
from unisurg import telemetry
from unisurg.settings import Orchestration, Settings, SettingsError

PARAMS = Path(__file__).parent.parent / "params.yaml"
# Each waits for the other to have begun, so they can only end side by side.
MEET = "echo > {own}.here; while [ ! -e {other}.here ]; do sleep 0.1; done; echo $$ > {own}"
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("prefect_dask") is None, reason="prefect-dask is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    telemetry.switch_off()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    from distributed import LocalCluster

    with (
        unittest.mock.patch.dict(os.environ),  # which Dask would change for all tests after this
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


def on_dask(root: Path, address: str) -> None:
    text = (root / "params.yaml").read_text()
    head, rest = text.split("  task_runner: threads")
    placed = rest.replace("address: null", f"address: {address}", 1)
    (root / "params.yaml").write_text(f"{head}  task_runner: dask{placed}")


def there(settings: Settings, kind: str) -> Orchestration:
    placed = {"task_runner": kind, "address": "tcp://127.0.0.1:9"}
    return settings.orchestration.model_copy(update=placed)


def meeting(own: str, other: str) -> dict[str, object]:
    return {"cmd": MEET.format(own=own, other=other), "outs": [own]}


@needs_dask
def test_independent_stages_run_side_by_side_on_two_workers_and_their_dependents_after_them(
    cluster: str, prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"cmd": "cat one two > both", "deps": ["one", "two"], "outs": ["both"]}
    stages = {"one": meeting("one", "two"), "two": meeting("two", "one"), "both": both}
    root = repository(tmp_path / "toy", stages)
    on_dask(root, cluster)
    monkeypatch.chdir(root)
    outcomes = pipeline.pipeline()
    assert {node: text.startswith("ran in") for node, text in outcomes.items()} == {
        "one": True, "two": True, "both": True,
    }  # fmt: skip
    assert len((root / "both").read_text().split()) == 2
    assert dvc(root, "status").strip() == "Data and pipelines are up to date."


@needs_dask
@pytest.mark.slow
def test_cancelling_the_flow_ends_what_it_has_running_on_a_cluster(
    cluster: str, prefect_api: str, tmp_path: Path
) -> None:
    root = repository(tmp_path / "toy", {"slow": {"cmd": SLOW, "outs": ["slow.txt"]}})
    on_dask(root, cluster)
    flow = start(root, prefect_api)
    soon((root / "slow.txt").is_file)
    stages = [p for p in psutil.process_iter() if _is_slow(p)]
    assert stages
    assert not set(stages) & set(below(flow))
    flow.terminate()
    said, _ = flow.communicate()
    assert flow.returncode == 130, said
    soon(lambda: have_ended(stages))
    assert not (root / "dvc.lock").exists()


def _is_slow(process: psutil.Process) -> bool:
    try:
        return SLOW in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.parametrize(("kind", "module"), [("dask", "prefect_dask"), ("ray", "prefect_ray")])
def test_a_runner_that_is_not_installed_is_named_with_the_extra(
    kind: str, module: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(runners, "_need_server", lambda name: None)
    chosen = there(settings, kind)
    with pytest.raises(runners.RunnerUnusable, match=rf"pip install 'unisurg\[{kind}\]'"):
        runners.task_runner(chosen)


def test_workers_without_a_prefect_server_are_refused_before_anything_runs(
    settings: Settings,
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    chosen = there(settings, "dask")
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(runners.RunnerUnusable, match="prefect server start"),
    ):
        runners.task_runner(chosen)


@pytest.mark.parametrize("mixed", ["address=tcp://here:8786", "task_runner=dask"])
def test_a_cluster_without_an_address_and_threads_with_one_are_refused(mixed: str) -> None:
    with pytest.raises(SettingsError, match="address is a cluster's, with dask or ray"):
        settings_module.load(PARAMS, [f"orchestration.{mixed}"])


def test_stages_run_in_threads_where_nothing_else_is_said(
    settings: Settings, tmp_path: Path
) -> None:
    from prefect.task_runners import ThreadPoolTaskRunner

    assert isinstance(runners.task_runner(settings.orchestration), ThreadPoolTaskRunner)
    assert isinstance(runners.of_repository(tmp_path), ThreadPoolTaskRunner)
