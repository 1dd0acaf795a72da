"""What a run leaves for the reader: one row per step, and pictures of what it sees."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from unisurg.models.writing import replacing

Row = dict[str, float]

METERS = ("rank_me", "feature_std", "token_cosine", "temporal_cosine", "knn_source", "knn_chance")
COLUMNS = (
    "step",
    "loss",
    "motion",
    "affinity",
    "diversity",
    "pixel",
    "lr",
    "ema",
    "grad_norm",
    "clips_per_s",
    "seconds",
    "waiting",
    "memory_mib",
    *METERS,
)


class History:
    """`history.csv`, a row per step, written as the steps happen.

    A value that was not measured at a step is left blank. The file outlives the process; what a
    killed one wrote beyond its last checkpoint is dropped when the run goes on.
    """

    def __init__(self, path: Path, steps: int, write: bool) -> None:
        """Go on after the first `steps` rows of `path`, or begin it.

        Args:
            write: False in a process that only remembers.
        """
        self.rows = read_history(path)[:steps] if path.is_file() else []
        self._file = None
        if write:
            write_history(path.parent, self.rows)
            self._file = path.open("a", newline="", encoding="utf-8")

    def append(self, row: Row) -> None:
        self.rows.append(row)
        if self._file is not None:
            _writer(self._file).writerow(_short(row))
            self._file.flush()

    def sync(self) -> None:
        """Put all rows on disk, where a checkpoint counts on them."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def __enter__(self) -> History:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """`history.csv` in a folder, whole or not at all."""
    text = io.StringIO(newline="")
    writer = _writer(text)
    writer.writeheader()
    writer.writerows(map(_short, rows))
    with replacing(folder / "history.csv") as file:
        file.write(text.getvalue().encode())


def read_history(path: Path) -> list[Row]:
    """The rows of a `history.csv`; a last line that a killed process left torn is no row."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
            if None not in row.values()
        ]
    return rows


def write_pictures(folder: Path, pictures: Mapping[str, NDArray]) -> None:
    """`pictures.npz`, of P clips: `clip` uint8 (P, T, H, W, 3), `mask` bool and `motion` float
    (P, t, h, w), `pca` uint8 (P, t, h, w, 3)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "pictures.npz", allow_pickle=False, **pictures)


def _writer(file: TextIO) -> csv.DictWriter[str]:
    return csv.DictWriter(file, COLUMNS, restval="")


def _short(row: Row) -> dict[str, float | int]:
    """Six digits are enough to read."""
    return {
        name: int(value)
        if float(value).is_integer() and abs(value) < 1e9
        else float(f"{value:.6g}")
        for name, value in row.items()
    }
