"""The graph of dvc.yaml as one Prefect flow, which names no stage: `python -m flows.pipeline`.

Every node is a task that runs `dvc repro --single-item NODE`, as soon as what it needs is done.
What is stale, and where its bytes are, remains DVC's to know: tasks have no cache of their own.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, get_run_logger, runtime, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from flows import graph  # noqa: E402
from flows.children import Children  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.tracking import PIPELINE_VARIABLE  # noqa: E402

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.futures import PrefectFuture
    from prefect.tasks import Task

BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
UP_TO_DATE = ("didn't change, skipping", "is cached - skipping run")
RETRY_AFTER_S = [1.0, 2.0, 4.0, 8.0, 16.0]
JITTER = 0.5
LINES_IN_ERROR = 15


class DvcBusy(RuntimeError):
    """Another DVC holds the repository's lock; trying again helps."""


class StageFailed(RuntimeError):
    """DVC could not reproduce a node; the message ends with what it printed last."""


class PipelineFailed(RuntimeError):
    """At least one node failed; the message names all of them, and what could not run."""


@dataclass(frozen=True)
class Outcome:
    """How a node came up to date."""

    ran: bool
    seconds: float


def is_busy(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth another try."""
    return isinstance(state.result(raise_on_failure=False), DvcBusy)


@task(
    task_run_name="{node}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_AFTER_S),
    retry_delay_seconds=RETRY_AFTER_S,
    retry_jitter_factor=JITTER,
    retry_condition_fn=is_busy,
)
def reproduce(node: str, root: Path, force: bool, children: Children, pipeline: str) -> Outcome:
    """Bring one node up to date.

    Raises:
        DvcBusy: another DVC holds the lock.
        StageFailed: the stage itself failed.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", node]
    variables = {"UNISURG_PYTHON": sys.executable, PIPELINE_VARIABLE: pipeline}
    log, lines, start = get_run_logger(), list[str](), time.monotonic()

    def keep(line: str) -> None:
        if line:
            lines.append(line)
            log.info(line)

    code = children.run([*command, "--force"] if force else command, root, variables, keep)
    printed = "\n".join(lines)
    if code == 0:
        ran = not any(sign in printed for sign in UP_TO_DATE)
        return Outcome(ran, time.monotonic() - start)
    if any(sign in printed for sign in BUSY):
        raise DvcBusy(node)
    last = "\n".join(lines[-LINES_IN_ERROR:])
    raise StageFailed(f"{node}: dvc repro ended with code {code}:\n{last}")


@flow(name="unisurg", validate_parameters=False, persist_result=False)
def pipeline(
    targets: Sequence[str] | None = None, force: bool = False, max_parallel: int = 2
) -> dict[str, str]:
    """Bring the whole graph up to date, or the part that `targets` need.

    Independent stages run side by side, at most `max_parallel` at once. Where one fails, the others
    go on, and what needs it does not run, but for the report: it is written of what there is.
    Returns what became of every node.

    Raises:
        PipelineFailed: at the end, naming the nodes that failed.
    """
    root = lineage.repository_root()
    dag = graph.read(root)
    needs = graph.towards(dag.needs, targets) if targets else dag.needs
    children = Children(max_parallel)
    name = f"prefect {runtime.flow_run.name} {runtime.flow_run.id}"
    futures: dict[str, PrefectFuture[Outcome]] = {}
    try:
        for node, before in needs.items():
            waits = [futures[other] for other in before]
            futures[node] = reproduce.submit(
                node, root, force, children, name, return_state=False, wait_for=waits
            )
        for future in futures.values():
            future.wait()
    except BaseException:
        children.stop()
        raise
    outcomes = {node: _describe(future.state) for node, future in futures.items()}
    create_markdown_artifact(summary(outcomes, dag), key="pipeline")
    failed = [node for node, future in futures.items() if not future.state.is_completed()]
    if failed:
        _report_the_rest(root, children)
        raise PipelineFailed(f"not up to date: {', '.join(f'{n} ({outcomes[n]})' for n in failed)}")
    return outcomes


def _report_the_rest(root: Path, children: Children) -> None:
    """Write the report of what there is; that it could not be is a warning beside the failure."""
    log = get_run_logger()
    command = [sys.executable, "-m", "unisurg", "report"]
    if code := children.run(command, root, {}, log.info):
        log.warning("the report was not written: `unisurg report` ended with code %d", code)


def _describe(state: State[Any]) -> str:
    if state.is_completed():
        outcome = state.result()
        return f"ran in {outcome.seconds:.0f} s" if outcome.ran else "was up to date"
    return "not run: it needs one that failed" if state.name == "NotReady" else "failed"


def summary(outcomes: dict[str, str], dag: graph.Dag) -> str:
    """The run in Markdown: a table of stages, the main metrics, where the report is."""
    rows = [f"| {node} | {outcome} |" for node, outcome in outcomes.items()]
    numbers = [line for path in dag.metrics if path.is_file() for line in _main_metric(path)]
    pages = [f"- [{path.name}]({path.as_uri()})" for path in dag.pages if path.is_file()]
    parts = ["## Stages", "", "| stage | |", "|---|---|", *rows]
    if numbers:
        parts += ["", "## Metrics", "", "| file | metric | value |", "|---|---|---|", *numbers]
    return "\n".join(parts + (["", "## Pages", "", *pages] if pages else [])) + "\n"


def _main_metric(path: Path) -> list[str]:
    """Rows for the metric that a file of metrics calls its main one, per encoder."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else {}
    main = content.get("main")
    return [
        f"| {path.name} | {main}, {kind} | {100 * content[kind][main]['mean']:.1f} % |"
        for kind in ("pretrained", "random", "difference")
        if main in content.get(kind, {})
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when everything is up to date, 1 when a stage failed, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("targets", nargs="*", help="stages to bring up to date [all]")
    parser.add_argument("--force", action="store_true", help="run stages that are up to date, too")
    parser.add_argument("--max-parallel", type=int, default=2, help="stages side by side")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        pipeline(options.targets or None, options.force, options.max_parallel)
    except KeyboardInterrupt:
        print("pipeline: interrupted; its stages were stopped", file=sys.stderr)
        return 130
    except (PipelineFailed, graph.UnknownStage) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
