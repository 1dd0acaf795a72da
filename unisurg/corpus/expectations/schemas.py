"""Has every table the columns of its definition, in their types? Told from files, not from rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from unisurg.corpus import tables
from unisurg.corpus.expectations.expected import Suite, none_of
from unisurg.corpus.expectations.places import DEFINED, LISTED, Places

RULE = none_of("fault", "the columns of its definition, in their types")


def schema_suites(places: Places) -> Iterator[Suite]:
    """A suite per table, with a row per column and what is wrong with it."""
    for table in (*DEFINED, *LISTED):
        faults = _faults(places, table)
        rows = pd.DataFrame({"column": list(faults), "fault": list(faults.values())}, dtype=str)
        yield Suite(table, rows, ("column",), (RULE,))


def _faults(places: Places, table: str) -> dict[str, str]:
    """Column -> what is wrong with it; of a file that cannot be read, one fault of no column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = places.file(table)
    try:
        if table in DEFINED:
            found, wanted = pq.read_schema(path), tables.schema(table.partition("/")[2])
            unknown = dict.fromkeys(set(found.names) - set(wanted.names), "unknown")
            return {field.name: _unlike(found, field) for field in wanted} | unknown
        if path.suffix == ".parquet":
            found = pq.read_schema(path)
            return {
                name: _unlike(found, _field(name, kind)) for name, kind in LISTED[table].items()
            }
        return _of_text(places, table)
    except FileNotFoundError:
        return {"": f"no such file: {path.name}"}
    except (pa.ArrowException, OSError, ValueError) as error:
        return {"": f"cannot be read: {error}"}


def _field(name: str, kind: str) -> Any:
    import pyarrow as pa

    return pa.field(name, pa.string() if kind == "str" else pa.from_numpy_dtype(kind))


def _unlike(found: Any, wanted: Any) -> str:
    import pyarrow.types as kinds

    if wanted.name not in found.names:
        return "absent"
    field = found.field(wanted.name)
    both_text = kinds.is_large_string(field.type) and kinds.is_string(wanted.type)
    if field.type != wanted.type and not both_text:
        return f"is {field.type}, not {wanted.type}"
    return "may be null" if field.nullable and not wanted.nullable else ""


def _of_text(places: Places, table: str) -> dict[str, str]:
    """A CSV has no types: its columns must be readable as theirs."""
    found = places.read(table).columns
    return {name: "" if name in found else "absent" for name in LISTED[table]}
