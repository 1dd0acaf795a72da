"""The sources of recordings, what is known of them, and which benchmarks they may leak into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unisurg.benchmarks import REGISTRY
from unisurg.corpus import overlaps as rules
from unisurg.corpus.overlaps import Overlaps
from unisurg.corpus.sources import SOURCES, Source, SourcesError, load, load_paper
from unisurg.stages import aligned

HEADER = (
    "source",
    "specialty",
    "region",
    "access",
    "videos",
    "hours",
    "de-identified by",
    "benchmark",
    "overlaps",
    "unchecked",
    "licence",
)
UNKNOWN = "?"


def list_sources(
    extra: Path | None = None, extra_overlaps: Path | None = None, as_json: bool = False
) -> str:
    """One row per source, and how many of the paper's are established.

    Args:
        extra: a file of your own sources beside ours.
        extra_overlaps: a file of your own overlaps beside ours.
        as_json: every field, instead of those that fit beside each other.

    Raises:
        SourcesError, OverlapsError: a file cannot be used.
    """
    known = rules.load(extra=extra_overlaps)
    sources = load(extra=extra)
    for source in sources.values():
        _check_holdings(source, SOURCES if extra is None else extra)
    rows = [_row(source, known) for source in sources.values()]
    paper = load_paper()
    established = sum(source.in_paper for source in sources.values())
    if as_json:
        claim = {**paper.model_dump(), "established": established}
        return json.dumps({"paper": claim, "sources": rows}, indent=2, ensure_ascii=False)
    told = (
        f"{len(rows)} sources; {established} of the paper's {paper.sources} are established, the "
        "others nobody has published.",
        f"{UNKNOWN}: not known. overlaps: benchmarks that hold the same operations. unchecked: of "
        f"{len(REGISTRY)} benchmarks those that names alone do not keep apart from the source.",
    )
    return "\n".join((aligned([HEADER, *map(_cells, rows)]), "", *told))


def _check_holdings(source: Source, path: Path) -> None:
    """A part that a source holds must be one of a benchmark's splits."""
    for holding in source.holds:
        benchmark, split, _ = holding.split("/")
        known = REGISTRY[benchmark].splits if benchmark in REGISTRY else None
        if known is None or split not in known:
            remedy = f"benchmarks are {', '.join(REGISTRY)}" if known is None else ""
            raise SourcesError(
                f"{path}: row {source.id!r}, field 'holds': {holding!r} is no part of a benchmark; "
                f"{remedy or f'splits of {benchmark} are ' + ', '.join(known or ())}"
            )


def _row(source: Source, known: Overlaps) -> dict[str, Any]:
    others = [name for name in REGISTRY if name != source.dataset]
    overlapping = [name for name in others if known.relation(source.dataset, name) == "overlaps"]
    return {
        **source.model_dump(mode="json", exclude={"replaces"}),
        "unknown": list(source.unknown),
        "overlaps": overlapping,
        "unchecked": list(known.unsettled(source.dataset, REGISTRY)),
    }


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    fields = ("id", "specialty", "region", "access", "videos", "hours", "deid_by_provider")
    benchmarks = dict.fromkeys(holding.split("/")[0] for holding in row["holds"])
    return [
        *(_cell(row[field]) for field in fields),
        ", ".join(benchmarks) or "-",
        ", ".join(row["overlaps"]) or "-",
        str(len(row["unchecked"])),
        _cell(row["licence"]),
    ]


def _cell(value: Any) -> str:
    if value is None or value == "unknown":
        return UNKNOWN
    return f"{value:g}" if isinstance(value, float) else str(value)
