"""Raw recordings -> the corpus, in one go and beside the graph."""

from __future__ import annotations

import shutil
from pathlib import Path

from unisurg.corpus.balancing import FOLDER
from unisurg.corpus.curate import EVIDENCE, curate
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.known import known_overlaps
from unisurg.corpus.leakage import checked_coverage, leak_rules
from unisurg.corpus.manifest import MANIFEST
from unisurg.corpus.scan.kept import throughput_of
from unisurg.report import build_curation
from unisurg.settings import Settings
from unisurg.stages import SCRATCH
from unisurg.stages.balance import tell
from unisurg.stages.corpus import leave
from unisurg.stages.leak import held_out_of_all
from unisurg.stages.validate import inspect
from unisurg.tracking import track_stage

PAGE, VALIDATION = "report.html", "validation"
"""Below the corpus: what became of the recordings; whether its tables keep their rules."""


def run(settings: Settings, raw: Path, output: Path) -> None:
    with track_stage("curate", settings) as tracked:
        benchmarks = held_out_of_all(known_overlaps(raw), settings.leaks.require)
        # Now, and not after hours of reading.
        rules = leak_rules(settings.duplicates, settings.leaks)
        checked_coverage(settings.leaks.indices, rules, benchmarks, ())
        # What an earlier run has found is not said of this one.
        shutil.rmtree(output / VALIDATION, ignore_errors=True)

        def checked(places: Places) -> None:
            inspect("curate", settings, places, output / VALIDATION, tracked)

        try:
            summary = curate(settings, raw, output, SCRATCH, benchmarks, checked)
            tell("curate", settings, output, output / EVIDENCE / FOLDER, tracked)
        finally:
            _show(output)  # most of all where too much was refused, or a rule is broken
        leave("curate", settings, output, summary, tracked)


def _show(output: Path) -> None:
    """Leave a page on the corpus beside its tables, if it has come that far."""
    if (output / MANIFEST).is_file():
        page = build_curation(
            corpus=output,
            balance=output / EVIDENCE / FOLDER,
            validation=output / VALIDATION / "validation.json",
            throughput=throughput_of(SCRATCH),
            output=output / PAGE,
        )
        print(f"curate: {page} shows what became of the recordings")
