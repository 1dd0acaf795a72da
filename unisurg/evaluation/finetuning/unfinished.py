"""The state of an unfinished fine-tuning: never half written, never taken up by another one.

A run has a folder named by the digest of all that decides its weights, and in it a file for each
training, written anew after every epoch. The folder is removed when the run has ended well.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unisurg.models.writing import held, replacing

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Row:
    """What an epoch, counted from 1, gave: mean loss, main metric on validation cases if judged."""

    epoch: int
    train_loss: float
    val: float | None


@dataclass(frozen=True)
class Training:
    """A training as far as it is done.

    `best` are the weights after epoch `best_epoch`; `network` and `optimiser` are the states after
    the last epoch, with which the next one begins.
    """

    rows: tuple[Row, ...] = ()
    best_epoch: int = 0
    best: Weights = field(default_factory=dict)
    network: Weights = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)

    @property
    def best_val(self) -> float | None:
        """The main metric on validation cases after the best epoch, None if none was judged.

        Not finite where it is so after every epoch.
        """
        return self.rows[self.best_epoch - 1].val

    def after(self, row: Row, network: Weights, optimiser: dict[str, Any]) -> Training:
        """The training one epoch later.

        Of epochs with equal values the earlier one stays the best, and one without a number is
        worse than any other; without a judge the last is the best.
        """
        done = replace(self, rows=(*self.rows, row), network=network, optimiser=optimiser)
        best = self.best_val if self.rows else None
        if best is not None and row.val is not None and _score(row.val) <= _score(best):
            return done
        copy = {name: value.detach().cpu().clone() for name, value in network.items()}
        return replace(done, best_epoch=row.epoch, best=copy)


def _score(val: float) -> float:
    return val if math.isfinite(val) else -math.inf


@contextmanager
def run_folder(scratch: Path, decided_by: dict[str, Any]) -> Iterator[Path]:
    """The run's own folder below `scratch`, held by this process; gone when the block ends well.

    Args:
        decided_by: plain values, all that decides the weights of the run.

    Raises:
        RunLocked: another process holds it; the system frees it when that process dies.
        CannotSave: nothing can be written there.
    """
    text = json.dumps(decided_by, sort_keys=True)
    folder = scratch / hashlib.sha256(text.encode()).hexdigest()[:16]
    with held(folder, "at this fine-tuning"):
        yield folder
        shutil.rmtree(folder)


def save(path: Path, training: Training) -> None:
    """Write a training, in place only when whole.

    Raises:
        CannotSave: the disk is full or read-only; what was saved before is untouched.
    """
    state = {**vars(training), "rows": [asdict(row) for row in training.rows]}
    with replacing(path) as file:
        torch.save(state, file)


def load(path: Path) -> Training:
    """What of a training was saved, on the CPU; nothing where there is no file.

    Refuses pickled code.
    """
    if not path.is_file():
        return Training()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return Training(**{**state, "rows": tuple(Row(**row) for row in state["rows"])})
