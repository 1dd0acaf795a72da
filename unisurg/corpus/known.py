"""What is known of the recordings of a folder: the package's facts, and those that lie beside them.

A file `sources.yaml` or `overlaps.yaml` in the folder adds to the files of the package of the same
names (docs/sources.md).
"""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus import overlaps, sources
from unisurg.corpus.overlaps import Overlaps
from unisurg.corpus.sources import Source


def known_sources(raw: Path) -> dict[str, Source]:
    """Every source by its id; one that does not say how its recordings are named has the names of
    its data set.

    Raises:
        SourcesError, OverlapsError: a file cannot be used.
    """
    rules = known_overlaps(raw)
    rows = sources.load(extra=_beside(raw, sources.SOURCES))
    return {
        name: row.model_copy(update={"names": row.names or rules.expressions(row.dataset)})
        for name, row in rows.items()
    }


def known_overlaps(raw: Path) -> Overlaps:
    """The rules of which recordings are the same operation.

    Raises:
        OverlapsError: a file cannot be used.
    """
    return overlaps.load(extra=_beside(raw, overlaps.OVERLAPS))


def _beside(raw: Path, ours: Path) -> Path | None:
    own = raw / ours.name
    return own if own.is_file() else None
