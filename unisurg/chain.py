"""From a number back to the data, link by link: stage, run, commit, parameters, hashes of inputs.

A link is what a stage has left: its identity file says which run made the outputs, from which
commit, and of which inputs; dvc.lock says which bytes and parameters belong to it; MLflow has the
run and git the commit. `follow` goes from a stage to the stages that made its inputs, down to the
data that were added by hand, and names everything on the way that does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from unisurg import lineage
from unisurg.attempts import identity_name
from unisurg.lineage import Kept, Lock
from unisurg.tracking import Store, flatten

FINISHED = "FINISHED"


@dataclass(frozen=True)
class Link:
    """One stage: which run made its outputs, and of what.

    `parameters` are those that the stage declares, by dotted name; `inputs` maps what it read to
    md5s, `makers` to the stages they come from, None being data that were added by hand.
    """

    stage: str
    run_id: str | None
    commit: str | None
    dirty: bool | None
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    makers: Mapping[str, str | None]


@dataclass(frozen=True)
class Chain:
    """Links from the stages asked for to the data, and a sentence for each that does not hold."""

    links: Mapping[str, Link]
    data: Mapping[str, str]
    missing: tuple[str, ...]

    def upstream(self, stage: str) -> set[str]:
        """The stage and all that it rests on."""
        seen: set[str] = set()
        waiting = [stage]
        while waiting:
            current = waiting.pop()
            if current not in seen and current in self.links:
                seen.add(current)
                waiting += [maker for maker in self.links[current].makers.values() if maker]
        return seen


@dataclass(frozen=True)
class Records:
    """Where links are looked up.

    `root` holds dvc.lock and what stages have left, all of it or a copy of a part; `checkout` the
    git history; `store` the runs.
    """

    root: Path
    checkout: Path
    store: Store

    @cached_property
    def lock(self) -> Lock:
        return lineage.read_lock(self.root)

    def identity(self, stage: str) -> tuple[str, Kept] | None:
        """Path of a stage's identity file, and what dvc.lock has of it."""
        name = identity_name(stage)
        made = self.lock.made_by(stage)
        return next(((p, self.lock.kept[p]) for p in made if Path(p).name == name), None)


def follow(records: Records, stages: Iterable[str]) -> Chain:
    """The chain from the stages to the data."""
    links: dict[str, Link] = {}
    missing: list[str] = []
    waiting = list(stages)
    for stage in waiting:
        if stage in links:
            continue
        found = _read(records, stage, missing)
        if found is not None:
            links[stage] = found
            waiting += [maker for maker in found.makers.values() if maker]
    missing += _unrecorded(records, links.values())
    data = {
        path: md5
        for link in links.values()
        for path, md5 in link.inputs.items()
        if link.makers.get(path) is None
    }
    return Chain(links, data, tuple(dict.fromkeys(missing)))


def altered(records: Records, path: str) -> str | None:
    """Why a file is not the output that dvc.lock names; None if it is."""
    kept = records.lock.kept.get(path)
    place = records.root / path
    if kept is None:
        return f"{path}: dvc.lock names no such output"
    if not place.exists():
        return f"{path}: no such file; `dvc repro {kept.stage}` makes it"
    md5 = lineage.md5_of(place)
    if md5 != kept.md5:
        return f"{path}: has md5 {md5}, and dvc.lock has {kept.md5}: it was changed by hand"
    return None


