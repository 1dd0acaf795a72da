"""All deployments with their schedules, in one process: `make serve`.

A run is a process of its own in this checkout, with this environment. Where no Prefect server is
configured (PREFECT_API_URL), one is started for as long as this goes on.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from flows import environment
from flows.deployments import Deployment, deployments
from unisurg import lineage
from unisurg.settings import SettingsError, load

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

SERVER = (sys.executable, "-m", "prefect", "server", "start")
HOST = "127.0.0.1"
PORT = 4200
API = "PREFECT_API_URL"
PAGES = "PREFECT_UI_API_URL"
STARTS_WITHIN_S = 120.0
ENDS_WITHIN_S = 15.0


class NoServer(RuntimeError):
    """Prefect's server did not start; the message says what to do."""


def runnable(one: Deployment) -> RunnerDeployment:
    """A deployment as Prefect serves it.

    Raises:
        ValueError: its cron is none that Prefect can read.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron

    alone = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    file, _, function = one.entrypoint.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found: RunnerDeployment = getattr(module, function).to_deployment(
        name=one.name,
        description=one.description,
        tags=one.tags,
        schedules=[Cron(one.cron, timezone=one.timezone)] if one.cron else [],
        concurrency_limit=alone if one.alone else None,
    )
    return found


@contextmanager
def server(port: int) -> Iterator[str]:
    """The address of the configured server, or of one that runs until the block ends.

    Raises:
        NoServer: it does not answer in time.
    """
    if API in os.environ:
        yield os.environ[API]
        return
    command = [*SERVER, "--host", HOST, "--port", str(port)]
    address = f"http://{HOST}:{port}/api"
    variables = os.environ | {PAGES: address}  # else the pages ask at port 4200
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=variables)
    try:
        _wait_for(address, process)
        os.environ[API] = address
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise NoServer(
        f"Prefect's server does not answer at {address}. Is the port taken? Choose another with"
        f" --port, or name a running server in {API}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="of a server started here")
    options = parser.parse_args(arguments)
    environment.prepare()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = load(lineage.repository_root() / "params.yaml")
        wanted = deployments(settings.orchestration.schedules)
        with server(options.port) as address:
            from prefect import serve  # it reads its surroundings while it is imported

            served: list[Any] = [runnable(one) for one in wanted]
            print(f"== Prefect: {address.removesuffix('/api')}/deployments (Ctrl-C ends it)")
            serve(*served, print_starting_message=False)
    except KeyboardInterrupt:
        return 130
    except (NoServer, SettingsError) as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
