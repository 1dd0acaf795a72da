"""Notes of stages that began: one that lies there still, without a result, tells of a failure.

    artifacts/attempts/probe-NAME.json    {"stage": "probe@NAME", "began": ..., "error": ...,
                                           "process": ...}

The note is written before anything else and removed at the end, so that a stage that was killed
leaves one, too; while its process lives, it is not said to have failed. Whether it has a result is
asked of its identity file, an output that DVC removes before a stage and brings back with its
result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from unisurg.processes import has_died, identity_of

ATTEMPTS = Path("artifacts/attempts")
IDENTITIES = Path("artifacts/runs")
KILLED = "ended without a word, as one that was killed or ran out of memory does"


@dataclass(frozen=True)
class Attempt:
    """A stage that began, when (ISO 8601, UTC), and why it ended.

    `process` is the one that runs it, see `unisurg.processes`; None once the stage has failed.
    """

    stage: str
    began: str
    error: str = KILLED
    process: str | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and not has_died(self.process)


@contextmanager
def attempt(stage: str, root: Path = Path()) -> Iterator[None]:
    """Note below the repository's `root` that a stage begins, and in the end how it failed."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    _write(root, Attempt(stage, began, process=identity_of(psutil.Process())))
    try:
        yield
    except BaseException as error:
        kind = type(error)
        named = "" if kind.__module__.startswith("unisurg") else f"{kind.__name__}: "
        _write(root, Attempt(stage, began, f"{named}{error}".removesuffix(": ")))
        raise
    _note(root, stage).unlink(missing_ok=True)


def failures(root: Path) -> dict[str, Attempt]:
    """The stages, by name, that failed when they were last tried; those that still run have not."""
    notes = sorted((root / ATTEMPTS).glob("*.json"))
    found = [Attempt(**json.loads(note.read_text(encoding="utf-8"))) for note in notes]
    return {
        failed.stage: failed
        for failed in found
        if not failed.runs and not (root / IDENTITIES / identity_name(failed.stage)).is_file()
    }


def identity_name(stage: str) -> str:
    """Name of the file which says what run made the outputs of a stage."""
    return f"{_file_name(stage)}.run.json"


def _write(root: Path, made: Attempt) -> None:
    note = _note(root, made.stage)
    note.parent.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")
    fresh.replace(note)


def _note(root: Path, stage: str) -> Path:
    return root / ATTEMPTS / f"{_file_name(stage)}.json"


def _file_name(stage: str) -> str:
    return stage.replace("@", "-")
