"""Number -> run -> commit -> parameters -> data, and back, in words; a broken chain is an error."""

from __future__ import annotations

import json
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unisurg import lineage
from unisurg.attempts import IDENTITIES
from unisurg.chain import Chain, Link, Records, altered, follow
from unisurg.evaluation.reported import METRICS
from unisurg.registry import EVIDENCE, Registry
from unisurg.settings import Settings
from unisurg.tracking import open_store

RUN_ID = re.compile(r"[0-9a-f]{32}")
NUMBERS = "numbers"
WIDTH = 100


class LineageError(RuntimeError):
    """Links are missing, or nobody knows what is asked for; the message names each."""


def run(settings: Settings, target: str) -> None:
    """Print the chain of a metric file, of results.json, of a run, or of a model's version.

    Raises:
        LineageError: a link is missing.
        RegistryError: no such version.
    """
    root = lineage.repository_root()
    records = Records(root, root, open_store(settings.tracking, root))
    if not target.startswith("models:") and Path(target).suffix:
        _of_file(records, Path(target))
    elif RUN_ID.fullmatch(target):
        _of_run(records, target)
    else:
        _of_version(Registry(settings.promotion.model, records.store), root, target)


def _of_file(records: Records, file: Path) -> None:
    place, root = file.resolve(), records.root.resolve()
    path = (place.relative_to(root) if place.is_relative_to(root) else file).as_posix()
    kept = records.lock.kept.get(path)
    if kept is None or kept.stage is None:
        raise LineageError(
            f"{path}: dvc.lock names no stage that makes it; ask for one of metrics/, or for"
            " reports/results.json"
        )
    chain = follow(records, [kept.stage])
    missing = [wrong for wrong in [altered(records, path)] if wrong]
    if not missing and file.suffix == ".json":
        content = json.loads((records.root / path).read_text(encoding="utf-8"))
        print("\n".join([path, *_told_numbers(content), ""]))
        missing += _changed_numbers(records, content)
    _tell(chain, missing)


def _of_run(records: Records, run_id: str) -> None:
    """What a run, or all runs of a pipeline, made, and what rests on it."""
    made = [
        str(facts["stage"])
        for facts in _identities(records)
        if run_id in (facts["run_id"], facts["pipeline_run_id"])
    ]
    if not made:
        known = "MLflow has it" if records.store.runs([run_id]) else "and MLflow does not know it"
        raise LineageError(
            f"run {run_id}: no identity file in {IDENTITIES} names it, so that nothing here was"
            f" made by it; {known}"
        )
    print(f"run {run_id} made the outputs of {', '.join(made)}")
    files = [path for path in records.lock.kept if _is_metrics(path)]
    stages = {path: str(records.lock.kept[path].stage) for path in files}
    chain = follow(records, [*made, *stages.values()])
    resting = {p for p, s in stages.items() if chain.upstream(s) & set(made)}
    print("\n".join(["numbers that rest on it:", *_numbers_of(records, sorted(resting)), ""]))
    _tell(follow(records, made), [w for path in sorted(resting) if (w := altered(records, path))])


def _of_version(registry: Registry, root: Path, reference: str) -> None:
    """The numbers by which a version was judged, and where they and it come from."""
    version = registry.find(reference)
    with tempfile.TemporaryDirectory(prefix="unisurg-lineage-") as scratch:
        evidence = registry.fetch(version, EVIDENCE, Path(scratch))
        records = Records(evidence, root, registry.store)
        print(f"{registry.name} version {version.number}, run {version.run_id}")
        files = sorted(path for path in records.lock.kept if _is_metrics(path))
        there = [path for path in files if (evidence / path).is_file()]
        print("\n".join([*_numbers_of(records, there), ""]))
        stages = ["package", *(str(records.lock.kept[path].stage) for path in there)]
        _tell(follow(records, stages), [w for path in there if (w := altered(records, path))])


def _identities(records: Records) -> Iterator[dict[str, Any]]:
    for path in records.lock.kept:
        place = records.root / path
        if path.endswith(".run.json") and place.is_file():
            yield json.loads(place.read_text(encoding="utf-8"))


def _is_metrics(path: str) -> bool:
    return Path(path).is_relative_to(METRICS) and path.endswith(".json")


def _numbers_of(records: Records, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        content = json.loads((records.root / path).read_text(encoding="utf-8"))
        yield from (f"{path}: {line.strip()}" for line in _told_numbers(content))


def _told_numbers(content: dict[str, Any]) -> Iterator[str]:
    """The rows of results.json, or the main numbers of a metric file."""
    if NUMBERS in content:
        for row in content[NUMBERS]:
            name = f"{row['benchmark']}, {row['method']}, {row['encoder']}"
            yield f"  {_told(name, row['metric'], row)}, run {row['run_id']} of {row['stage']}"
        return
    main = content.get("main", "")
    for encoder in ("pretrained", "random", "difference"):
        if main in content.get(encoder, {}):
            yield f"  {_told(encoder, main, content[encoder][main])}"


def _told(name: str, metric: str, value: dict[str, Any]) -> str:
    return f"{name}: {metric} {value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def _changed_numbers(records: Records, content: dict[str, Any]) -> Iterator[str]:
    """Rows of results.json that the file they name does not have, or another run made."""
    for row in content.get(NUMBERS, ()):
        name = f"{row['benchmark']}, {row['method']}, {row['encoder']}"
        if wrong := altered(records, row["file"]):
            yield wrong
            continue
        if row["mean"] not in _means(json.loads((records.root / row["file"]).read_text()), row):
            yield f"{name}: {row['file']} has another {row['metric']} than {row['mean']}"


def _means(content: dict[str, Any], row: dict[str, Any]) -> list[float]:
    """Where in a metric file a row of results.json may stand."""
    named, main = row["encoder"], row["metric"]
    known: dict[str, Any] = {
        "pretrained": content.get("pretrained", {}),
        "random": content.get("random", {}),
        "pretrained minus random": content.get("difference", {}),
    }
    for name, baseline in content.get("baselines", {}).items():
        known[name] = baseline["metrics"]
        known[f"pretrained minus {name}"] = baseline["difference"]
    return [known[named][main]["mean"]] if main in known.get(named, {}) else []


def _tell(chain: Chain, missing: Iterable[str]) -> None:
    """Print all links, and fail if any is missing."""
    for link in chain.links.values():
        print("\n".join(_told_link(link)))
    print("\n".join(f"data {path}  md5 {md5}" for path, md5 in sorted(chain.data.items())))
    found = list(dict.fromkeys([*missing, *chain.missing]))
    if found:
        raise LineageError("\n  ".join([f"{len(found)} links are missing:", *found]))
    print(f"complete: {len(chain.links)} stages, no link is missing")


def _told_link(link: Link) -> Iterator[str]:
    states = {True: "with uncommitted changes", False: "clean", None: "unknown"}
    state = states[link.dirty]
    yield f"{link.stage}  run {link.run_id}  commit {link.commit} ({state})"
    if link.parameters:
        told = ", ".join(f"{name}={json.dumps(v)}" for name, v in link.parameters.items())
        yield textwrap.fill(
            f"parameters: {told}", WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    for path, md5 in link.inputs.items():
        yield f"  read {path}  md5 {md5}  from {link.makers.get(path) or 'data'}"
