"""One function over many videos, on the cores of this machine or of many: one interface, three
runners that give the same results (curation reference 4.3, goal G13).

Every item has exactly one outcome: what the function returned, or `Failed`. Neither an exception
nor the death of a worker process stops the others. The function and its items must pickle; they are
sent by name, so the function must be importable and not live in `__main__`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from unisurg.corpus.child import Child

T = TypeVar("T")
R = TypeVar("R")
Outcomes = Generator[tuple[int, Any], None, None]
"""(number of the item, its outcome), as they come."""

NO_LIMIT_S = 14 * 86400.0
"""How long one item may take; a function that must end sooner limits itself (`child.Limits`)."""
RAY_STORE_BYTES = 256 << 20
"""Results are small: what is large goes to files."""


class RunnerError(RuntimeError):
    """A runner cannot be used; the message says what to install or to change."""


@dataclass(frozen=True)
class Failed(Generic[T]):
    """The outcome of an item whose function raised `error`, or took its worker down."""

    item: T
    error: Exception


class Runner(Protocol):
    """Runs a function over items; see `Processes`, `Dask` and `Ray`."""

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        """Begin items in their order, yield each outcome as it comes, leave no process behind."""
        ...


def map_videos(
    function: Callable[[T], R],
    items: Sequence[T],
    runner: Runner,
    on_done: Callable[[T, R | Failed[T]], None] | None = None,
    cost: Callable[[T], float] | None = None,
) -> list[R | Failed[T]]:
    """`[function(item) for item in items]`, with a `Failed` for each item that raised.

    Args:
        function: of one item; importable by its name.
        items: any that pickle.
        runner: where the work is done; the results are the same on all.
        on_done: called here with an item and its outcome as soon as it is known, in any order.
        cost: relative time that an item takes; the dearest begin first, so that none is left to run
            alone at the end. Without it items begin in their order.

    Raises:
        RunnerError: a function that cannot be sent, or a runner that is not installed.
        KeyboardInterrupt, and what `on_done` raises: after all work has been stopped.
    """
    _check_sendable(function)
    order = list(range(len(items)))
    if cost is not None:
        order.sort(key=lambda number: -cost(items[number]))
    results: list[Any] = [None] * len(items)
    with contextlib.closing(runner.outcomes(function, [items[i] for i in order])) as outcomes:
        for position, outcome in outcomes:
            number = order[position]
            results[number] = outcome
            if on_done is not None:
                on_done(items[number], outcome)
    return results


def runner_of(kind: str, workers: int, address: str | None = None) -> Runner:
    """The runner by its name.

    Args:
        kind: processes | dask | ray.
        workers: items at a time, on this machine.
        address: of a Dask scheduler or a Ray cluster to use instead of this machine.

    Raises:
        RunnerError: another name, or processes with an address.
    """
    if kind == "processes" and address is None:
        return Processes(workers)
    if kind == "dask":
        return Dask(workers, address)
    if kind == "ray":
        return Ray(workers, address)
    raise RunnerError(f"no runner `{kind}` at {address}; processes (here alone), dask and ray are")


@dataclass(frozen=True)
class Processes:
    """A pool of new processes on this machine, one thread of arithmetic each.

    A process that dies takes down its item alone and is replaced, which a pool of
    `concurrent.futures` does not do; and none outlives this one, not even when it is killed.
    """

    workers: int

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        waiting = deque(enumerate(items))
        done: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        children: deque[Child] = deque()
        work = (function, waiting, done, children)
        threads = [
            threading.Thread(target=_serve, args=work, daemon=True)
            for _ in range(min(self.workers, len(items)))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in items:
                yield done.get()
        finally:
            waiting.clear()
            for child in list(children):
                child.kill()
            for thread in threads:
                thread.join()


def _serve(
    function: Callable[[Any], Any],
    waiting: deque[tuple[int, Any]],
    done: SimpleQueue[tuple[int, Any]],
    children: deque[Child],
) -> None:
    """One thread's work: give items to a child, to a new one where it died, while there are any."""
    while waiting:
        with Child(memory_mib=None) as child:
            children.append(child)
            alive = True
            while alive:
                try:
                    number, item = waiting.popleft()
                except IndexError:
                    break
                try:
                    arguments = {"function": function, "item": item}
                    outcome = child.call(_attempt, arguments, NO_LIMIT_S)
                except Exception as error:
                    outcome, alive = Failed(item, error), False
                done.put((number, outcome))
            children.remove(child)


