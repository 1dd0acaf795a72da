"""New recordings in a drop folder become part of the data: `python -m flows.ingest`.

Wait until nothing grows any more, look whether it can be read, put what cannot into quarantine with
a reason, move the rest to `curate.input`, record it in DVC and git, and push it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, get_run_logger, runtime, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from flows import arrivals, commands, lease, moving, pages, pointer, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.retrying import tried_again  # noqa: E402
from flows.troubles import CommandFailed  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.settings import Settings, SettingsError, load  # noqa: E402

NO_SOURCE = "lies in the drop folder itself: put it into a folder that is named after its source"
NO_RECORDING = "is no recording"
TAKEN = "its name is taken by other bytes where recordings lie: rename it"
MUST_STAY = "no_access"
"""What may not be read may not be moved, and a link that leads out of the folder leads anywhere."""


class NoDropFolder(ValueError):
    """Nobody has said where recordings arrive."""


@dataclass
class Arrived:
    """What became of the recordings in a drop folder, by their names below it."""

    taken: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    """The same bytes lay under that name already."""
    refused: dict[str, str] = field(default_factory=dict)
    """In quarantine, and why."""
    left: dict[str, str] = field(default_factory=dict)
    """Still in the drop folder, and why."""
    unknown_sources: list[str] = field(default_factory=list)
    commit: str | None = None
    pushed: bool | None = None
    """None where there was nothing to push."""

    def __str__(self) -> str:
        counts = {
            "taken up": self.taken,
            "there already": self.there,
            "in quarantine": self.refused,
            "left for the next time": self.left,
        }
        return ", ".join(f"{len(names)} {what}" for what, names in counts.items())


@task(cache_policy=NO_CACHE, persist_result=False)
def wait(drop: Path, settle_s: float, patience_s: float) -> tuple[arrivals.Look, list[Path]]:
    """See `arrivals.settled`."""
    return arrivals.settled(drop, settle_s, patience_s)


@task(cache_policy=NO_CACHE, persist_result=False)
def examine(drop: Path, root: Path, children: Children) -> dict[str, Any]:
    """What `unisurg intake` says of the folder.

    Raises:
        CommandFailed.
    """
    answer = root / ".scratch" / "intake.json"
    command = [*commands.UNISURG, "intake", str(drop.absolute()), "--output", str(answer)]
    commands.run("unisurg intake", command, root, children)
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


@task(cache_policy=NO_CACHE, persist_result=False)
def take_up(
    found: Mapping[str, Any], whole: arrivals.Look, drop: Path, place: Path, quarantine: Path
) -> Arrived:
    """Move what is whole: readable recordings to `place`, the others to `quarantine`.

    Raises:
        OSError: a disk is full, for instance. What has not moved lies where it was.
    """
    arrived = Arrived(unknown_sources=list(found["unknown_sources"]))
    rows = list(found["recordings"])
    rows += [{"raw": raw, "files": [raw], "reason": NO_RECORDING} for raw in found["others"]]
    for row in rows:
        files = [Path(file) for file in row["files"]]
        if any(file not in whole for file in files):
            arrived.left[row["raw"]] = "still grows, or has changed"
        elif row["reason"] == MUST_STAY:
            arrived.left[row["raw"]] = f"{row['reason']}: {row['detail']}"
        else:
            _move(row, files, drop, place, quarantine, arrived)
    return arrived


def _move(
    row: Mapping[str, Any],
    files: Sequence[Path],
    drop: Path,
    place: Path,
    quarantine: Path,
    arrived: Arrived,
) -> None:
    reason = why_not(row, files, drop, place)
    try:
        if reason is None:
            fresh = [moving.move(drop / file, place / file) for file in files]
            (arrived.taken if any(fresh) else arrived.there).append(row["raw"])
            return
        for file in files:
            refuse(drop / file, moving.free_name(quarantine / file), reason)
        arrived.refused[row["raw"]] = reason
    except (moving.Changed, moving.NameTaken, PermissionError, FileNotFoundError) as error:
        arrived.left[row["raw"]] = f"could not be moved: {type(error).__name__}"


def why_not(row: Mapping[str, Any], files: Sequence[Path], drop: Path, place: Path) -> str | None:
    """Why a row of what was found goes into quarantine; None where it is taken up."""
    if row["reason"] is not None:
        return f"{row['reason']}: {row['detail']}" if row.get("detail") else str(row["reason"])
    if any(len(file.parts) < 2 for file in files):
        return NO_SOURCE
    if any(moving.differs(drop / file, place / file) for file in files):
        return TAKEN
    return None


def refuse(source: Path, target: Path, reason: str) -> None:
    """Into quarantine, the reason first: no file lies there without one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"reason": reason, "from": str(source), "when": datetime.now(UTC).isoformat()}
    told = target.with_name(f"{target.name}.reason.json")
    told.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    moving.move(source, target)


@tried_again
def record(
    pointed: Path, message: str | None, root: Path, children: Children
) -> tuple[str | None, bool]:
    """Record the folder in DVC, in git unless `message` is None, and push its bytes.

    Returns the commit, if one was made, and whether the bytes were pushed. All of it may be done
    again, so that what a killed run has moved is recorded by the next.
    """
    file = pointer.record(pointed, root, children)
    made = pointer.commit(file, message, root, children) if message is not None else None
    return made, pointer.push(file, root, children)


