"""Run a command that ends with its owner, however that ends: `python guard.py LEASE COMMAND ...`.

The owner holds the other end of this process's standard input and writes nothing into it: the end
of the file is the owner's end, by a kill -9 as well. LEASE is the file of a flow on another machine
(`flows.lease`), or `-`. Whoever starts this makes it the leader of a process group, which is what
is ended: the command, and what that has started.

A script of its own that imports little: it stands before every stage.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_S = 5.0  # between SIGTERM, on which a training run saves itself, and SIGKILL
LOOK_EVERY_S = 1.0
PATIENCE_S = 60.0  # a lease that has not changed for so long is that of a dead flow


def main(lease: str, command: list[str]) -> int:
    """The command's exit code; 128 and the signal's number where a signal ended it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, _outlive)
    orphaned = threading.Event()
    watch = threading.Thread(target=_watch, args=(lease, orphaned), daemon=True)
    watch.start()
    code = child.wait()
    if orphaned.is_set():
        watch.join()
    return code if code >= 0 else 128 - code


def _watch(lease: str, orphaned: threading.Event) -> None:
    """Wait for the owner's end, then end the whole group, oneself with it."""
    _wait_for_the_end(None if lease == "-" else Path(lease))
    orphaned.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def _wait_for_the_end(lease: Path | None) -> None:
    seen, since = _read(lease, b"") if lease else b"", time.monotonic()
    holder = seen.partition(b"\n")[0]
    while not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        if lease is None:
            continue
        beat = _read(lease, seen)
        if beat != seen:
            seen, since = beat, time.monotonic()
        replaced = not beat or beat.partition(b"\n")[0] != holder
        if replaced or time.monotonic() - since > PATIENCE_S:
            return


def _read(lease: Path, seen: bytes) -> bytes:
    """What stands in the lease; a file system that does not answer now says nothing new."""
    try:
        return lease.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError:
        return seen


def _outlive(number: int, frame: object) -> None:
    """A SIGTERM to the group is for the others; a handler, which a command does not inherit."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
