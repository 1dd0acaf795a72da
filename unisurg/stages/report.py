"""All results on one self-contained page, and its main numbers for programs."""

from __future__ import annotations

from pathlib import Path

from unisurg.report import build, numbers
from unisurg.settings import Settings
from unisurg.tracking import track_stage


def run(settings: Settings) -> None:
    with track_stage("report", settings) as tracked:
        page = build(Path(), settings, Path("reports/index.html"))
        tracked.artifact(page)
        tracked.artifact(numbers.write(Path(), settings, Path("reports/results.json")))
        tracked.write_identity(Path("artifacts/report.run.json"))
        print(f"report: {page}")
