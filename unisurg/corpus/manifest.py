"""The tables of a curated corpus: their columns, and how they are written and read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

MANIFEST = "manifest.parquet"
QUARANTINE = "quarantine.csv"
INPUTS = "inputs.csv"
RECORDINGS = "recordings.parquet"
"""Table `videos` of all that could be read, kept or not."""

MANIFEST_COLUMNS: dict[str, str] = {
    "clip_id": "str",  # video_id-number: one piece of a recording that is kept
    "video_id": "str",  # first 16 hexadecimal digits of the content's SHA-256: opaque and stable
    "recording": "str",  # opaque and stable, see `unisurg.corpus.opaque`
    "source": "str",
    "specialty": "str",
    "clip": "str",  # path below the corpus
    "raw_bytes": "int64",
    "codec": "str",
    "raw_width_px": "int32",
    "raw_height_px": "int32",
    "raw_fps": "float64",
    "raw_duration_s": "float64",  # decoded, not declared
    "has_audio": "bool",
    "start_s": "float64",  # of the piece, seconds since the recording's first frame
    "end_s": "float64",
    "width_px": "int32",
    "height_px": "int32",
    "fps": "float64",
    "n_frames": "int32",
    "duration_s": "float64",
    "variable_rate": "bool",
    "decode_errors": "int32",  # packets or pictures that could not be decoded
    "clock_jumps": "int32",  # places where the time stamps jump
    "missing_pictures": "int32",  # numbers that a sequence of pictures skips
}
QUARANTINE_COLUMNS: dict[str, str] = {
    "recording": "str",
    "stage": "str",  # probe | normalise | verify | deidentify | corpus
    "reason": "str",  # unisurg.corpus.facts.Reason
    "detail": "str",
    "raw_bytes": "int64",
}
INPUTS_COLUMNS: dict[str, str] = {
    "recording": "str",
    "source": "str",  # the first folder below the input
    "kind": "str",  # video | pictures | unordered | unreadable | other, which is no recording
    "suffix": "str",  # of files; (none), (hidden) or (unknown) where it tells nothing
    "raw_bytes": "int64",
}
OTHER = "other"
"""Kind of the inputs that are no recordings: they stand in no other table."""

Row = Mapping[str, Any]


class ManifestError(ValueError):
    """A table of the corpus is missing or has other columns than it should."""


def write_manifest(corpus: Path, rows: Iterable[Row]) -> pd.DataFrame:
    """Write `manifest.parquet`, by source, recording and time; the same rows give equal bytes."""
    table = _table(rows, MANIFEST_COLUMNS, ["source", "recording", "start_s"])
    part = corpus / (MANIFEST + ".part")
    table.to_parquet(part, index=False, compression="zstd")
    _settle(part, corpus / MANIFEST)
    return table


def write_quarantine(corpus: Path, rows: Iterable[Row]) -> pd.DataFrame:
    """Write `quarantine.csv`, sorted by recording."""
    return _write_csv(corpus / QUARANTINE, _table(rows, QUARANTINE_COLUMNS, ["recording"]))


def write_inputs(corpus: Path, rows: Iterable[Row]) -> pd.DataFrame:
    """Write `inputs.csv`, the record of all that was found, before any of it is decoded."""
    return _write_csv(corpus / INPUTS, _table(rows, INPUTS_COLUMNS, ["recording"]))


def read_manifest(corpus: Path) -> pd.DataFrame:
    """One row per clip, columns as in MANIFEST_COLUMNS.

    Raises:
        ManifestError: no manifest, or one of another version.
    """
    path = _existing(corpus / MANIFEST)
    table = pd.read_parquet(path)
    absent = [column for column in MANIFEST_COLUMNS if column not in table.columns]
    if absent:
        raise ManifestError(f"{path}: no column {', '.join(absent)}; run `unisurg curate` again")
    return table


def read_quarantine(corpus: Path) -> pd.DataFrame:
    return _read_csv(corpus / QUARANTINE, QUARANTINE_COLUMNS)


def read_inputs(corpus: Path) -> pd.DataFrame:
    return _read_csv(corpus / INPUTS, INPUTS_COLUMNS)


def _table(rows: Iterable[Row], columns: dict[str, str], order: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns)).astype(columns)
    return table.sort_values(order, ignore_index=True)


def _write_csv(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False, lineterminator="\n")
    _settle(part, path)
    return table


def _read_csv(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    return pd.read_csv(_existing(path), dtype=columns, keep_default_na=False)


def _settle(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; run `unisurg curate` to write the corpus")
    return path
