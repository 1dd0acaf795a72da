"""Run a function on an untrusted file in a process of its own, which can always be stopped.

Decoders of damaged video hang while they hold the interpreter lock, allocate without bound, and
die by signals. Neither an exception nor a thread contains that; a process does. A child starts in
about 0.1 s because it imports only what the called function needs.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a child may use: wall-clock seconds for one call, and MiB of address space."""

    timeout_s: float
    memory_mib: int


class ChildFailed(Exception):
    """The call ended without a result; the text says how."""


class ChildTimeout(ChildFailed):
    """The call ran past its limit and the child was killed."""


class ChildCrashed(ChildFailed):
    """The child died, by a signal or by an exit of its own."""


class ChildOutOfMemory(ChildFailed):
    """The call asked for more address space than it was given."""


class Child:
    """A process that runs functions one after the other, until one of them takes it down.

    A child belongs to the thread that made it; any number of threads may each have theirs. It
    ends with its owner, also when that is killed.

        with Child(memory_mib=1024) as child:
            facts = child.call(probe, {"raw": path}, limit_s=60.0)
    """

    def __init__(self, memory_mib: int) -> None:
        self._pipe, theirs = Pipe()
        # Whatever native code prints goes here, not on the terminal and not into a full pipe.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        start = f"from unisurg.corpus.child import serve; serve({theirs.fileno()}, {memory_mib})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()

    def call(self, function: Callable[..., Any], arguments: dict[str, Any], limit_s: float) -> Any:
        """Return `function(**arguments)`, computed in the child.

        The function must be importable by its name, arguments and result must pickle. An exception
        that pickles is raised here as it is.

        Raises:
            ChildTimeout, ChildCrashed, ChildOutOfMemory: and the child is gone.
            ChildFailed: an exception that does not pickle.
        """
        try:
            self._pipe.send((function, arguments))
            if not self._pipe.poll(limit_s):
                self.close()
                raise ChildTimeout(f"killed after {limit_s:.0f} s")
            result, error = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise ChildCrashed(self._last_words()) from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._output.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"died by {signal.Signals(-code).name}"
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return f"exit status {code}" + (f": {said[-1]}" if said else "")


def serve(descriptor: int, memory_mib: int) -> None:
    """The child's side: answer calls on the pipe until the caller is gone."""
    _limit(memory_mib)
    pipe = Connection(descriptor)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(function, arguments))


def _outcome(
    function: Callable[..., Any], arguments: dict[str, Any]
) -> tuple[Any, Exception | None]:
    try:
        return function(**arguments), None
    except MemoryError as error:
        return None, ChildOutOfMemory(str(error) or "out of memory")
    except Exception as error:
        return None, _portable(error)


def _portable(error: Exception) -> Exception:
    """The error itself where it survives the journey, else its type and text."""
    with contextlib.suppress(Exception):
        pickle.loads(pickle.dumps(error))
        return error
    return ChildFailed(f"{type(error).__name__}: {error}")


def _limit(memory_mib: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        resource.setrlimit(resource.RLIMIT_AS, (memory_mib * MIB, memory_mib * MIB))
        # The kernel kills the child with the thread that started it: no orphan keeps decoding.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
