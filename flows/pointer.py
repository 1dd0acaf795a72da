"""DVC's pointer to the folder of recordings: which it is, and how what is new there is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows import commands
from flows.children import Children


class NoPlaceForRecordings(ValueError):
    """Recordings must not be put where curate.input points; the message says what to do."""


def pointed_at(root: Path, folder: Path) -> Path | None:
    """What `dvc add` takes for a folder of recordings: it, or the folder above that DVC knows.

    None where it lies outside the repository: DVC then only watches it, and its bytes are its
    owner's.

    Args:
        folder: `curate.input`, absolute or below `root`.

    Raises:
        NoPlaceForRecordings: DVC writes that folder itself, by an import or a stage, and would
            take away what was put there.
    """
    from dvc.repo import Repo

    folder = (root / folder).resolve()
    if not folder.is_relative_to(root.resolve()):
        return None
    with Repo(str(root)) as repo:
        for stage in repo.index.stages:
            for out in stage.outs:
                path = Path(out.fs_path).resolve()
                if folder.is_relative_to(path):
                    return _own(stage, path, folder, root)
    return folder


def _own(stage: Any, path: Path, folder: Path, root: Path) -> Path:
    if not stage.cmd and not stage.deps:
        return path
    shown = folder.relative_to(root.resolve())
    origin = f"imports it from {stage.deps[0]}" if not stage.cmd else f"writes it ({stage.cmd})"
    raise NoPlaceForRecordings(
        f"curate.input of params.yaml: {shown} is no place for new recordings, since"
        f" {Path(stage.path).relative_to(root.resolve())} {origin}, and would take them away again."
        " Name a folder of your own there, as in `input: recordings`; sources.yaml goes into it"
    )


def record(pointed: Path, root: Path, children: Children) -> Path:
    """Take up in DVC what the folder holds now; the pointer's file. Nothing new changes nothing.

    Raises:
        CommandFailed, Stopped.
    """
    shown = str(pointed.relative_to(root.resolve()))
    commands.run("dvc add", [*commands.DVC, "add", shown], root, children)
    return pointed.with_name(f"{pointed.name}.dvc")


def commit(pointer: Path, message: str, root: Path, children: Children) -> str | None:
    """Commit the pointer, and nothing else that is changed; the commit, None if none was needed.

    Raises:
        CommandFailed: git has no name and address of a committer, most often.
    """
    shown = pointer.relative_to(root.resolve())
    files = [str(shown)]
    state = ["git", "status", "--porcelain", "--untracked-files=all", "--"]
    changed = commands.run("git status", [*state, *files], root, children)
    if not changed:
        return None
    ignored = shown.with_name(".gitignore")  # DVC lists a new folder there
    if changed[0].startswith("??") and commands.run(
        "git status", [*state, str(ignored)], root, children
    ):
        files.append(str(ignored))
    commands.run("git add", ["git", "add", "--", *files], root, children)
    command = ["git", "commit", "--quiet", "--only", "--message", message, "--", *files]
    commands.run("git commit", command, root, children)
    return commands.run("git", ["git", "rev-parse", "HEAD"], root, children)[0]


def push(pointer: Path, root: Path, children: Children) -> bool:
    """Copy the bytes to DVC's remote; False where none is configured.

    Raises:
        CommandFailed, Stopped.
    """
    if not commands.run("dvc remote", [*commands.DVC, "remote", "list"], root, children):
        return False
    shown = str(pointer.relative_to(root.resolve()))
    commands.run("dvc push", [*commands.DVC, "push", shown], root, children)
    return True
