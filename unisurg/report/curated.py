"""A curated corpus as the page shows it: the tables of its folder, read and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.intervals import State
from unisurg.corpus.samples import folder as samples

COVERAGE = "coverage.csv"
DRAWN = {"stage 1": "repetition.csv", "stage 2": "repetition_long.csv"}
"""Stage of pretraining -> its file, as of `unisurg.corpus.balancing`."""


@dataclass(frozen=True)
class Curated:
    """What came into a corpus, what is kept of it, and what speaks for that."""

    corpus: Path
    manifest: pd.DataFrame
    """A row per piece that is kept."""
    inputs: pd.DataFrame
    """A row per recording that was found, and per file that is none."""
    quarantine: pd.DataFrame
    recordings: pd.DataFrame
    """A row per recording that was read, with what it should last as `lasts_s`."""
    intervals: pd.DataFrame
    """Seconds of these by state, with their `seconds` and the `source`."""
    leak_hits: pd.DataFrame
    coverage: pd.DataFrame | None
    drawn: dict[str, pd.DataFrame]
    """Stage of pretraining -> how often it draws each data set; none where that is not known."""
    samples: pd.DataFrame
    pairs: pd.DataFrame
    n_pairs: int
    """Stretches of footage that two videos share, of which `pairs` shows some."""
    throughput: pd.DataFrame | None
    """Rows of what was decoded, as `unisurg.corpus.scan.throughput` writes them."""

    @property
    def found(self) -> pd.DataFrame:
        """The inputs that are recordings."""
        return self.inputs[self.inputs["kind"] != manifest.OTHER]

    @property
    def others(self) -> pd.DataFrame:
        """The files that are no recordings."""
        return self.inputs[self.inputs["kind"] == manifest.OTHER]

    @property
    def in_s(self) -> float:
        """Of all recordings that were read."""
        return float(self.recordings["lasts_s"].sum())

    @property
    def kept_s(self) -> float:
        return self.seconds_in(State.KEEP)

    def seconds_in(self, state: State) -> float:
        return float(self.intervals.loc[self.intervals["state"] == state, "seconds"].sum())


def read_curated(corpus: Path, balance: Path, throughput: Path) -> Curated | None:
    """The tables of a corpus; None where it has no manifest.

    Args:
        balance: folder that tells how often pretraining draws each data set, if it is there.
        throughput: what the scan has decoded in which time, if it is there.

    Raises:
        TableError, ManifestError: a table is not as its stage writes it.
    """
    if not (corpus / manifest.MANIFEST).is_file():
        return None
    recordings = tables.read(corpus / manifest.RECORDINGS, "recordings")
    recordings["lasts_s"] = seconds.lasts_s(recordings)
    intervals = tables.of(corpus, "intervals")
    intervals["seconds"] = intervals["end_s"] - intervals["start_s"]
    source_of = dict(zip(recordings["video_id"], recordings["source_id"], strict=True))
    intervals["source"] = intervals["video_id"].map(source_of)
    shown, pairs = samples.read_tables(corpus)
    return Curated(
        corpus=corpus,
        manifest=manifest.read_manifest(corpus),
        inputs=manifest.read_inputs(corpus),
        quarantine=manifest.read_quarantine(corpus),
        recordings=recordings,
        intervals=intervals,
        leak_hits=tables.of(corpus, "leak_hits"),
        coverage=_csv(corpus / COVERAGE),
        drawn={
            stage: table
            for stage, name in DRAWN.items()
            if (table := _csv(balance / name)) is not None
        },
        samples=shown,
        pairs=pairs,
        n_pairs=len(tables.of(corpus, "dup_pairs")),
        throughput=_throughput(throughput),
    )


def _csv(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else None


def _throughput(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["decoded"])
