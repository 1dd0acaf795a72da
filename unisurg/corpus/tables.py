"""The tables of a curated corpus: their columns, and how they are written and read.

Parquet with zstd, units in the names (curation reference 4.2). Rows are sorted by the table's key,
which no two rows share, so the same rows in any order give the same bytes. Numbers are never null:
a float that was not measured is NaN, and what a later stage fills in has a value until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unisurg.corpus.intervals import State
from unisurg.corpus.parts import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

STRING, MAP = "str", "map"
"""Beside numpy's names of types: text; text to text."""
ROW_GROUP = 1 << 17
ZSTD_LEVEL = 3


@dataclass(frozen=True)
class Table:
    """Columns in their order, with types; the key; what a column holds until a stage fills it."""

    columns: Mapping[str, str]
    key: tuple[str, ...]
    later: Mapping[str, Any] = field(default_factory=dict)
    """Columns that may be absent when the table is written, and what stands in for them."""
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The values that a column may have."""


def _names(names: str, kind: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


_MATCHES = {
    **_names("a_id b_id", STRING),
    **_names("a_start_s b_start_s span_s", "float64"),
    "votes": "int32",
    "mean_hamming": "float32",
    "mirrored": "bool",
    **_names("rule evidence_path", STRING),
}
_MATCH = Table(
    _MATCHES,
    key=("a_id", "b_id", "a_start_s", "b_start_s", "mirrored", "rule"),
    later={"rule": "", "evidence_path": ""},
)
_HIT = Table(
    {**_MATCHES, **_names("benchmark part procedure_id", STRING)},
    key=(*_MATCH.key, "benchmark", "part"),
    later=_MATCH.later,
)
_VERDICTS = frozenset({"provider", "detector", "refused"})

TABLES: dict[str, Table] = {
    "videos": Table(
        {
            **_names("video_id content_sha256 source_id dataset_d dataset_video", STRING),
            **_names("specialty_s procedure_id", STRING),
            "priority": "int32",
            "rendered": "bool",
            **_names("recording uri kind", STRING),
            "bytes": "int64",
            **_names("container vcodec pix_fmt", STRING),
            **_names("coded_width_px coded_height_px width_px height_px", "int32"),
            "sar": "float32",
            "rotation_deg": "int16",
            # Decoded; as the header declares, 0 where it does not (see `seconds.lasts_s`).
            **_names("duration_s declared_s start_pts_s fps_avg", "float64"),
            "vfr": "bool",
            **_names("n_packets n_decoded", "int64"),
            **_names("n_packet_err clock_jumps missing_pictures", "int32"),
            "max_pts_gap_s": "float32",
            "has_audio": "bool",
            **_names("box_x_px box_y_px box_w_px box_h_px", "int32"),
            **_names("circle_cx_px circle_cy_px circle_r_px", "float32"),
            **_names("clip_width_px clip_height_px", "int32"),
            "clip_fps": "float64",
            "n_frames": "int32",
            **_names("deid_state licence health", STRING),
            "stage_versions": MAP,
        },
        key=("video_id",),
        later={"deid_state": ""},
        choices={
            "kind": frozenset({"video", "pictures"}),
            "deid_state": _VERDICTS | {""},
            "health": frozenset({"healthy", "degraded", "unreadable"}),
        },
    ),
    "frames": Table(
        {
            "video_id": STRING,
            "k": "int32",
            "pts_s": "float64",
            **_names("phash_100 phash_92 phash_84 phash_mirror", "uint64"),
            **_names("luma_mean dark_frac lap_var entropy_bits diff_prev", "float32"),
            "shot_id": "int32",
        },
        key=("video_id", "k"),
    ),
    "shots": Table(
        {
            "video_id": STRING,
            "shot_id": "int32",
            **_names("start_s end_s", "float64"),
            "score": "float32",
        },
        key=("video_id", "shot_id"),
    ),
    "verdicts": Table(
        _names("video_id deid_state reason remedy", STRING),
        key=("video_id",),
        choices={"deid_state": _VERDICTS},
    ),
    "rectangles": Table(
        {"video_id": STRING, **_names("x y w h", "float64"), "kind": STRING},
        key=("video_id", "x", "y", "w", "h", "kind"),
        choices={"kind": frozenset({"catalogue", "personal", "text"})},
    ),
    "oob": Table({"video_id": STRING, "k": "int32", "oob_p": "float32"}, key=("video_id", "k")),
    "outside": Table(
        {"video_id": STRING, **_names("start_s end_s", "float64")}, key=("video_id", "start_s")
    ),
    "pages": Table(
        {"video_id": STRING, **_names("start_s end_s", "float64")},
        key=("video_id", "start_s", "end_s"),
    ),
    "intervals": Table(
        {
            "video_id": STRING,
            **_names("start_s end_s", "float64"),
            **_names("state reason stage", STRING),
        },
        key=("video_id", "start_s"),
        choices={"state": frozenset(State)},
    ),
    "dup_pairs": _MATCH,
    "clusters": Table(
        {**_names("video_id cluster", STRING), "canonical": "bool", "size": "int32"},
        key=("video_id",),
    ),
    "leak_hits": _HIT,
}

RAW_COLUMNS = ("content_sha256", "uri", "dataset_video")
"""Of the videos, which may hold a person's name or tell whose it is: they stay with the scan."""
TABLES["recordings"] = replace(
    TABLES["videos"],
    columns={n: kind for n, kind in TABLES["videos"].columns.items() if n not in RAW_COLUMNS},
)