def _read(records: Records, stage: str, missing: list[str]) -> Link | None:
    """The link of a stage, by its identity file; what is wrong with it goes to `missing`."""
    found = records.identity(stage)
    if found is None:
        missing.append(f"{stage}: dvc.lock has no identity file of it; `dvc repro {stage}`")
        return None
    path, _ = found
    wrong = altered(records, path)
    if wrong:
        missing.append(f"{stage}: {wrong}")
        if not (records.root / path).is_file():
            return None
    facts = json.loads((records.root / path).read_text(encoding="utf-8"))
    makers: dict[str, str | None] = {}
    for name, md5 in facts["inputs"].items():
        kept = records.lock.kept.get(name)
        if kept is not None:
            makers[name] = kept.stage
        if kept is None or (kept.md5 != md5 and not _reads_the_same(records, stage, name)):
            has = "does not name it" if kept is None else f"has {kept.md5}"
            missing.append(f"{stage}: read {name} with md5 {md5}, and dvc.lock {has}")
    return Link(
        stage,
        facts["run_id"],
        facts["commit"],
        facts["dirty"],
        flatten(records.lock.params.get(stage, {})) | _tuned(records, stage, missing),
        facts["inputs"],
        makers,
    )


def _tuned(records: Records, stage: str, missing: list[str]) -> dict[str, Any]:
    """Parameters that a file of tuned values, which the stage depends on, has laid over its own."""
    named = records.lock.params.get(stage, {}).get("pretrain", {}).get("tuned")
    md5 = records.lock.deps.get(stage, {}).get(named)
    if md5 is None:
        return {}
    file = records.root / named
    if not file.is_file() or lineage.md5_of(file) != md5:
        missing.append(f"{stage}: was given {named} with md5 {md5}, which is there no more")
        return {}
    return flatten(yaml.safe_load(file.read_text(encoding="utf-8"))["values"])


def _reads_the_same(records: Records, stage: str, folder: str) -> bool:
    """Whether the files that a stage reads of a folder are unchanged, whatever became of others."""
    read = {
        path: md5
        for path, md5 in records.lock.deps.get(stage, {}).items()
        if path != folder and Path(path).is_relative_to(folder)
    }
    places = {records.root / path: md5 for path, md5 in read.items()}
    return bool(places) and all(p.exists() and lineage.md5_of(p) == m for p, m in places.items())


def _unrecorded(records: Records, links: Iterable[Link]) -> Iterator[str]:
    """What git and MLflow do not have of the links, and what they have otherwise."""
    links = list(links)
    runs = records.store.runs(link.run_id for link in links if link.run_id)
    commits = {link.commit for link in links if link.commit}
    unknown = {sha for sha in commits if not lineage.has_commit(records.checkout, sha)}
    for link in links:
        if link.commit is None:
            yield f"{link.stage}: no commit is known of it; it ran outside git"
        elif link.commit in unknown:
            yield f"{link.stage}: commit {link.commit} is not in git; fetch its branch"
        if link.dirty is not False:
            yield f"{link.stage}: ran with uncommitted changes; commit, then `dvc repro -f -s`"
        if link.run_id is None:
            yield f"{link.stage}: was not tracked; set tracking.enabled, then `dvc repro -f -s`"
        elif link.run_id not in runs:
            yield f"{link.stage}: run {link.run_id} is not in MLflow"
        else:
            yield from _contradicted(link, runs[link.run_id])


def _contradicted(link: Link, run: Any) -> Iterator[str]:
    """In what a run, as of `Store.runs`, says otherwise than the link."""
    if run.info.status != FINISHED:
        yield f"{link.stage}: run {link.run_id} is {run.info.status}, not {FINISHED}"
    recorded = run.data.params
    for name, value in link.parameters.items():
        if any(other.startswith(f"{name}.") for other in recorded):
            continue  # a name that settings replace by the row that it names
        if name not in recorded:
            yield f"{link.stage}: run {link.run_id} has no parameter {name}"
        elif not _same(value, recorded[name]):
            yield (
                f"{link.stage}: run {link.run_id} had {name}={recorded[name]}, and dvc.lock has"
                f" {value}"
            )


def _same(value: Any, recorded: str) -> bool:
    """Whether MLflow's text of a parameter says that value; a long text is cut there."""
    if isinstance(value, str):
        return value == recorded
    try:
        return bool(json.loads(recorded) == value)
    except json.JSONDecodeError:
        return recorded.startswith(json.dumps(value)[:100])
