"""Where a result comes from: git commit, uncommitted changes, the hashes of a stage's inputs.

Only reads, and only files and git: DVC's own hashes stand in dvc.lock and in the *.dvc pointers.
Outside a git checkout or without a dvc.yaml the answers are None and {}, never an error.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Lineage:
    """`inputs` maps the path of each input that DVC keeps to its md5 (`.dir` marks a folder)."""

    commit: str | None
    dirty: bool | None
    inputs: dict[str, str]


def repository_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: here) with a params.yaml, else `start`."""
    here = (start or Path.cwd()).resolve()
    return next((f for f in (here, *here.parents) if (f / "params.yaml").is_file()), here)


def of_stage(root: Path, stage: str) -> Lineage:
    """All of it for a stage by its DVC address, as in `probe@cholec80`."""
    return Lineage(commit(root), dirty(root), inputs(root, stage))


def commit(root: Path) -> str | None:
    """The checked-out commit's sha; None outside git or before the first commit."""
    answer = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return answer.strip() if answer else None


def dirty(root: Path) -> bool | None:
    """Whether a tracked file differs from the commit; None outside git.

    dvc.lock and what stages write (`outs`, `metrics`, `plots` of dvc.yaml) do not count: a run
    changes them by itself. Untracked files do not count either, as in `git describe --dirty`.
    """
    own = ["dvc.lock", "metrics", "artifacts", "reports", "mlruns", *_written_by_stages(root)]
    unless = [f":(exclude){path}" for path in own]
    answer = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *unless)
    return None if answer is None else bool(answer.strip())


def inputs(root: Path, stage: str) -> dict[str, str]:
    """md5 of every dependency that DVC keeps, from whoever produced it.

    A stage's own entry in dvc.lock is that of its last run, so the hashes are read where the inputs
    come from: the outputs of the stages upstream, which are up to date while it runs, and the *.dvc
    pointers. A dependency inside a kept folder has that folder's hash; one that holds several kept
    files has them all. Source code has no entry: commit and dirty flag name it.
    """
    kept = _kept_hashes(root, stage)
    return {
        path: md5
        for dependency in _dependencies(root, stage)
        for path, md5 in sorted(kept.items())
        if _within(dependency, path) or _within(path, dependency)
    }


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _read(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def _kept_hashes(root: Path, stage: str) -> dict[str, str]:
    lock = _read(root / "dvc.lock").get("stages", {})
    rows = [row for name, s in lock.items() if name != stage for row in s.get("outs", ())]
    rows += [
        row for pointer in sorted(root.glob("[!.]*.dvc")) for row in _read(pointer).get("outs", ())
    ]
    return {row["path"]: row["md5"] for row in rows if "md5" in row}


def _dependencies(root: Path, stage: str) -> list[str]:
    """The `deps` of one stage in dvc.yaml with its `${...}` filled in, as DVC does."""
    name, _, key = stage.partition("@")
    definition = _read(root / "dvc.yaml").get("stages", {}).get(name, {})
    scope = _read(root / "params.yaml")
    if "foreach" in definition:
        scope |= _loop_variables(definition["foreach"], key, scope)
        definition = definition["do"]
    return [_fill(_path(row), scope) for row in definition.get("deps", ())]


def _loop_variables(loop: Any, key: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(loop, str):
        loop = _lookup(scope, EXPRESSION.sub(r"\1", loop))
    return {"key": key, "item": loop[key]} if isinstance(loop, Mapping) else {"item": key}


def _fill(text: str, scope: Mapping[str, Any]) -> str:
    return EXPRESSION.sub(lambda match: str(_lookup(scope, match[1].strip())), text)


def _lookup(scope: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        scope = scope.get(part) if isinstance(scope, Mapping) else None
    return scope


def _path(row: Any) -> str:
    """A path in dvc.yaml is a string, or a mapping from it to its options."""
    return str(next(iter(row)) if isinstance(row, Mapping) else row)


def _written_by_stages(root: Path) -> Iterator[str]:
    for definition in _read(root / "dvc.yaml").get("stages", {}).values():
        body = definition.get("do", definition)
        for kind in ("outs", "metrics", "plots"):
            for row in body.get(kind, ()):
                yield EXPRESSION.sub("*", _path(row))
