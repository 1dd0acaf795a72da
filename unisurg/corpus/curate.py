"""A folder of raw recordings -> a corpus, in one go: all stages, one after the other.

    raw -> scan -> deidentify -> clean -> dedup -> leak -> corpus

Nothing is lost: every recording that is found ends in the manifest, in quarantine, or in intervals
that say what became of its seconds. The raw files are only read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unisurg.corpus.assemble import Summary, assemble
from unisurg.corpus.cleaning import clean_folder
from unisurg.corpus.dedup import dedup_folder
from unisurg.corpus.deidentify import deidentify
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.known import known_overlaps, known_sources
from unisurg.corpus.leakage import HeldOutOf, leak_folder, leak_rules
from unisurg.corpus.mapping import runner_of
from unisurg.corpus.raw_names import RESTRICTED, copy_raw_names
from unisurg.corpus.scan.folder import OWNER_ONLY
from unisurg.corpus.scan.stage import check_places, folder_knobs, scan_folder
from unisurg.settings import Settings

EVIDENCE = "evidence"
"""Where a corpus has the tables of the stages before it."""


def curate(
    settings: Settings,
    raw: Path,
    output: Path,
    scratch: Path,
    benchmarks: HeldOutOf,
    inspect: Callable[[Places], None] = lambda places: None,
) -> Summary:
    """Curate every recording below `raw` into the corpus folder `output`.

    What was scanned lies in `scratch` alone: it is not de-identified. Verdicts, pairs and hits are
    put into `output/evidence`. Recordings go by opaque ids; which file each of them is stands in
    `output/restricted`, which its owner alone may enter. An interrupted run goes on where it
    stopped.

    Args:
        inspect: looks at what all stages have written, before what lies in `scratch` goes, and may
            raise.

    Raises:
        CurationError: nothing to curate, nothing kept, or too much refused; what there is has been
            written then.
    """
    check_places(raw, output, scratch)
    runner = runner_of(**dict(settings.runner))
    sources, overlaps = known_sources(raw), known_overlaps(raw)
    # What was refused is judged at the end, when its table lies where it stays.
    knobs = replace(folder_knobs(settings.curate, settings.scan), max_quarantined=1.0)
    short_s = settings.clean.short_s
    with _room(scratch, output) as run:
        scan, deid, clean, dedup, leak = (
            run / stage for stage in ("scan", "deid", "clean", "dedup", "leak")
        )
        scan_folder(raw, scan, scratch, knobs, sources, overlaps, runner)
        copy_raw_names(scan, output / RESTRICTED)
        every_s = settings.scan.median_every_s
        deidentify(scan, deid, scratch, settings.deid, every_s, sources, runner)
        clean_folder(scan, deid, clean, settings.clean)
        dedup_folder(scan, clean, dedup, scratch, settings.duplicates, short_s, runner)
        rules, indices = leak_rules(settings.duplicates, settings.leaks), settings.leaks.indices
        leak_folder(scan, dedup, leak, scratch, rules, indices, benchmarks, runner)
        try:
            summary = assemble(scan, deid, dedup, leak, output, scratch, settings.curate, runner)
            inspect(Places(run, output))
            return summary
        finally:
            for folder in (deid, clean, dedup, leak):
                _keep(folder, output / EVIDENCE / folder.name)


@contextmanager
def _room(scratch: Path, output: Path) -> Iterator[Path]:
    """A folder for the stages of one run, which its owner alone may enter; gone with the run.

    It has the same name for the same output, so that the next run removes what a killed one left.
    """
    name = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
    room = scratch / f"run-{name}"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(mode=OWNER_ONLY, parents=True)
    try:
        yield room
    finally:
        shutil.rmtree(room)


def _keep(folder: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
