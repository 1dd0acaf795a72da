"""Death by SIGKILL at a point that no machine's speed decides: right before a step of the work.

A step is a call of one of STEPS: a change on the disk, or a wait for a child that has been given
work. The same function on the same input takes the same steps, so the n-th is the same point
wherever and however slowly it runs.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.corpus import child

STEPS: list[tuple[Any, str]] = [
    *((os, name) for name in ("fsync", "link", "mkdir")),
    *((Path, name) for name in ("replace", "rename", "unlink", "write_bytes", "write_text")),
    *((shutil, name) for name in ("copyfile", "rmtree")),
    (child, "_receive"),
]
PATIENCE_S = 120.0


def steps_of(function: Callable[..., Any], *arguments: Any) -> int:
    """Run a function to its end in a new process; the number of steps that it took."""
    process, steps = _start(0, function, arguments)
    assert process.exitcode == 0
    return steps


def kill(step: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Run a function in a new process that is killed right before the given step, 1 the first."""
    process, _ = _start(step, function, arguments)
    assert process.exitcode == -signal.SIGKILL, f"it ended before step {step}"


def points(steps: int, number: int) -> list[int]:
    """So many different ones of the steps, at random, or all of them if there are not so many."""
    chosen = np.random.default_rng(0).permutation(steps)[:number] + 1
    return sorted(chosen.tolist())


def count_steps(step: int, victim: int) -> list[int]:
    """Have the process `victim` killed right before a step of this one; the steps so far in [0]."""
    taken = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            taken[0] += 1
            if taken[0] == step:
                os.kill(victim, signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))
    return taken


def _start(step: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, int]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pandas", "pyarrow.parquet", "unisurg.corpus.tables"])
    told = context.Value("q", -1)
    process = context.Process(target=_run, args=(told, step, function, arguments))
    process.start()
    process.join(PATIENCE_S)
    return process, told.value


def _run(told: Any, step: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    taken = count_steps(step, os.getpid())
    function(*arguments)
    told.value = taken[0]
