"""One stage of a commit, on any machine: `python -m flows.places REPOSITORY COMMIT NODE`.

A checkout of its own, `dvc pull` of what the stage needs, the stage, `dvc push` of what it made.
The result comes home by DVC's run cache: `dvc fetch --run-cache NODE` and `dvc repro --pull NODE`
there run nothing again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, runtime  # noqa: E402

from flows import commands, graph, lease, pages, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.pipeline import GPU, Outcome, reproduce  # noqa: E402
from flows.retrying import tried_again  # noqa: E402
from flows.troubles import CommandFailed, FlakyIO  # noqa: E402
from unisurg import lineage  # noqa: E402


class StaysHome(ValueError):
    """A stage reads what DVC keeps no copy of; it runs only where that was made."""


@tried_again
def checkout(repository: str, commit: str, folder: Path, children: Children) -> None:
    """Bring `folder` to a commit, cloning it first where it is not there yet.

    Raises:
        CommandFailed: the repository or the commit is not there, most often since it is not pushed.
    """
    git = ["git", "-C", str(folder)]
    if not (folder / ".git").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        commands.run("git init", [*git, "init", "--quiet"], folder, children)
    fetch = [*git, "fetch", "--quiet", "--tags", repository, "+refs/heads/*:refs/remotes/home/*"]
    commands.run(f"git fetch of {repository}", fetch, folder, children)
    files = [*git, "checkout", "--quiet", "--force", "--detach", commit]
    commands.run(f"git checkout of {commit}", files, folder, children)


@tried_again
def pull(node: str, folder: Path, children: Children) -> list[str]:
    """Fetch what a stage needs of what DVC keeps; the paths.

    Raises:
        UnknownStage, StaysHome, CommandFailed.
    """
    needed = graph.needed_by(folder, node)
    if needed.nowhere:
        raise StaysHome(
            f"{node} needs {', '.join(needed.nowhere)}, of which DVC keeps no copy (cache: false)"
        )
    if needed.kept:
        command = [*commands.DVC, "pull", *needed.kept]
        commands.run("dvc pull", command, folder, children)
    return list(needed.kept)


@tried_again
def push(node: str, folder: Path, children: Children) -> None:
    """Copy a stage's outputs to the remote, and under which inputs they were made.

    Raises:
        CommandFailed: no remote is configured, for instance.
    """
    command = [*commands.DVC, "push", "--run-cache", node]
    commands.run("dvc push", command, folder, children)
    _push_metrics(node, folder)


def _push_metrics(node: str, folder: Path) -> None:
    """Those that git keeps, too: `dvc push` leaves them out, and a run without them is no run."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        (made,) = (s for s in repo.index.stages if graph.address(s, folder) == node)
        metrics = [out for out in made.outs if out.metric and out.can_push and not out.use_cache]
        if repo.cloud.push({out.hash_info for out in metrics}).failed:
            raise FlakyIO(f"{node}: its metrics could not be copied to DVC's remote")


def run_name() -> str:
    """`pretrain of 1a2b3c4d`."""
    given = runtime.flow_run.parameters
    return f"{given.get('node')} of {str(given.get('commit'))[:8]}"


@flow(name="stage", flow_run_name=run_name, persist_result=False)
def stage(repository: str, commit: str, node: str) -> Outcome:
    """Run one stage of a commit here.

    Args:
        repository: what `git fetch` takes: an address, or a folder.
        commit: pushed, and so is what its dvc.lock names as the stage's inputs.
        node: a stage by its address in DVC, as in `features@cholec80`.

    Raises:
        UnknownStage, StaysHome, RepositoryBusy, CommandFailed.
    """
    folder = place_of(lineage.repository_root(), node)
    children = Children(1)
    name = f"prefect {runtime.flow_run.name} {runtime.flow_run.id}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lease.held(folder, "stage"):
            checkout(repository, commit, folder, children)
            pull(node, folder, children)
            gpu = node in graph.read(folder).gpu
            work = reproduce.with_options(tags=[GPU]) if gpu else reproduce
            outcome: Outcome = work(node, folder, False, children, name, gpu)
            push(node, folder, children)
    except BaseException:
        children.stop()
        raise
    done = f"ran in {outcome.seconds:.0f} s" if outcome.ran else "was up to date"
    pages.show("stage", f"**{node}** of {commit[:8]} {done}; its outputs are pushed.\n")
    return outcome


def place_of(root: Path, node: str) -> Path:
    """The checkout in which a stage runs: kept, so that the next run fetches only what is new."""
    return root / ".scratch" / "places" / re.sub(r"[^\w-]+", "-", node)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.places", description=__doc__)
    parser.add_argument("repository", help="what `git fetch` takes")
    parser.add_argument("commit")
    parser.add_argument("node", help="a stage, as in features@cholec80")
    options = parser.parse_args(arguments)
    told = (graph.UnknownStage, StaysHome, lease.RepositoryBusy, CommandFailed)
    return terminal.run(
        "stage", lambda: stage(options.repository, options.commit, options.node), told
    )


if __name__ == "__main__":
    sys.exit(main())
