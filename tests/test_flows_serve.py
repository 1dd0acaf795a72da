"""Deployments: one declaration, served or in work pools, and no second run beside the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import deployments, serve
from unisurg.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def declared(settings: Settings) -> list[deployments.Deployment]:
    return deployments.deployments(settings.orchestration.schedules)


@pytest.fixture(scope="module")
def served(declared: list[deployments.Deployment]) -> dict[str, Any]:
    return {one.name: serve.runnable(one) for one in declared}


@pytest.fixture(scope="module")
def api(prefect_server: None) -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def test_prefect_yaml_is_what_the_declaration_and_params_yaml_say(
    declared: list[deployments.Deployment],
) -> None:
    assert (ROOT / "prefect.yaml").read_text() == deployments.as_yaml(declared), (
        "run `make deployments`"
    )


def test_served_and_declared_deployments_are_the_same(served: dict[str, Any]) -> None:
    rows = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert [row["name"] for row in rows] == list(served)
    for row in rows:
        one = served[row["name"]]
        crons = [(s.schedule.cron, s.schedule.timezone) for s in one.schedules or []]
        assert crons == [(s["cron"], s["timezone"]) for s in row["schedules"]]
        assert one.entrypoint == row["entrypoint"]
        assert (one.parameters or {}) == row["parameters"]
        assert one.tags == row["tags"]
        alone = row["concurrency_limit"]
        assert (one.concurrency_limit is None) == (alone is None)
        if alone is not None:
            assert one.concurrency_limit == alone["limit"] == 1
            assert one.concurrency_options.collision_strategy.value == alone["collision_strategy"]


def test_every_entrypoint_is_a_flow_of_that_file_with_typed_parameters(
    served: dict[str, Any],
) -> None:
    for one in served.values():
        file, _, function = one.entrypoint.partition(":")
        assert (ROOT / file).is_file()
        assert function == one.flow_name == one.name
        properties = one._parameter_openapi_schema.properties
        assert all("type" in p or "anyOf" in p for p in properties.values()), one.name


def test_stages_of_a_commit_go_to_the_pool_of_gpus(
    declared: list[deployments.Deployment],
) -> None:
    assert [one.name for one in declared if one.pool == deployments.GPU_POOL] == ["stage"]


def test_a_schedule_that_fires_while_the_last_run_goes_starts_no_second(
    served: dict[str, Any], api: Any
) -> None:
    from prefect.states import Completed, Pending, Running

    deployment = served["pipeline"].apply()
    first, second, third = (api.create_flow_run_from_deployment(deployment) for _ in range(3))
    assert api.set_flow_run_state(first.id, Pending()).state.is_pending()
    assert api.set_flow_run_state(first.id, Running()).state.is_running()
    assert api.set_flow_run_state(second.id, Pending()).state.is_cancelled()
    api.set_flow_run_state(first.id, Completed())
    assert api.set_flow_run_state(third.id, Pending()).state.is_pending()


def test_the_server_turns_a_schedule_into_runs(served: dict[str, Any], api: Any) -> None:
    deployment = str(served["retrain"].apply())
    api.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={})
    runs = [run for run in api.read_flow_runs() if str(run.deployment_id) == deployment]
    assert runs
    assert all(run.auto_scheduled for run in runs)
    assert {run.next_scheduled_start_time.strftime("%a %H:%M") for run in runs} == {"Sat 03:00"}


def test_a_server_that_is_configured_is_used_and_none_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example.org/api")
    monkeypatch.setattr(serve.subprocess, "Popen", lambda *_, **__: pytest.fail("started one"))
    with serve.server(4200) as address:
        assert address == "http://prefect.example.org/api"


def test_a_server_that_does_not_come_up_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(serve, "SERVER", (serve.sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(serve.NoServer, match="--port"), serve.server(1):
        pytest.fail("there is no server")
