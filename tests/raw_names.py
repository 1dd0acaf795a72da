"""Tables of a corpus with the raw names that their opaque ids stand for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unisurg.corpus.manifest import OTHER
from unisurg.corpus.raw_names import read_raw_names, restricted_of


def named(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `raw` beside its `recording`, by that name."""
    names = read_raw_names(restricted_of(folder)).set_index("recording")["raw"]
    return table.assign(raw=names.loc[table["recording"]].to_numpy()).sort_values(
        "raw", ignore_index=True, kind="stable"
    )


def found(folder: Path, inputs: pd.DataFrame) -> list[str]:
    """Raw names of the recordings among the inputs, in their order."""
    return named(folder, inputs[inputs["kind"] != OTHER])["raw"].tolist()


def reasons(folder: Path, quarantine: pd.DataFrame) -> dict[str, str]:
    """Raw name -> why it is in quarantine."""
    told = named(folder, quarantine)
    return dict(zip(told["raw"], told["reason"], strict=True))
