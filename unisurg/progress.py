"""Progress of long work: a bar with an ETA on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_EVERY_S = 10.0


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, telling on standard error how far the work is.

    `total` is the number of items; it defaults to `len(items)` where that exists.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total)
    else:
        yield from _log(items, label, total)


def counting(label: str, total: int) -> Callable[..., Any]:
    """What to call, with any arguments, whenever one of `total` items is done."""
    ticks = track(range(total), label)
    next(ticks, None)
    return lambda *_: next(ticks, None)


def _log(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            print(_line(label, done, total, now - start), file=sys.stderr, flush=True)


def _line(label: str, done: int, total: int | None, elapsed_s: float) -> str:
    if not total:
        return f"{label}: {done} in {elapsed_s:.0f} s"
    left_s = elapsed_s / done * (total - done)
    return f"{label}: {done}/{total} in {elapsed_s:.0f} s, {left_s:.0f} s left"