def run_name() -> str:
    """`recordings in NAME`, the folder's."""
    drop = runtime.flow_run.parameters.get("drop") or _settings(lineage.repository_root()).drop
    return f"recordings in {drop or 'no drop folder'}"


def _settings(root: Path) -> Any:
    return load(root / "params.yaml").orchestration.ingest


@flow(name="ingest", flow_run_name=run_name, persist_result=False)
def ingest(drop: Path | None = None, quarantine: Path | None = None) -> Arrived:
    """Take up the recordings that lie in a drop folder, as `<source>/<file or folder>`.

    Args:
        drop, quarantine: None: as `orchestration.ingest` of params.yaml says.

    Raises:
        NoDropFolder, DropFolderMissing, NoPlaceForRecordings: before anything is touched.
        RepositoryBusy: another flow uses the data.
        CommandFailed: DVC or git failed; the next run goes on from there.
    """
    root = lineage.repository_root()
    settings = load(root / "params.yaml")
    source, refuge = places(settings, root, drop, quarantine)
    children = Children(1)
    try:
        with lease.held(root, "ingest"):
            arrived = _ingest(source, refuge, settings, root, children)
    except BaseException:
        children.stop()
        raise
    pages.show("ingest", summary(arrived), _fates(arrived))
    return arrived


def places(
    settings: Settings, root: Path, drop: Path | None, quarantine: Path | None
) -> tuple[Path, Path]:
    """The drop folder and the quarantine.

    Raises:
        NoDropFolder.
    """
    drop = drop or settings.orchestration.ingest.drop
    quarantine = quarantine or settings.orchestration.ingest.quarantine
    if drop is None or quarantine is None:
        missing = "drop" if drop is None else "quarantine"
        raise NoDropFolder(
            f"params.yaml: orchestration.ingest.{missing} is null; name a folder there, or give"
            f" --{missing} FOLDER"
        )
    return root / drop, root / quarantine


def _ingest(
    drop: Path, quarantine: Path, settings: Settings, root: Path, children: Children
) -> Arrived:
    knobs = settings.orchestration.ingest
    arrivals.look(drop)
    pointed = pointer.pointed_at(root, settings.curate.input)
    whole, growing = wait(drop, knobs.settle_s, knobs.patience_s)
    arrived = Arrived()
    if whole:
        found = examine(drop, root, children)
        arrived = take_up(found, whole, drop, root / settings.curate.input, quarantine)
    arrived.left |= {path.as_posix(): "still grows" for path in growing}
    if pointed is None:
        get_run_logger().info("%s lies outside the repository: DVC keeps no copy of it", drop)
    elif pointed.exists():
        message = f"Recordings: {arrived}" if knobs.commit else None
        arrived.commit, arrived.pushed = record(pointed, message, root, children)
    return arrived


def summary(arrived: Arrived) -> str:
    """What became of the recordings, in Markdown."""
    parts = [f"## Recordings\n\n{arrived}."]
    sources = Counter(name.partition("/")[0] for name in arrived.taken)
    parts += [f"- {source}: {count} new" for source, count in sorted(sources.items())]
    if arrived.unknown_sources:
        names = ", ".join(arrived.unknown_sources)
        parts.append(
            f"\n**No row in sources.yaml**: {names}. Curation refuses what nobody vouches for,"
            " unless a detector looks through it."
        )
    if arrived.commit:
        parts.append(f"\nCommitted as {arrived.commit[:8]}.")
    if arrived.pushed is not None:
        where = "pushed to DVC's remote" if arrived.pushed else "on this machine alone: no remote"
        parts.append(f"\nThe bytes are {where}.")
    table = pages.markdown_table(_fates(arrived))
    return "\n".join([*parts, "", *table]) + "\n"


def _fates(arrived: Arrived) -> list[pages.Row]:
    """What was not taken up, counted: names of recordings may be patients', and stay here."""
    counts = Counter(
        (_source(raw), where, why)
        for where, rows in (("quarantine", arrived.refused), ("drop folder", arrived.left))
        for raw, why in rows.items()
    )
    return [
        {"source": source, "where": where, "why": why, "recordings": str(count)}
        for (source, where, why), count in sorted(counts.items())
    ]


def _source(raw: str) -> str:
    source, slash, _ = raw.partition("/")
    return source if slash else ""


TOLD = (
    NoDropFolder,
    arrivals.DropFolderMissing,
    pointer.NoPlaceForRecordings,
    lease.RepositoryBusy,
    CommandFailed,
    SettingsError,
    OSError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.ingest", description=__doc__)
    parser.add_argument("--drop", type=Path, help="[orchestration.ingest.drop]")
    parser.add_argument("--quarantine", type=Path, help="[orchestration.ingest.quarantine]")
    options = parser.parse_args(arguments)
    return terminal.run("ingest", lambda: print(ingest(options.drop, options.quarantine)), TOLD)


if __name__ == "__main__":
    sys.exit(main())
