"""The gate before pretraining: rules on all tables of curation; a broken one stops the graph."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.expectations.outcome import ValidationFailed
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.expectations.validate import validate, write
from unisurg.report.validation import write_page
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import Run, track_stage


def run(settings: Settings, home: Path, output: Path) -> None:
    with track_stage("validate", settings) as tracked:
        inspect("validate", settings, Places(home, home / "corpus"), output, tracked)
        tracked.write_identity(identity_path("validate", output))


def inspect(stage: str, settings: Settings, places: Places, output: Path, tracked: Run) -> None:
    """Hold every table to its rules, and leave what was found in `output`: for programs
    (validation.json) and for people (index.html).

    Raises:
        ValidationFailed: a rule is broken; after both have been written.
    """
    result = validate(places, settings)
    tracked.artifact(write(result, output))
    tracked.artifact(write_page(result, output))
    tracked.metrics(0, {"rules": len(result.rules), "broken": len(result.broken)})
    if not result.success:
        raise ValidationFailed(result)
    tables = len({rule.table for rule in result.rules})
    print(f"{stage}: {len(result.rules)} rules on {tables} tables hold")