class TableError(ValueError):
    """A table cannot be written or read; the message names the file, the column and the remedy."""


@cache
def schema(table: str) -> pa.Schema:
    """The Arrow schema of a table; no column is null.

    Raises:
        KeyError: no such table.
    """
    import pyarrow as pa

    special = {
        STRING: pa.string(),
        MAP: pa.map_(pa.string(), pa.string()),
        "bool": pa.bool_(),
    }
    columns = TABLES[table].columns.items()
    types = {name: special.get(kind) or pa.from_numpy_dtype(kind) for name, kind in columns}
    return pa.schema([pa.field(name, type, nullable=False) for name, type in types.items()])


def write(path: Path, frame: pd.DataFrame, table: str) -> None:
    """Write the rows of a table, whole or not at all; equal rows in any order give equal bytes.

    Raises:
        TableError: a column is absent, unknown, of another type or with a value that its table does
            not allow, or two rows share a key.
    """
    import pyarrow as pa

    known = TABLES[table]
    absent = [c for c in known.columns if c not in frame.columns and c not in known.later]
    if absent or (unknown := [c for c in frame.columns if c not in known.columns]):
        said = f"no column {absent[0]}" if absent else f"unknown column {unknown[0]}"
        raise TableError(f"{path}: {said}; a table `{table}` has {', '.join(known.columns)}")
    arrays = [_column(path, frame, wanted, known) for wanted in schema(table)]
    _write(path, pa.Table.from_arrays(arrays, schema=schema(table)), table)


def read(path: Path, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a table by its key; all columns, or those asked for.

    Raises:
        TableError: no such file, one that is no Parquet, or one of another version.
    """
    return _read(path, table, columns).to_pandas(maps_as_pydicts="strict")


def put(folder: Path, table: str, frame: pd.DataFrame) -> None:
    """`write` to the file that a folder of a stage has for the table."""
    write(folder / f"{table}.parquet", frame, table)


def of(folder: Path, table: str) -> pd.DataFrame:
    """`read` from there."""
    return read(folder / f"{table}.parquet", table)


def join(path: Path, parts: Iterable[Path], table: str) -> None:
    """Write one table from the tables of single videos, which may be given in any order.

    Raises:
        TableError: as `read`; or two parts hold the same row.
    """
    import pyarrow as pa

    found = [_read(part, table) for part in parts]
    _write(path, pa.concat_tables([schema(table).empty_table(), *found]), table)


def _column(path: Path, frame: pd.DataFrame, wanted: pa.Field, known: Table) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    name, kind = wanted.name, known.columns[wanted.name]
    values = frame[name] if name in frame.columns else pd.Series([known.later[name]] * len(frame))
    try:
        array = _array(values, wanted.type, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise TableError(
            f"{path}: column {name} is no {kind}: {error}; convert it first"
        ) from error
    if missing := array.null_count:
        raise TableError(f"{path}: column {name}: {missing} rows have no value; give them one")
    choices = known.choices.get(name)
    if choices and (strange := sorted(set(array.unique().to_pylist()) - choices)):
        raise TableError(f"{path}: column {name}: {strange[0]!r} is none of {sorted(choices)}")
    return array


def _array(values: pd.Series, type: pa.DataType, kind: str) -> pa.Array:
    import pyarrow as pa

    if kind == MAP:
        return pa.array([sorted(dict(value).items()) for value in values], type)
    if not kind.startswith("float"):
        return pa.array(values, type, from_pandas=True)
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    # Equal values as equal bits: there are many NaN, and a zero that is negative.
    numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
    return pa.array(numbers.astype(kind), type, from_pandas=False)


def _write(path: Path, rows: pa.Table, table: str) -> None:
    import pyarrow.parquet as pq

    key = TABLES[table].key
    rows = rows.sort_by([(name, "ascending") for name in key]).combine_chunks()
    _check_unique(path, rows, key)
    with whole_file(path) as aside:
        pq.write_table(
            rows,
            aside,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
        )


def _check_unique(path: Path, rows: pa.Table, key: Sequence[str]) -> None:
    import pyarrow.compute as pc

    if len(rows) < 2:
        return
    same = None
    for name in key:
        column = rows[name]
        equal = pc.equal(column.slice(1), column.slice(0, len(rows) - 1))
        same = equal if same is None else pc.and_(same, equal)
    if (first := pc.index(same, True).as_py()) >= 0:
        row = {name: rows[name][first].as_py() for name in key}
        raise TableError(f"{path}: two rows with the key {row}; keep one of them")


def _read(path: Path, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    again = "run the stage that writes it again"
    if not path.is_file():
        raise TableError(f"{path}: no such file; {again}")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_schema(path, file.schema_arrow, table, again)
            return file.read(columns=list(columns) if columns is not None else None)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: no table `{table}`: {error}; {again}") from error


def _check_schema(path: Path, found: pa.Schema, table: str, again: str) -> None:
    for wanted in schema(table):
        if wanted.name not in found.names:
            raise TableError(f"{path}: no column {wanted.name}; {again}")
        if (other := found.field(wanted.name).type) != wanted.type:
            raise TableError(f"{path}: column {wanted.name} is {other}, not {wanted.type}; {again}")
    if unknown := [name for name in found.names if name not in schema(table).names]:
        raise TableError(f"{path}: unknown column {unknown[0]}; {again}")
