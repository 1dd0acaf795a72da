"""The graph of dvc.yaml and of the *.dvc pointers, as DVC itself reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Graph = Mapping[str, tuple[str, ...]]


class UnknownStage(ValueError):
    """A target that is no stage of the graph."""


@dataclass(frozen=True)
class Dag:
    """`needs[node]` are the nodes that must be up to date before it, nodes in an order to run in.

    A node is a stage with a command, or an imported data source that DVC can bring up to date.
    `metrics` and `pages` are the files among the stages' outputs that a person reads.
    """

    needs: Graph
    metrics: tuple[Path, ...]
    pages: tuple[Path, ...]


def read(root: Path) -> Dag:
    """The graph of the repository at `root`."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph  # an edge leads from a stage to what it needs
        nodes = {stage: _address(stage, root) for stage in graph if _can_run(stage)}
        needs = {
            name: tuple(sorted(nodes[s] for s in graph.successors(stage) if s in nodes))
            for stage, name in nodes.items()
        }
        outputs = [out for stage in graph for out in stage.outs]
        metrics = sorted(Path(out.fs_path) for out in outputs if out.metric)
        pages = sorted(Path(out.fs_path) for out in outputs if out.fs_path.endswith(".html"))
    return Dag(in_order(needs), tuple(metrics), tuple(pages))


def _can_run(stage: Any) -> bool:
    """A pointer to data that were added by hand has nothing to run; an import has its source."""
    if getattr(stage, "frozen", False):
        return False
    return bool(getattr(stage, "cmd", None) or getattr(stage, "deps", None))


def _address(stage: Any, root: Path) -> str:
    """What `dvc repro` in `root` calls a stage; DVC's own answer depends on the working folder."""
    path = Path(stage.path).resolve().relative_to(root.resolve()).as_posix()
    name = getattr(stage, "name", None)
    if not name:
        return path
    return name if path == "dvc.yaml" else f"{path}:{name}"


def in_order(needs: Graph) -> Graph:
    """The same graph with every node after those it needs, alphabetical where that is free."""
    ordered: dict[str, tuple[str, ...]] = {}
    while len(ordered) < len(needs):
        ready = sorted(n for n in needs if n not in ordered and set(needs[n]) <= ordered.keys())
        ordered |= {node: needs[node] for node in ready}
    return ordered


def towards(needs: Graph, targets: Iterable[str]) -> Graph:
    """The part of the graph that the targets need, themselves included.

    Raises:
        UnknownStage: naming the stages there are.
    """
    wanted: set[str] = set()
    waiting = list(targets)
    for target in waiting:
        if target not in needs:
            raise UnknownStage(f"no stage {target!r}; there are: {', '.join(sorted(needs))}")
    while waiting:
        node = waiting.pop()
        if node not in wanted:
            wanted.add(node)
            waiting += needs[node]
    return {node: needs[node] for node in needs if node in wanted}
