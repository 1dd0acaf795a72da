"""Is a curated corpus fit to train on: rules on all tables of all stages that led to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from unisurg.corpus import tables
from unisurg.corpus.expectations.check import check
from unisurg.corpus.expectations.conserved import conserved_suites
from unisurg.corpus.expectations.evidence import evidence_suites
from unisurg.corpus.expectations.expected import Suite
from unisurg.corpus.expectations.kept import kept_suites
from unisurg.corpus.expectations.matches import match_suites
from unisurg.corpus.expectations.outcome import Report
from unisurg.corpus.expectations.places import BY_FRAME, DEFINED, HANDED_ON, Places
from unisurg.corpus.expectations.ranges import own_rules
from unisurg.corpus.expectations.schemas import schema_suites
from unisurg.settings import Settings

VALIDATION = "validation.json"


def validate(places: Places, settings: Settings) -> Report:
    """Check every table of a curation that was made with the same settings.

    Where a table lacks a column or a file is not there, that is all that is said: no other rule
    can be told then.
    """
    schemas = check(schema_suites(places))
    if not all(rule.success for rule in schemas):
        return Report(schemas)
    return Report(schemas + check(suites(places, settings)))


def suites(places: Places, settings: Settings) -> Iterator[Suite]:
    """All rules but those on schemas: on each table alone, and between them."""
    for table in DEFINED:
        name = table.partition("/")[2]
        if table not in BY_FRAME and table not in HANDED_ON and name != "recordings":
            key = tables.TABLES[name].key
            yield Suite(table, places.read(table), key, tuple(own_rules(name)))
    videos = places.read("scan/videos").drop_duplicates("video_id")  # that none is twice is a rule
    yield from evidence_suites(places, videos)
    yield from conserved_suites(places, videos)
    yield from match_suites(places, videos, settings.leaks.require)
    yield from kept_suites(places, videos, settings)


def write(report: Report, folder: Path) -> Path:
    """Write `validation.json`; equal reports give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / VALIDATION
    path.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return path
