"""What lies in a drop folder, and which of it has arrived whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Look = dict[Path, tuple[int, int]]
"""Size in bytes and time of the last change in ns, by path below the folder."""


class DropFolderMissing(FileNotFoundError):
    """The folder is not there: a disk or a share that is not mounted, most often."""


def look(folder: Path) -> Look:
    """Every file below a folder but hidden ones; one that goes away meanwhile is left out.

    Raises:
        DropFolderMissing.
    """
    if not folder.is_dir():
        raise DropFolderMissing(
            f"{folder}: there is no such folder. Mount it or create it, or name another in"
            " orchestration.ingest.drop of params.yaml"
        )
    found: Look = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in below.parts):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found[below] = facts.st_size, facts.st_mtime_ns
    return found


def settled(
    folder: Path,
    settle_s: float,
    patience_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Look, list[Path]]:
    """The files that have not changed for `settle_s`, and those that still did after `patience_s`.

    Two looks are compared, so that no two machines need agree on the time.

    Raises:
        DropFolderMissing: also where it goes away meanwhile.
    """
    before, waited_s = look(folder), 0.0
    while before:
        sleep(settle_s)
        waited_s += settle_s
        now = look(folder)
        still = {path: facts for path, facts in now.items() if before.get(path) == facts}
        if len(still) == len(now) or waited_s >= patience_s:
            return still, [path for path in now if path not in still]
        before = now
    return {}, []
