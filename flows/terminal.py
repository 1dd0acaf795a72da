"""A flow started by hand: tags, exit codes, and a SIGTERM that lets it clean up."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def run(name: str, call: Callable[[], object], told: tuple[type[Exception], ...]) -> int:
    """Call a flow as `python -m flows.<name>`; the exit code.

    0 when it completed, 1 when it failed, 130 when it was interrupted.

    Args:
        told: errors whose message says all that a person needs; any other keeps its traceback.
    """
    from prefect import tags

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tags("unisurg", name):
            call()
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what it had started was stopped", file=sys.stderr)
        return 130
    except told as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
