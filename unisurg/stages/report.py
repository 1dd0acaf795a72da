"""All results on one self-contained page."""

from __future__ import annotations

from pathlib import Path

from unisurg.report import build
from unisurg.settings import Settings
from unisurg.tracking import track_stage


def run(settings: Settings) -> None:
    with track_stage("report", settings) as tracked:
        page = build(Path(), settings, Path("reports/index.html"))
        tracked.artifact(page)
        tracked.write_identity(Path("artifacts/report.run.json"))
        print(f"report: {page}")
