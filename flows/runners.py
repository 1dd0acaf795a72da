"""Where the tasks of a flow run: threads of its process, or the workers of a Dask or Ray cluster.

A task waits for a process of its own, so threads are enough for one machine. Workers elsewhere must
see the repository at the same path, have the same environment, and be started in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisurg import settings as settings_module

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

    from unisurg.settings import Orchestration


class RunnerUnusable(RuntimeError):
    """A task runner cannot be used; the message says what to install, or to start."""


def of_repository(root: Path) -> TaskRunner[Any]:
    """The task runner that params.yaml names; threads in a repository without one.

    Raises:
        RunnerUnusable: see `task_runner`.
        SettingsError: params.yaml cannot be used.
    """
    path = root / "params.yaml"
    if not path.is_file():
        return _threads()
    return task_runner(settings_module.load(path).orchestration)


def task_runner(settings: Orchestration) -> TaskRunner[Any]:
    """The task runner of `orchestration.task_runner` at `orchestration.address`.

    Raises:
        RunnerUnusable: it is not installed, or its workers would find no Prefect server.
    """
    name = settings.task_runner
    if name == "threads":
        return _threads()
    _need_server(name)
    try:
        return _dask(settings.address) if name == "dask" else _ray(settings.address)
    except ImportError as error:
        raise RunnerUnusable(
            f"orchestration.task_runner is {name}, which is not installed ({error}):"
            f" pip install 'unisurg[{name}]'"
        ) from error


def _need_server(name: str) -> None:
    """A flow's own temporary server is known to its process alone."""
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value() is None:
        raise RunnerUnusable(
            f"orchestration.task_runner is {name}, whose workers report to Prefect themselves:"
            " `prefect server start`, and set PREFECT_API_URL to its address, which it prints"
        )


def _threads() -> TaskRunner[Any]:
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner()


def _dask(address: str | None) -> TaskRunner[Any]:
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def _ray(address: str | None) -> TaskRunner[Any]:
    from prefect_ray import RayTaskRunner

    return RayTaskRunner(address=address)
