"""Shared options and fixtures: the settings of params.yaml, the folder of real video."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unisurg import settings as settings_module
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
def real_data() -> Path:
    """Folder of real surgical samples; the test is skipped where it is absent."""
    folder = os.environ.get("UNISURG_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("UNISURG_REAL_DATA does not name a folder of real surgical video")
    return Path(folder)
