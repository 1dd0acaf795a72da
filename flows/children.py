"""Child processes that do not outlive the flow: each in its own group, all of them stoppable."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GRACE_S = 5.0


class Stopped(RuntimeError):
    """The flow has been cancelled; nothing is started any more."""


class Children:
    """Runs commands for several threads, at most `most` at once.

    DVC starts its stages as children of its own and does not take them along when it is killed, so
    what is stopped is the whole process group.
    """

    def __init__(self, most: int) -> None:
        self._slots = threading.BoundedSemaphore(most)
        self._changing = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        """Run a command to its end, handing on its output line by line; returns its exit code.

        Raises:
            Stopped: `stop` was called before the command could start.
        """
        with self._slots:
            process = self._start(command, folder, variables)
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
        for process in running:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and any(p.poll() is None for p in running):
            time.sleep(0.05)
        for process in running:
            _signal_group(process, signal.SIGKILL)

    def _start(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        with self._changing:
            if self._stopped:
                raise Stopped(f"cancelled before: {' '.join(command)}")
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
            return process


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    """The group outlives its leader, so a leader that has ended does not mean that all have."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
