"""A command of the house, run for a flow: its output goes into the run's log as it is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.children import Children
from flows.troubles import trouble

DVC = (sys.executable, "-m", "dvc")
UNISURG = (sys.executable, "-m", "unisurg")


def run(
    what: str,
    command: Sequence[str],
    folder: Path,
    children: Children,
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    """What a command printed, line by line without empty ones.

    Args:
        what: the command in a word or two, for the error.
        variables: of its environment, beside the flow's own.

    Raises:
        CommandFailed: it ended with another code than 0; of the kind that tells whether another
            try may help (`flows.troubles`).
        Stopped: the flow has been cancelled.
    """
    from prefect import get_run_logger

    log, lines = get_run_logger(), list[str]()

    def keep(line: str) -> None:
        if line:
            lines.append(line)
            log.info(line)

    code = children.run(command, folder, variables or {}, keep)
    if code:
        raise trouble(what, code, lines)
    return lines
