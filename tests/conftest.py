"""Shared options and fixtures: the settings of params.yaml, the folder of real video."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisurg import settings as settings_module
from unisurg import telemetry
from unisurg.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
# Two processes of tests share the cores: threads of one that spin while they wait starve the other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes minutes: pytest --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="module", autouse=True)
def threads_left_as_found() -> Iterator[None]:
    """Sums differ in their last bits by the threads that share them, so no file may change these
    for the ones after it: a library that starts workers does so unasked.
    """
    before, count = [os.environ.get(name) for name in THREADS], _threads()
    yield
    assert [os.environ.get(name) for name in THREADS] == before
    assert count is None or _threads() == count


def _threads() -> int | None:
    """Threads of torch; None where nobody has imported it."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.get_num_threads()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return settings_module.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The address of a Prefect server, which takes ten seconds to start: one for all flows."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    telemetry.switch_off()
    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real surgical samples; the test is skipped where it is absent."""
    folder = os.environ.get("UNISURG_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("UNISURG_REAL_DATA does not name a folder of real surgical video")
    return Path(folder)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of the tests' own, with an empty database; it takes seconds to start."""
    telemetry.switch_off()
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
