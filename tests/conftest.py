"""Shared options and fixtures: the settings of params.yaml, the folder of real video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisurg import settings as settings_module
from unisurg import telemetry
from unisurg.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes minutes: pytest --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


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
