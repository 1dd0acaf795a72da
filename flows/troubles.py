"""What can go wrong with a command, and which of it is worth another try.

Tried again, with growing waits, are a lock that another DVC holds and an error by which storage or
network is known to come and go. Everything else is a fault of data, code or settings, a broken
expectation above all: it would fail again, and trying would only hide it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
"""What DVC says of another DVC."""
FLAKY = (
    errno.EIO,
    errno.ESTALE,
    errno.EREMOTEIO,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)
"""Errors of network file systems and of connections that a later try often does not meet."""
SIGNS = [rf"\[Errno {number}\]" for number in FLAKY] + [re.escape(os.strerror(n)) for n in FLAKY]
FLAKY_LINE = re.compile(rf"(unisurg|ERROR|[\w.]*(Error|Exception)): .*({'|'.join(SIGNS)})")
"""An error's own line, as Python, `unisurg` and DVC print it; not a table that quotes one."""

RETRY_AFTER_S = [1.0, 2.0, 4.0, 8.0, 16.0]
JITTER = 0.5
LINES_IN_ERROR = 15


class CommandFailed(RuntimeError):
    """A command ended with an error; the message ends with what it printed last."""


class Passing(CommandFailed):
    """It may well succeed when it is tried again."""


class DvcBusy(Passing):
    """Another DVC holds the repository's lock."""


class FlakyIO(Passing):
    """Storage or network failed in a way that often passes."""


def trouble(what: str, code: int, lines: Sequence[str]) -> CommandFailed:
    """The error that an exit code other than 0 stands for.

    Args:
        what: which command, in a word or two.
        lines: what it printed.
    """
    last = lines[-LINES_IN_ERROR:]
    message = "\n".join([f"{what} ended with code {code}:", *last])
    if any(sign in line for line in lines for sign in BUSY):
        return DvcBusy(message)
    if any(FLAKY_LINE.match(line) for line in last):
        return FlakyIO(message)
    return CommandFailed(message)


def is_passing(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth another try: a condition for Prefect's retries."""
    return isinstance(state.result(raise_on_failure=False), Passing)
