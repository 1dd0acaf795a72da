"""One stage a GPU: whoever holds a GPU's lock has it to himself, on this machine.

The locks are files that the kernel frees with the process that holds them, so a killed flow leaves
no GPU taken. A counter on a server would go on counting it.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")
LOOK_AGAIN_S = 1.0


def gpus() -> tuple[str, ...]:
    """The GPUs that stages may use: those of CUDA_VISIBLE_DEVICES, else all of this machine."""
    if VISIBLE in os.environ:
        return tuple(name for name in os.environ[VISIBLE].split(",") if name.strip())
    found = [path.name for path in DEVICES.glob("nvidia*")]
    numbers = sorted(int(m[1]) for name in found if (m := re.fullmatch(r"nvidia(\d+)", name)))
    return tuple(map(str, numbers))


@contextmanager
def one_of(names: Sequence[str], check_wanted: Callable[[], None]) -> Iterator[dict[str, str]]:
    """Wait for a free GPU and hold it; gives the variables that make a process see it alone.

    Where there is no GPU there is nothing to wait for, and no variable.

    Args:
        check_wanted: called while it waits; whatever it raises ends the wait.
    """
    from filelock import FileLock, Timeout

    if not names:
        yield {}
        return
    folder = Path(tempfile.gettempdir()) / f"unisurg-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        for name in names:
            lock = FileLock(folder / f"{name.replace('/', '_')}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield {VISIBLE: name}
            finally:
                lock.release()
            return
        check_wanted()
        time.sleep(LOOK_AGAIN_S)
