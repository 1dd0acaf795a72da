"""The content-addressed cache of tokens, below `scratch`.

A file's name is the digest of all that its content depends on, and a file that has its name is
whole: it is written aside and renamed. So an interrupted run goes on where it was, processes may
share a cache, and nothing in it is ever out of date. Nothing is deleted here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from unisurg.evaluation import store


def entry(scratch: Path, facts: Mapping[str, Any]) -> Path:
    """Where the tokens lie that are made as `facts` (plain values) say."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return scratch / "tokens" / digest[:2] / f"{digest}.npy"


def windows_of(entry: Path) -> Path:
    """The windows beside an entry, where clips are put together from its rows."""
    return entry.with_suffix(".windows.npz")


class UnevenTokens(ValueError):
    """The clips of one case have token grids of different sizes."""


class TokensTooLarge(ValueError):
    """A token does not fit the type in which tokens are stored."""


class Writer:
    """Rows of tokens, written to disk as they come; the entry appears when all are there.

    As a context manager it leaves nothing behind where the work ends before that.
    """

    def __init__(self, entry: Path, rows: int, dtype: str) -> None:
        self._entry, self._rows, self._dtype = entry, rows, np.dtype(dtype)
        self._aside = entry.with_name(f".{os.getpid()}-{entry.name}")
        self._file: BinaryIO | None = None
        self.row: tuple[int, ...] = ()
        self._done = 0

    def add(self, tokens: np.ndarray) -> None:
        """Append rows (n, ...).

        Raises:
            UnevenTokens: their shape is another one than of those before.
            TokensTooLarge: a number would become infinite on disk.
        """
        largest = np.abs(tokens).max(initial=0)
        if self._dtype == np.float16 and largest > np.finfo(np.float16).max:
            raise TokensTooLarge(
                f"tokens of up to {largest:.3g} do not fit float16; set features.dtype: float32"
            )
        if self._file is None:
            self._file = self._opened(tokens.shape[1:])
        if tokens.shape[1:] != self.row:
            raise UnevenTokens(
                f"clips of one group have tokens {tokens.shape[1:]} and {self.row}: their files"
                " differ in size; set features.grid, to which all are pooled"
            )
        # Not through a memory map, whose pages would count as ours up to the whole file.
        self._file.write(np.ascontiguousarray(tokens, self._dtype).tobytes())
        self._done += len(tokens)

    def finish(self, windows: np.ndarray | None, code: np.ndarray | None) -> None:
        """Put the entry in place, and before it the windows (S, t) that make clips of its rows."""
        if self._file is None or self._done != self._rows:
            raise RuntimeError(f"{self._entry}: {self._done} of {self._rows} rows")
        self._file.close()
        if windows is not None:
            aside = windows_of(self._aside)
            store.save_windows(aside, windows, code)
            aside.replace(windows_of(self._entry))
        self._aside.replace(self._entry)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._aside.unlink(missing_ok=True)

    def _opened(self, row: tuple[int, ...]) -> BinaryIO:
        self._entry.parent.mkdir(parents=True, exist_ok=True)
        self.row = row
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *row),
        }
        file = self._aside.open("wb")
        np.lib.format.write_array_header_1_0(file, header)
        return file


def link(entry: Path, tokens: Path, windows: Path) -> None:
    """Put an entry into a folder of features: hard links where the file system allows it."""
    _link(entry, tokens)
    if windows_of(entry).exists():
        _link(windows_of(entry), windows)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def alone(scratch: Path, name: str) -> Iterator[None]:
    """Of several processes with that scratch and name one at a time gets here, the others wait.

    The second one then finds in the cache what the first has made. A process that dies lets go.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"features of {name}: another process is at it, waiting", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def size(folder: Path) -> int:
    """Bytes of all files below a folder; one that vanishes while we look counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def in_units(count: int) -> str:
    """Bytes for a reader: 183 MiB."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.3g} {units[0]}"
