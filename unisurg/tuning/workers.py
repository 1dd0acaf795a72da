"""Processes of this machine that share out some work, and do not outlive whoever started them."""

from __future__ import annotations

import itertools
import multiprocessing
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any


class SearchStopped(RuntimeError):
    """A process of the search was killed; the same command goes on with it."""


class Orphaned(RuntimeError):
    """The process that started this one has died, or wants it to stop."""

    exit_status = 1


Job = tuple[Any, ...]  # a function and its arguments


def together(jobs: Sequence[Job], workers: int) -> list[Any]:
    """What the jobs return, in their order, shared out to processes of their own.

    Raises:
        SearchStopped: a process was killed.
        Whatever a job raises; the others then stop at their next step.
    """
    if workers == 1:
        return [function(*arguments) for function, *arguments in jobs]
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    processes, answers = [], []
    for share in (jobs[i::workers] for i in range(workers)):
        answer, send = context.Pipe(duplex=False)
        process = context.Process(target=_take_part, args=(share, stop, send))
        process.start()
        send.close()
        processes.append(process)
        answers.append(answer)
    try:
        return _collected(answers)
    finally:
        stop.set()
        for process in processes:
            process.join()


def _collected(answers: Sequence[Connection]) -> list[Any]:
    """The results of all shares in the order of the jobs; the first error as soon as it is told."""
    shares: dict[int, list[Any]] = {}
    while len(shares) < len(answers):
        waiting = [answer for i, answer in enumerate(answers) if i not in shares]
        ready = wait(waiting)
        for answer in (answer for answer in waiting if answer in ready):
            try:
                told: Any = answer.recv()
            except EOFError:
                raise SearchStopped(
                    "a process of the search was killed; the same command does its trial again"
                ) from None
            if isinstance(told, BaseException):
                raise told
            shares[answers.index(answer)] = told
    results = itertools.zip_longest(*(shares[i] for i in range(len(answers))), fillvalue=MISSING)
    return [result for row in results for result in row if result is not MISSING]


def _take_part(share: Sequence[Job], stop: Any, send: Connection) -> None:
    """The life of a worker process."""
    global _stop
    _stop = stop
    try:
        send.send([function(*arguments) for function, *arguments in share])
    except Orphaned:
        return
    except Exception as error:
        traceback.print_exc()
        send.send(error)


MISSING = object()
_stop: Any = None  # of a worker process, set once when it begins


def check_wanted() -> None:
    """Raise `Orphaned` in a process whose starter has died, or has told it to stop."""
    parent = multiprocessing.parent_process()
    if (_stop is not None and _stop.is_set()) or (parent is not None and not parent.is_alive()):
        raise Orphaned("the search has ended")
