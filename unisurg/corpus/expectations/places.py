"""Where the tables of a curation lie, by which definition each was written, how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unisurg.corpus import manifest, tables
from unisurg.corpus.leak import COVERAGE_COLUMNS
from unisurg.corpus.leakage import COVERAGE, PROCEDURES

DEFINED = (
    *("scan/videos", "scan/frames", "scan/shots"),
    *("deid/verdicts", "deid/rectangles", "deid/oob", "deid/outside", "deid/pages"),
    "clean/intervals",
    *("dedup/dup_pairs", "dedup/clusters", "dedup/intervals"),
    *("leak/leak_hits", "leak/intervals"),
    *("corpus/recordings", "corpus/intervals", "corpus/dup_pairs", "corpus/leak_hits"),
)
"""Tables of `unisurg.corpus.tables`."""
BY_FRAME = frozenset({"scan/frames", "deid/oob"})
"""Those with a row per frame, of which there are millions."""
LISTED: Mapping[str, Mapping[str, str]] = {
    "leak/procedures": {"video_id": "str", "procedure_id": "str"},
    "leak/coverage": COVERAGE_COLUMNS,
    "corpus/procedures": {"video_id": "str", "procedure_id": "str"},
    "corpus/coverage": COVERAGE_COLUMNS,
    "corpus/manifest": manifest.MANIFEST_COLUMNS,
    "corpus/quarantine": manifest.QUARANTINE_COLUMNS,
    "corpus/inputs": manifest.INPUTS_COLUMNS,
}
"""Tables whose columns and types are listed elsewhere."""
HANDED_ON = {
    "corpus/inputs": "scan/inputs",
    "corpus/dup_pairs": "dedup/dup_pairs",
    "corpus/leak_hits": "leak/leak_hits",
    "corpus/procedures": "leak/procedures",
    "corpus/coverage": "leak/coverage",
}
"""Files of the corpus that are those of a stage before it."""
_FILES = {
    "recordings": manifest.RECORDINGS,
    "quarantine": manifest.QUARANTINE,
    "inputs": manifest.INPUTS,
    "coverage": COVERAGE,
    "procedures": PROCEDURES,
}


@dataclass(frozen=True)
class Places:
    """The folders that the stages write: `home/scan` to `home/leak`, and the corpus."""

    home: Path
    corpus: Path

    def folder(self, stage: str) -> Path:
        return self.corpus if stage == "corpus" else self.home / stage

    def file(self, table: str) -> Path:
        """The file of `folder/table`."""
        stage, _, name = table.partition("/")
        return self.folder(stage) / _FILES.get(name, f"{name}.parquet")

    def read(self, table: str) -> pd.DataFrame:
        """Its rows.

        Raises:
            TableError, ValueError, OSError: it cannot be read as what it should be.
        """
        path = self.file(table)
        if table in DEFINED:
            return tables.read(path, table.partition("/")[2])
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        kinds = LISTED[table]
        blank = {name: "" for name, kind in kinds.items() if kind.startswith("float")}
        return pd.read_csv(path, dtype=dict(kinds), keep_default_na=False, na_values=blank)
