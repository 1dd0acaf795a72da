"""Trained heads that were chosen before, found again by all that decides them.

Benchmarks may differ in their test cases alone, as five sets of polyps do: what is chosen on one is
then the choice on the others, to the bit. A file's name is the digest of what the choice depends
on, so nothing here is ever out of date; its content begins with its own digest, so that a file that
was damaged is not believed, and the head is chosen anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unisurg import tasks
from unisurg.evaluation import probing, statistics
from unisurg.evaluation.probing.choosing import Chosen, choose
from unisurg.evaluation.probing.fitting import Hyper, OnMetrics, device_of
from unisurg.evaluation.probing.kinds import Kind
from unisurg.evaluation.probing.samples import Samples
from unisurg.evaluation.probing.trained import TrainedHeads
from unisurg.evaluation.store import Index
from unisurg.tasks.base import Task

CODE = (probing, statistics, tasks)
"""By which a head is fitted and rated: an edit of any makes all heads others."""
NEUTRAL = {
    "baseline",
    "bootstrap",
    "kinds",
    "label_efficiency",
    "neighbours",
    "seeds",
    "smoothing_s",
}
"""Settings of the probe that shape no single trained head; any other makes it another one."""
MOST_BYTES = 4 * 2**30
"""Of all heads that are kept; beyond it those go that were not used for longest."""
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class KeptHeads:
    """The heads in `folder`, for a benchmark of which `index` tells.

    Any number of processes may share a folder: of two that want the same head one chooses it, and
    the other waits.
    """

    folder: Path
    index: Index

    def choose(
        self,
        kind: Kind,
        task: Task,
        main: str,
        known: Samples,
        held_out: Samples,
        refit_on: Samples | None,
        seed: int,
        on_metrics: OnMetrics,
    ) -> Chosen:
        """What `choosing.choose` gives and tells, without training where it was chosen before.

        Heads that are not trained are as quickly made as read, and not kept.
        """
        make = partial(choose, kind, task, main, known, held_out, refit_on, seed)
        if not isinstance(kind, TrainedHeads):
            return make(on_metrics)
        key = self._key(kind, main, known, held_out, refit_on, seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder / "lock", key):
            path = self.folder / f"{key}.pt"
            kept = _read(path)
            if kept is None:
                chosen, kept = _noted(make, on_metrics)
                _write(path, kept)
                _trim(self.folder)
                return chosen
        for step, values in kept["told"]:
            on_metrics(step, values)
        head = kind.unfitted(Hyper(**kept["hyper"]), known.only(known.names[:1]), seed)
        head.module.load_state_dict(kept["state"])
        return Chosen(head, kept["score"])

    def _key(
        self,
        kind: TrainedHeads[Any],
        main: str,
        known: Samples,
        held_out: Samples,
        refit_on: Samples | None,
        seed: int,
    ) -> str:
        index = self.index
        decides = {
            "code": _code(),
            "made with": [torch.__version__, np.__version__],
            "made on": [str(device_of()), torch.get_num_threads()],
            "task": [index.task, index.classes, index.size_px, main],
            "seconds": [index.every_s, index.test_every_s],
            "kind": kind.name,
            "probe": kind.probe.model_dump(mode="json", exclude=NEUTRAL),
            "known": known.digests,
            "held out": held_out.digests,
            "refit on": None if refit_on is None else refit_on.digests,
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """Digest of the sources of `CODE`."""
    files = [path for one in CODE for path in _sources(Path(str(one.__file__)))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _sources(file: Path) -> list[Path]:
    return sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]


def _noted(make: partial[Chosen], on_metrics: OnMetrics) -> tuple[Chosen, dict[str, Any]]:
    """A choice, and what is kept of it: all that is needed to give and to tell the same again."""
    told: list[tuple[int, dict[str, float]]] = []

    def note(step: int, values: dict[str, float]) -> None:
        told.append((step, values))
        on_metrics(step, values)

    chosen = make(note)
    head = chosen.head
    return chosen, {
        "hyper": asdict(head.hyper),
        "score": chosen.score,
        "told": told,
        "state": head.module.state_dict(),
    }


def _read(path: Path) -> dict[str, Any] | None:
    """What is kept in a file, which then counts as used; None where it is absent or damaged."""
    with suppress(OSError):
        stored = path.read_bytes()
        digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() == digest:
            os.utime(path)
            return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return None


def _write(path: Path, kept: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    content = buffer.getvalue()
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        aside.write_bytes(hashlib.sha256(content).digest() + content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _trim(folder: Path) -> None:
    """Remove the heads, and what killed processes left of them, that are beyond `MOST_BYTES`."""
    found = []
    for path in folder.glob("*.pt"):
        with suppress(FileNotFoundError):  # another process trims as well
            facts = path.stat()
            found.append((facts.st_mtime_ns, facts.st_size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path, key: str) -> Iterator[None]:
    """Of several processes with that key one at a time gets here; one that dies lets go."""
    with lock.open("w") as file:
        # A byte of the one file per key; none of them need be there to be locked.
        fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:15], 16))
        yield
