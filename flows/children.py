"""Child processes that do not outlive the flow: each in its own group, all of them stoppable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows import ephemeral

GUARD = (sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")))
GRACE_S = 5.0


class Stopped(RuntimeError):
    """The flow has been cancelled; nothing is started any more."""


class Children:
    """Runs commands for several threads, at most `most` at once.

    DVC starts its stages as children of its own and does not take them along when it is killed, so
    what is ended is the whole process group: on `stop`, after the command's own end, and when this
    process is gone, however that ended (`flows.guard`).

    A copy that has been sent to another process limits and stops nothing but its own; what it runs
    ends with `lease` too, which is the flow's (`flows.lease`).

    Args:
        elsewhere: this is such a copy.
    """

    def __init__(self, most: int, lease: Path | None = None, elsewhere: bool = False) -> None:
        self._most = most
        self._lease = lease
        self._guarded_by = str(lease) if lease and elsewhere else "-"
        self._slots = threading.BoundedSemaphore(most)
        self._changing = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        ephemeral.tie_server()

    def __reduce__(self) -> tuple[type[Children], tuple[int, Path | None, bool]]:
        return Children, (self._most, self._lease, True)

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        """Run a command to its end, handing on its output line by line.

        Returns its exit code; 128 and the signal's number where a signal ended it.

        Raises:
            Stopped: `stop` was called before the command could start.
        """
        with self._slots, self._start(command, folder, variables) as process:
            # What a killed command has left running holds the output open.
            threading.Thread(target=_end_the_rest, args=(process,), daemon=True).start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    on_line(line.rstrip())
                return process.wait()
            finally:
                with self._changing:
                    self._running.discard(process)

    def stop(self) -> None:
        """End every running command and what it has started; start none any more."""
        with self._changing:
            self._stopped = True
            running = list(self._running)
        _end(running)

    def check_wanted(self) -> None:
        """Raises Stopped after `stop`."""
        if self._stopped:
            raise Stopped("the flow has been cancelled")

    def _start(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        with self._changing:
            self.check_wanted()
            process = subprocess.Popen(
                [*GUARD, self._guarded_by, *command],
                cwd=folder,
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,  # closed by the end of this process
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
            return process


def _end_the_rest(process: subprocess.Popen[str]) -> None:
    process.wait()
    _end([process])


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End the groups that these lead: a group outlives its leader."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and any(_group_lives(p) for p in processes):
        time.sleep(0.05)
    for process in processes:
        _signal_group(process, signal.SIGKILL)


def _group_lives(process: subprocess.Popen[str]) -> bool:
    process.poll()  # a leader that nobody has waited for still counts
    return _signal_group(process, 0)


def _signal_group(process: subprocess.Popen[str], number: int) -> bool:
    """Whether there was anybody left to get it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
