"""Where a result comes from: git commit, uncommitted changes, the hashes of a stage's inputs.

Only reads, and only files and git: DVC's own hashes stand in dvc.lock and in the *.dvc pointers.
Outside a git checkout or without a dvc.yaml the answers are None and {}, never an error.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

# The same safe loader written in C, where PyYAML has it: dvc.lock has thousands of lines.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
EXPRESSION = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Lineage:
    """`inputs` maps the path of each input that DVC keeps to its md5 (`.dir` marks a folder)."""

    commit: str | None
    dirty: bool | None
    inputs: dict[str, str]


@dataclass(frozen=True)
class Kept:
    """A path that DVC keeps: its md5, and the stage that makes it, None of data added by hand."""

    md5: str
    stage: str | None


@dataclass(frozen=True)
class Lock:
    """dvc.lock and the *.dvc pointers: what is kept by path, and what each stage was run with.

    `params` maps the stages to their parameters as dvc.lock has them: `{"probe": {...}}`; `deps`
    to the md5 of every dependency by path.
    """

    kept: dict[str, Kept]
    params: dict[str, dict[str, Any]]
    deps: dict[str, dict[str, str]]

    def made_by(self, stage: str) -> dict[str, str]:
        """md5 of each output of a stage by path."""
        return {path: kept.md5 for path, kept in self.kept.items() if kept.stage == stage}


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
    own = [
        "dvc.lock",
        "*/dvc.lock",
        "metrics",
        "artifacts",
        "reports",
        "mlruns",
        *_written_by_stages(root),
    ]
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
    defined = _stages(root, "dvc.yaml")
    others = {path: k for path, k in read_lock(root).kept.items() if k.stage != stage}
    there = {
        path
        for path, kept in others.items()
        if kept.stage is None or kept.stage.partition("@")[0] in defined
    }
    return {
        path: kept.md5
        for dependency in _dependencies(root, stage)
        for path, kept in sorted(others.items())
        # A folder has what stages make in it now, not what those of before have left in dvc.lock.
        if _within(dependency, path) or (path in there and _within(path, dependency))
    }


def read_lock(root: Path) -> Lock:
    """What DVC says of the repository at `root`; nothing where there is no dvc.lock.

    DVC leaves the entries of stages that dvc.yaml has no more; what one that it has makes counts.
    """
    defined = _stages(root, "dvc.yaml")
    locked = _stages(root, "dvc.lock").items()
    stages = dict(sorted(locked, key=lambda row: row[0].partition("@")[0] in defined))
    made = [(row, name) for name, body in stages.items() for row in body.get("outs", ())]
    added = [
        (row, None)
        for pointer in sorted(root.glob("[!.]*.dvc"))
        for row in _read(pointer).get("outs", ())
    ]
    return Lock(
        {row["path"]: Kept(row["md5"], name) for row, name in [*made, *added] if "md5" in row},
        {name: body.get("params", {}).get("params.yaml", {}) for name, body in stages.items()},
        {
            name: {row["path"]: row["md5"] for row in body.get("deps", ()) if "md5" in row}
            for name, body in stages.items()
        },
    )


def has_commit(root: Path, sha: str) -> bool:
    """Whether git has that commit here."""
    return _git(root, "cat-file", "-e", f"{sha}^{{commit}}") is not None


def md5_of(path: Path) -> str:
    """The md5 that DVC gives a file; of a folder that of the list of its files, and `.dir`."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    rows = [{"md5": md5_of(f), "relpath": f.relative_to(path).as_posix()} for f in files]
    rows.sort(key=lambda row: row["relpath"])
    return hashlib.md5(json.dumps(rows).encode()).hexdigest() + ".dir"


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
    if not path.is_file():
        return {}
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) or {}


def _stages(root: Path, name: str) -> dict[str, Any]:
    """The stages of the root's dvc.yaml, or dvc.lock, and of those one folder below."""
    files = [root / name, *sorted(root.glob(f"[!.]*/{name}"))]
    return {stage: body for file in files for stage, body in _read(file).get("stages", {}).items()}


def _dependencies(root: Path, stage: str) -> list[str]:
    """The `deps` of one stage in dvc.yaml with its `${...}` filled in, as DVC does."""
    name, _, key = stage.partition("@")
    definition = _stages(root, "dvc.yaml").get(name, {})
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
    for definition in _stages(root, "dvc.yaml").values():
        body = definition.get("do", definition)
        for kind in ("outs", "metrics", "plots"):
            for row in body.get(kind, ()):
                yield EXPRESSION.sub("*", _path(row))
