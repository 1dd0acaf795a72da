"""Prefect's temporary server ends with the flow for which it was started, by a kill -9 too.

Prefect ends it when the flow's process ends in good order, and only then.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

SERVER = "prefect.server.api.server:create_app"  # so Prefect starts it
WATCH = (sys.executable, "-I", "-S", __file__)


def tie_server() -> None:
    """Have the temporary server that this process has started, if any, watched by another."""
    import psutil

    if not hasattr(os, "pidfd_open"):  # Linux alone can watch a process that is no child
        return
    for child in psutil.Process().children():
        try:
            is_server = SERVER in child.cmdline()
        except psutil.Error:
            continue
        if is_server:
            subprocess.Popen([*WATCH, str(os.getpid()), str(child.pid)], start_new_session=True)


def watch(owner: int, server: int) -> None:
    """Wait until one of two processes has ended, and end the server where it is not that."""
    with contextlib.suppress(ProcessLookupError):
        its = os.pidfd_open(server)
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(owner), its], [], [])
        signal.pidfd_send_signal(its, signal.SIGTERM)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
