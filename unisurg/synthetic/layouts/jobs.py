"""A layout as jobs: what to write, in which processes, and what is already there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from unisurg.progress import track
from unisurg.settings import Theatre

WORKERS = 2
# A recording's seed is drawn from its layout's place here: new layouts go last.
FAMILIES = (
    "corpus",
    "cholec80",
    "polyps",
    "autolaparo",
    "m2cai16",
    "pitvis",
    "egosurgery",
    "atlas",
    "ophnet",
    "pmlr50",
    "surgicalactions160",
    "avos",
    "polypdiag",
    "cholect50",
    "jigsaws",
    "c3vd",
)


class TheatreError(RuntimeError):
    """The theatre cannot be written; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """One thing to write, unless `done`, the last of its files, exists."""

    done: Path
    write: Callable[..., None]
    arguments: tuple[object, ...]

    def run(self) -> None:
        if not self.done.exists():
            self.write(*self.arguments)


@dataclass(frozen=True)
class Layout:
    """One row of the table of layouts.

    `edition` is raised whenever its pixels or files change; `settings` are the fields of `Theatre`
    that it depends on, which a folder remembers. `jobs(root, settings, seed)` write below `root`,
    the theatre's folder, in any order; `finish(root, settings, seed)` writes what needs them all.
    """

    name: str
    edition: int
    settings: tuple[str, ...]
    jobs: Callable[[Path, Theatre, int], list[Job]]
    finish: Callable[[Path, Theatre, int], None] | None = None


def run_jobs(jobs: Sequence[Job], label: str) -> None:
    """Run them side by side.

    Raises:
        whatever a job raises; what is written stays.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        futures = [pool.submit(job.run) for job in jobs]
        for future in track(as_completed(futures), label, total=len(futures)):
            future.result()


def seed_of(seed: int, family: str, number: int) -> int:
    """Seed of the recording of that number in a layout."""
    return (seed * 100 + FAMILIES.index(family)) * 10_000 + number
