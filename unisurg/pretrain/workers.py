"""Processes that may die: a dead one is replaced, and the task it was at is redone.

Tasks are pure functions, so that who did one, and how often, does not show in the result.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from unisurg.corpus.child import Child, ChildCrashed, ChildTimeout

ATTEMPTS = 2


class WorkerDied(RuntimeError):
    """A task took down every worker that tried it; the message names the task."""


@dataclass
class _Job:
    task: Any
    home: int
    future: Future[Any] = field(default_factory=Future)


class Workers:
    """`count` processes that compute `work(**kept, task=task)` for the tasks that are submitted.

    A thread for each waits on its pipe and does nothing else.

    Args:
        work: importable by its name; arguments and result pickle.
        kept: arguments that each process is sent once.
        limit_s: a task that takes longer is taken for hung, and its worker killed.
    """

    def __init__(
        self, count: int, work: Callable[..., Any], kept: Mapping[str, Any], limit_s: float
    ) -> None:
        self._work, self._kept, self._limit_s = work, dict(kept), limit_s
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._children: list[Child | None] = [None] * count
        self._closed = False
        self.replaced = 0
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), name=f"worker {i}", daemon=True)
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Any, home: int = 0) -> Future[Any]:
        """Have a task done, by worker `home % count` where that one is free when its turn comes.

        The future's result may raise what the work raises, or WorkerDied.
        """
        job = _Job(task, home % len(self._children))
        with self._changed:
            self._queue.append(job)
            self._changed.notify_all()
        return job.future

    def close(self) -> None:
        """End all processes, finished or not; what was submitted and is not done is cancelled."""
        with self._changed:
            self._closed = True
            for job in self._queue:
                job.future.cancel()
            self._queue.clear()
            for child in self._children:
                if child is not None:
                    child.kill()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self, place: int) -> None:
        """The thread of one place: a child at a time, and the tasks it takes from the queue."""
        while (job := self._next(place)) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                job.future.set_result(self._done(place, job))
            except BaseException as error:
                job.future.set_exception(error)
        self._drop(place)

    def _next(self, place: int) -> _Job | None:
        """The oldest job of this place, else the oldest of all; None when it is time to go."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            job = next((job for job in self._queue if job.home == place), self._queue[0])
            self._queue.remove(job)
            return job

    def _done(self, place: int, job: _Job) -> Any:
        deaths: list[str] = []
        while len(deaths) < ATTEMPTS:
            try:
                return self._child(place).call(self._work, {"task": job.task}, self._limit_s)
            except (ChildCrashed, ChildTimeout) as death:
                self._drop(place)
                if self._closed:
                    raise CancelledError from None
                deaths.append(str(death))
                self.replaced += 1
                print(f"worker {place} {death} at {job.task}; replaced", file=sys.stderr)
        raise WorkerDied(
            f"{job.task}: every worker that tried it was lost ({'; '.join(deaths)});"
            " the file it is read from is damaged, or memory is too short"
        )

    def _child(self, place: int) -> Child:
        child = self._children[place]
        if child is None:
            child = Child(memory_mib=None)
            with self._changed:
                self._children[place] = child
                if self._closed:
                    child.kill()
            child.keep(self._kept, self._limit_s)
        return child

    def _drop(self, place: int) -> None:
        with self._changed:
            child, self._children[place] = self._children[place], None
        if child is not None:
            child.close()