@dataclass(frozen=True)
class Dask:
    """Dask: a cluster of `workers` processes on this machine, or the one at `address`.

    Workers at an address must have this package, and see the same files.
    """

    workers: int
    address: str | None = None

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        with self._client() as client:
            from distributed import KilledWorker, as_completed

            def submit(number: int) -> Any:
                return client.submit(
                    _attempt, function, items[number], pure=False, priority=-number
                )

            futures = {submit(number): number for number in range(len(items))}
            suspects = []
            for future in as_completed(futures):
                number = futures.pop(future)
                outcome = _settled(items[number], future.result)
                if isinstance(outcome, Failed) and isinstance(outcome.error, KilledWorker):
                    suspects.append(number)
                else:
                    yield number, outcome
            # A worker that died took along what waited on it: who dies alone as well has done it.
            for number in suspects:
                yield number, _settled(items[number], submit(number).result)

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise RunnerError("Dask is not installed: pip install 'unisurg[dask]'") from error
        if self.address is not None:
            with Client(self.address) as client:
                yield client
            return
        # Who takes a worker down does not go on to the next, and few wait on the same worker.
        ways = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.worker-saturation": 1.0,
        }
        with (
            _environment_left_alone(),
            dask.config.set(ways),
            LocalCluster(
                n_workers=self.workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


@contextlib.contextmanager
def _environment_left_alone() -> Iterator[None]:
    """Dask puts its workers' variables into this process's own: one thread for all that follows."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@dataclass(frozen=True)
class Ray:
    """Ray: `workers` processes on this machine, or the cluster at `address`.

    A session of Ray that is open already is used as it is, and stays open.
    """

    workers: int
    address: str | None = None

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        with self._session() as ray:
            remote = ray.remote(max_retries=0, num_cpus=1)(_attempt)
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            waiting = deque(enumerate(items))
            running: dict[Any, int] = {}
            while waiting or running:
                while waiting and len(running) < room:
                    number, item = waiting.popleft()
                    running[remote.remote(function, item)] = number
                [first], _ = ray.wait(list(running), num_returns=1)
                number = running.pop(first)
                yield number, _settled(items[number], lambda: ray.get(first))  # noqa: B023

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts: it sends nothing home
        try:
            import ray
        except ImportError as error:
            raise RunnerError("Ray is not installed: pip install 'unisurg[ray]'") from error
        if ray.is_initialized():
            yield ray
            return
        where: dict[str, Any] = self._here() if self.address is None else {"address": self.address}
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _here(self) -> dict[str, Any]:
        """A session on this machine, whose workers import from where this process does."""
        return {
            "num_cpus": self.workers,
            "object_store_memory": RAY_STORE_BYTES,
            "include_dashboard": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
        }


def _attempt(function: Callable[[T], R], item: T) -> R | Failed[T]:
    """The outcome of one item, in a worker."""
    try:
        return function(item)
    except Exception as error:
        return Failed(item, _portable(error))


def _settled(item: T, result: Callable[[], R]) -> R | Failed[T]:
    """The outcome that came back, or the failure of a worker to send one."""
    try:
        return result()
    except Exception as error:
        return Failed(item, error)


def _portable(error: Exception) -> Exception:
    """The error itself where it survives the journey, else its type and text; with its trace."""
    trace = "".join(traceback.format_exception(error))
    with contextlib.suppress(Exception):
        error.add_note(trace)
        pickle.loads(pickle.dumps(error))
        return error
    return RunnerError(f"{type(error).__name__}: {error}")


def _check_sendable(function: Callable[..., Any]) -> None:
    try:
        sent = pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RunnerError(f"{function} cannot be sent to a process: {error}") from error
    if b"__main__" in sent:
        raise RunnerError(f"{function} lives in __main__, which no other process can import")
