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
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

MIB = 1 << 20
HEADER = struct.Struct("!Q")  # length of the message that follows
# Children run side by side; each that took all cores for its arithmetic would slow the others.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


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
    ends with its owner, also when that is killed. `memory_mib` None sets no limit.

        with Child(memory_mib=1024) as child:
            facts = child.call(probe, {"raw": path}, limit_s=60.0)
    """

    def __init__(self, memory_mib: int | None) -> None:
        self._pipe, theirs = socket.socketpair()
        # Whatever native code prints goes here, not on the terminal and not into a full pipe.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        start = f"from unisurg.corpus.child import serve; serve({theirs.fileno()}, {memory_mib})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()

    def keep(self, arguments: dict[str, Any], limit_s: float) -> None:
        """Send arguments once that every later call is to have beside its own.

        Raises:
            ChildTimeout, ChildCrashed: and the child is gone.
        """
        self._talk((None, arguments), limit_s)

    def call(self, function: Callable[..., Any], arguments: dict[str, Any], limit_s: float) -> Any:
        """Return `function(**arguments)`, computed in the child.

        The function must be importable by its name, arguments and result must pickle. An exception
        that pickles is raised here as it is.

        Raises:
            ChildTimeout, ChildCrashed, ChildOutOfMemory: and the child is gone.
            ChildFailed: an exception that does not pickle.
        """
        result, error = self._talk((function, arguments), limit_s)
        if error is not None:
            raise error
        return result

    def _talk(self, message: Any, limit_s: float) -> Any:
        """Send a message and return the answer, both whole within the limit."""
        deadline = time.monotonic() + limit_s
        try:
            _send(self._pipe, message, deadline)
            return _receive(self._pipe, deadline)
        except TimeoutError:
            self.close()
            raise ChildTimeout(f"killed after {limit_s:.0f} s") from None
        except (EOFError, ConnectionError):
            raise ChildCrashed(self._last_words()) from None

    def kill(self) -> None:
        """End the process from any thread; its owner's call then raises ChildCrashed."""
        self._process.kill()

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


def serve(descriptor: int, memory_mib: int | None) -> None:
    """The child's side: answer calls on the pipe until the caller is gone."""
    _limit(memory_mib)
    # A Ctrl-C goes to all processes of the terminal; what it means is for the caller to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = socket.socket(fileno=descriptor)
    kept: dict[str, Any] = {}
    while True:
        try:
            function, arguments = _receive(pipe)
        except (EOFError, ConnectionError):
            return
        if function is None:
            kept |= arguments
            _send(pipe, (None, None))
        else:
            _send(pipe, _outcome(function, kept | arguments))


def _send(pipe: socket.socket, message: Any, deadline: float | None = None) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    for part in (HEADER.pack(len(data)), data):
        pipe.settimeout(_left(deadline))
        pipe.sendall(part)


def _receive(pipe: socket.socket, deadline: float | None = None) -> Any:
    (size,) = HEADER.unpack(_read(pipe, HEADER.size, deadline))
    return pickle.loads(_read(pipe, size, deadline))


def _read(pipe: socket.socket, size: int, deadline: float | None) -> bytearray:
    """`size` bytes; a sender that stops midway is waited for no longer than one that never began.

    Raises:
        TimeoutError: past the deadline, a time of `time.monotonic`.
        EOFError: the other side is gone.
    """
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        pipe.settimeout(_left(deadline))
        got = pipe.recv_into(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return data


def _left(deadline: float | None) -> float | None:
    """Seconds to the deadline; not 0, which would mean not to wait at all but fail otherwise."""
    return None if deadline is None else max(deadline - time.monotonic(), 1e-3)


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


def _limit(memory_mib: int | None) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        if memory_mib is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory_mib * MIB, memory_mib * MIB))
        # The kernel kills the child with the thread that started it: no orphan keeps decoding.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
