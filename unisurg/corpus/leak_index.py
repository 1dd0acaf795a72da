"""The index of a benchmark's held-out recordings: hashes and times in a small file, no pixels.

Whoever holds a benchmark can make it (`unisurg.corpus.indexing`) and pass it on. It is a parquet
file of frames; beside them it may say how it was made and what could not be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from unisurg.corpus.duplicates.search import FRAME_COLUMNS
from unisurg.corpus.parts import whole_file

INDEX_COLUMNS = ("benchmark", "part", *FRAME_COLUMNS, "diff_prev")
PARTS = ("val", "test")
ACCOUNT = b"unisurg"
"""Key of the account among the file's own notes."""


@dataclass(frozen=True)
class Account:
    """How an index was made, and what of the benchmark is not in it."""

    benchmark: str
    splits: tuple[str, ...]
    """Whose validation and test cases it holds."""
    unread: Mapping[str, str]
    """Case, or place in the copy, that could not be read -> why."""
    rendered: bool
    """Of the embedded theatre's copy, which shows none of the benchmark's operations."""
    knobs: Mapping[str, Any]
    """Of the scan that the hashes are from."""


def index_of(frames: pd.DataFrame, benchmark: str, parts: Mapping[str, str]) -> pd.DataFrame:
    """The index of a benchmark's held-out recordings: what `leaks` needs of their frames.

    Args:
        frames: their frames table, scanned at 4 frames a second, since a corpus samples the same
            footage at other instants; video_id is the case.
        parts: case -> val or test, of exactly the cases in `frames`.

    Returns:
        columns as INDEX_COLUMNS; video_id is `benchmark/case`.

    Raises:
        ValueError: frames and parts name different cases, or a part is neither val nor test.
    """
    cases = set(frames["video_id"])
    odd = sorted(cases ^ set(parts)) or sorted(c for c, part in parts.items() if part not in PARTS)
    if odd:
        raise ValueError(
            f"{benchmark}: {', '.join(odd[:5])}: every case needs frames, and val or test as part"
        )
    index = frames.assign(
        benchmark=benchmark,
        part=frames["video_id"].map(dict(parts)),
        video_id=benchmark + "/" + frames["video_id"].astype(str),
    )
    return index[list(INDEX_COLUMNS)].sort_values(["video_id", "pts_s"], ignore_index=True)


def write_index(index: pd.DataFrame, path: Path, account: Account | None = None) -> None:
    """Write an index as parquet, whole or not at all; about 1 MB for 6 hours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(index, preserve_index=False)
    if account is not None:
        said = json.dumps(asdict(account), sort_keys=True).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), ACCOUNT: said})
    with whole_file(path) as aside:
        pq.write_table(table, aside, compression="zstd")


def read_indices(folder: Path) -> pd.DataFrame:
    """All indices `*.parquet` in a folder as one; none gives an empty table.

    Raises:
        ValueError: a file lacks a column, or two of them hold the same case.
    """
    tables = []
    for path in _files(folder):
        table = pd.read_parquet(path)
        absent = [name for name in INDEX_COLUMNS if name not in table.columns]
        if absent:
            raise ValueError(f"{path}: no column {', '.join(absent)}; write the index again")
        tables.append(table[list(INDEX_COLUMNS)])
    cases = pd.Series([case for table in tables for case in table["video_id"].unique()], dtype=str)
    if cases.duplicated().any():
        raise ValueError(f"{folder}: two indices hold {cases[cases.duplicated()].iloc[0]}")
    return pd.concat(tables, ignore_index=True) if tables else no_index()


def read_accounts(folder: Path) -> list[Account]:
    """What the indices in a folder say of their making; those that say nothing are left out."""
    notes = [pq.read_schema(path).metadata or {} for path in _files(folder)]
    said = [json.loads(note[ACCOUNT]) for note in notes if ACCOUNT in note]
    return [Account(**{**one, "splits": tuple(one["splits"])}) for one in said]


def no_index() -> pd.DataFrame:
    """The index of nothing."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in INDEX_COLUMNS})


def _files(folder: Path) -> list[Path]:
    """Hidden files are left of a writer that was killed."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
