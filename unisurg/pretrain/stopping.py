"""A polite request to stop (SIGTERM, Ctrl-C) ends a run after its step, with everything saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Stopped(RuntimeError):
    """The run was asked to stop and has been saved; the same command goes on with it."""

    exit_status = 128 + signal.SIGTERM  # as a shell tells of a process that the signal ended


class StopRequest:
    """Notes the first SIGTERM or SIGINT instead of dying of it; a second one acts as ever.

    Use as a context. Outside the main thread, where Python admits no handler, it notes nothing.
    """

    name: str | None = None

    def __enter__(self) -> StopRequest:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
