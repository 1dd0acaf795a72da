"""Which videos were held against which, and what was found: kept in files, each pair once.

An entry is of one video: the digests of the others that it was held against, and the rows of
footage in common. A digest stands for all that a video says to the search. So entries hold in
whatever order videos come, leave and come back. 8 bytes a pair: 400 MB for 10,000 videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unisurg.corpus.duplicates.votes import PAIR_COLUMNS
from unisurg.corpus.parts import Parts

STAGE, VERSION = "pairs", 1
"""The version is counted up when the same frames and rules begin to give other pairs."""
OTHERS, OF_ROW = "others", "of_row"


@dataclass(frozen=True)
class Entry:
    """What a video was held against, and what was found."""

    others: np.ndarray
    """uint64 (n,): their digests."""
    of_row: np.ndarray
    """uint64 (m,): digest of the other video of each row."""
    rows: pd.DataFrame
    """m of them, columns as PAIR_COLUMNS."""


class Ledger:
    """The entries of all videos that were ever compared by the same rules.

    An entry never changes: a video that is held against more gets one more.
    """

    def __init__(self, folder: Path, rules: Mapping[str, Any]) -> None:
        self._parts = Parts(folder, STAGE, VERSION, rules, suffix=".npz")

    def entries(self, digest: np.uint64) -> Iterator[Entry]:
        """Those of a video, the first first."""
        for number in count():
            path = self._parts.find(_name(digest, number))
            if path is None:
                return
            yield read(path)

    def add(self, digest: np.uint64, entry: Entry) -> Path:
        """Keep one more entry of a video, whole or not at all."""
        number = next(n for n in count() if self._parts.find(_name(digest, n)) is None)
        return self._parts.add(_name(digest, number), lambda path: _write(path, entry))


class Open:
    """Pairs of `digests` uint64 (n,), each once, of which no entry has told yet."""

    def __init__(self, digests: np.ndarray, wanted: np.ndarray) -> None:
        """`wanted`: bool (n, n), symmetric."""
        self._digests, self._open = digests, wanted
        self._order = np.argsort(digests)

    def close(self, one: int, entry: Entry) -> pd.DataFrame:
        """Close the pairs of one, by number, that an entry of it tells of; their rows."""
        at = np.searchsorted(self._digests, entry.others, sorter=self._order)
        others = self._order[np.minimum(at, len(self._order) - 1)]
        told = (self._digests[others] == entry.others) & self._open[one, others]
        self._open[one, others[told]] = self._open[others[told], one] = False
        if len(entry.rows) == 0:
            return entry.rows
        return entry.rows[np.isin(entry.of_row, entry.others[told])]

    def shared_out(self) -> Iterator[tuple[int, np.ndarray]]:
        """(one, its others (m,)), all by number: every open pair once.

        Who has more of them takes all that are left of them: a new video is held against all
        others, not each of these against it.
        """
        number = self._open.sum(axis=1)
        rank = np.empty(len(number), np.int64)
        rank[np.argsort(-number, kind="stable")] = np.arange(len(number))
        for one in np.flatnonzero(number).tolist():
            others = np.flatnonzero(self._open[one] & (rank > rank[one]))
            if len(others):
                yield one, others


def read(path: Path) -> Entry:
    """The entry that `Ledger.add` kept there."""
    with np.load(path) as file:
        if OF_ROW not in file.files:
            return Entry(file[OTHERS], np.zeros(0, np.uint64), _no_rows())
        rows = pd.DataFrame({name: file[name] for name in PAIR_COLUMNS})
        return Entry(file[OTHERS], file[OF_ROW], rows.astype(PAIR_COLUMNS))


def _write(path: Path, entry: Entry) -> None:
    """Most have no rows, and are read in a tenth of the time for that."""
    arrays: dict[str, Any] = {OTHERS: entry.others}
    if len(entry.rows):
        arrays[OF_ROW] = entry.of_row
        arrays |= {name: entry.rows[name].to_numpy(kind) for name, kind in PAIR_COLUMNS.items()}
    np.savez(path, **arrays)


@cache
def _no_rows() -> pd.DataFrame:
    return pd.DataFrame(columns=list(PAIR_COLUMNS)).astype(PAIR_COLUMNS)


def _name(digest: np.uint64, number: int) -> str:
    return f"{digest:016x}-{number}"
