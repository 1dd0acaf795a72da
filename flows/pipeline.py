"""The graph of dvc.yaml as one Prefect flow, which names no stage: `python -m flows.pipeline`.

Every node is a task that runs `dvc repro --single-item NODE`, as soon as what it needs is done.
What is stale, and where its bytes are, remains DVC's to know: tasks have no cache of their own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, get_run_logger, runtime  # noqa: E402

from flows import commands, gpus, graph, lease, pages, runners, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.retrying import tried_again  # noqa: E402
from flows.troubles import CommandFailed  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.settings import SettingsError  # noqa: E402
from unisurg.tracking import PIPELINE_VARIABLE  # noqa: E402

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

UP_TO_DATE = ("didn't change, skipping", "is cached - skipping run")
SIDE_BY_SIDE = 2
GPU = "gpu"
"""Tag of the tasks whose stage says `meta: {resource: gpu}`."""


class PipelineFailed(RuntimeError):
    """At least one node failed; the message names all of them, and what could not run."""


@dataclass(frozen=True)
class Outcome:
    """How a node came up to date."""

    ran: bool
    seconds: float


@tried_again
def reproduce(
    node: str, root: Path, force: bool, children: Children, pipeline: str, gpu: bool = False
) -> Outcome:
    """Bring one node up to date; on a machine with GPUs a node that wants one has one to itself.

    Raises:
        Passing: another DVC holds the lock, or storage or network failed; it is tried again.
        CommandFailed: the stage itself failed.
    """
    command = [*commands.DVC, "repro", "--single-item", node, *(["--force"] if force else [])]
    variables = {"UNISURG_PYTHON": sys.executable, PIPELINE_VARIABLE: pipeline}
    with gpus.one_of(gpus.gpus() if gpu else (), children.check_wanted) as seen:
        start = time.monotonic()
        lines = commands.run(f"{node}: dvc repro", command, root, children, variables | seen)
    ran = not any(sign in line for line in lines for sign in UP_TO_DATE)
    return Outcome(ran, time.monotonic() - start)


def run_name() -> str:
    """What a run brings up to date, and of which commit: `cholec80 of 1a2b3c4d`."""
    targets = runtime.flow_run.parameters.get("targets") or ["all stages"]
    return f"{', '.join(targets)} of {version(lineage.repository_root())}"


def version(root: Path) -> str:
    """The commit in eight digits, with `and changes` where files differ from it."""
    commit = lineage.commit(root)
    if commit is None:
        return "no commit"
    return commit[:8] + (" and changes" if lineage.dirty(root) else "")


@flow(name="pipeline", flow_run_name=run_name, persist_result=False)
def pipeline(
    targets: list[str] | None = None, force: bool = False, max_parallel: int = SIDE_BY_SIDE
) -> dict[str, str]:
    """Bring the whole graph up to date, or the part that `targets` need.

    Independent stages run side by side, at most `max_parallel` at once. Where one fails, the others
    go on, and what needs it does not run, but for the report: it is written of what there is.
    Returns what became of every node.

    Raises:
        PipelineFailed: at the end, naming the nodes that failed.
        RepositoryBusy: another flow is at this repository.
    """
    root = lineage.repository_root()
    dag = graph.read(root)
    needs = graph.towards(dag.needs, targets) if targets else graph.usual(dag.needs)
    # What runs elsewhere ends with the lease, so that goes before its runner is waited for.
    with (
        runners.of_repository(root) as runner,
        lease.held(root, "pipeline") as hold,
    ):
        children = Children(max_parallel, hold)
        states = _reproduce_all(runner, needs, dag.gpu, root, force, children)
        failed = [node for node, state in states.items() if not state.is_completed()]
        if failed:
            _report_the_rest(root, children)
    outcomes = {node: _describe(state) for node, state in states.items()}
    report = next((page for page in dag.pages if page.parent.name == "reports"), None)
    pages.show("pipeline", summary(outcomes, dag), pages.metric_rows(dag.metrics), report)
    if failed:
        raise PipelineFailed(f"not up to date: {', '.join(f'{n} ({outcomes[n]})' for n in failed)}")
    return outcomes


def _reproduce_all(
    runner: TaskRunner[Any],
    needs: graph.Graph,
    gpu_nodes: Collection[str],
    root: Path,
    force: bool,
    children: Children,
) -> dict[str, State[Any]]:
    """The state in which every node has ended."""
    name = f"prefect {runtime.flow_run.name} {runtime.flow_run.id}"
    same = {"root": root, "force": force, "children": children, "pipeline": name}
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        for node, before in needs.items():
            gpu = node in gpu_nodes
            tags = [GPU] if gpu else None
            work = reproduce.with_options(task_run_name="{node}", tags=tags)
            waits = [futures[other] for other in before]
            futures[node] = runner.submit(work, {**same, "node": node, "gpu": gpu}, waits)
        for future in futures.values():
            future.wait()
    except BaseException:
        children.stop()
        raise
    return {node: future.state for node, future in futures.items()}


def _report_the_rest(root: Path, children: Children) -> None:
    """Write the report of what there is; that it could not be is a warning beside the failure."""
    try:
        commands.run("`unisurg report`", [*commands.UNISURG, "report"], root, children)
    except CommandFailed as error:
        get_run_logger().warning("the report was not written: %s", error)


def _describe(state: State[Any]) -> str:
    if state.is_completed():
        outcome = state.result()
        return f"ran in {outcome.seconds:.0f} s" if outcome.ran else "was up to date"
    return "not run: it needs one that failed" if state.name == "NotReady" else "failed"


def summary(outcomes: Mapping[str, str], dag: graph.Dag) -> str:
    """The run in Markdown: a table of stages, the main metrics, where the report is."""
    stages = [{"stage": node, "outcome": outcome} for node, outcome in outcomes.items()]
    numbers = pages.markdown_table(pages.metric_rows(dag.metrics))
    found = [f"- [{path.name}]({path.as_uri()})" for path in dag.pages if path.is_file()]
    parts = ["## Stages", "", *pages.markdown_table(stages)]
    parts += ["", "## Metrics", "", *numbers] if numbers else []
    return "\n".join(parts + (["", "## Pages", "", *found] if found else [])) + "\n"


TOLD = (
    PipelineFailed,
    graph.UnknownStage,
    lease.RepositoryBusy,
    runners.RunnerUnusable,
    SettingsError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("targets", nargs="*", help="stages to bring up to date [all]")
    parser.add_argument("--force", action="store_true", help="run stages that are up to date, too")
    parser.add_argument(
        "--max-parallel", type=int, default=SIDE_BY_SIDE, help="stages side by side"
    )
    options = parser.parse_args(arguments)
    return terminal.run(
        "pipeline",
        lambda: pipeline(options.targets or None, options.force, options.max_parallel),
        TOLD,
    )


if __name__ == "__main__":
    sys.exit(main())
