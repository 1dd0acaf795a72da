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
    `metrics` and `pages` are the files among the stages' outputs that a person reads. `gpu` are the
    nodes that say `meta: {resource: gpu}`.
    """

    needs: Graph
    metrics: tuple[Path, ...]
    pages: tuple[Path, ...]
    gpu: frozenset[str] = frozenset()


def read(root: Path) -> Dag:
    """The graph of the repository at `root`."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph  # an edge leads from a stage to what it needs
        nodes = {stage: address(stage, root) for stage in graph if _can_run(stage)}
        needs = {
            name: tuple(sorted(nodes[s] for s in graph.successors(stage) if s in nodes))
            for stage, name in nodes.items()
        }
        outputs = [out for stage in graph for out in stage.outs]
        metrics = sorted(Path(out.fs_path) for out in outputs if out.metric)
        pages = sorted(Path(out.fs_path) for out in outputs if out.fs_path.endswith(".html"))
        gpu = frozenset(name for stage, name in nodes.items() if _wants_gpu(stage))
    return Dag(in_order(needs), tuple(metrics), tuple(pages), gpu)


def _wants_gpu(stage: Any) -> bool:
    return (getattr(stage, "meta", None) or {}).get("resource") == "gpu"


@dataclass(frozen=True)
class Needed:
    """Paths of what a stage reads of what others have made: `kept` by DVC, or `nowhere`.

    Metrics are in neither: git keeps them.
    """

    kept: tuple[str, ...]
    nowhere: tuple[str, ...]


def needed_by(root: Path, node: str) -> Needed:
    """What one stage needs, data that were added by hand included.

    Raises:
        UnknownStage: naming the stages there are.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        names = {address(stage, root): stage for stage in graph}
        if node not in names:
            raise UnknownStage(f"no stage {node!r}; there are: {', '.join(sorted(names))}")
        read = [Path(dep.fs_path) for dep in names[node].deps]
        outs = {
            Path(out.fs_path): out
            for stage in graph.successors(names[node])
            for out in stage.outs
            if any(_overlap(Path(out.fs_path), path) for path in read)
        }
        below = {str(path.relative_to(root.resolve())): out for path, out in outs.items()}
    kept = sorted(path for path, out in below.items() if out.use_cache)
    nowhere = sorted(p for p, out in below.items() if not out.use_cache and not out.metric)
    return Needed(tuple(kept), tuple(nowhere))


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _can_run(stage: Any) -> bool:
    """A pointer to data that were added by hand has nothing to run; an import has its source."""
    if getattr(stage, "frozen", False):
        return False
    return bool(getattr(stage, "cmd", None) or getattr(stage, "deps", None))


def address(stage: Any, root: Path) -> str:
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


def usual(needs: Graph) -> Graph:
    """What plain `dvc repro` brings up to date: the stages of the root's dvc.yaml, imported data,
    and of stages in other folders those that they need."""
    return towards(needs, [node for node in needs if ":" not in node])


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
