"""New data, the graph, the verdict: `python -m flows.retrain`.

What has arrived in the drop folder is taken up, everything is brought up to date, and the model
that comes out is held against the champion. That it is refused is an answer, not a failure.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from flows import commands, graph, ingest, lease, pages, pipeline, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.pipeline import version  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.settings import load  # noqa: E402

DECISION = Path("reports/promotion.json")
Decision = Mapping[str, Any]


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(root: Path, children: Children) -> dict[str, Any]:
    """The decision of `unisurg promote`: see docs/promotion.md for what is in it.

    Raises:
        CommandFailed: it could not decide.
    """
    path = root / DECISION
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    command = [*commands.UNISURG, "promote", "--output", str(path)]
    commands.run("unisurg promote", command, root, children)
    decision: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return decision


def run_name() -> str:
    """`challenger of 1a2b3c4d`; new data, where there are any, change what it is trained on."""
    return f"challenger of {version(lineage.repository_root())}"


@flow(name="retrain", flow_run_name=run_name, persist_result=False)
def retrain(drop: Path | None = None, max_parallel: int = pipeline.SIDE_BY_SIDE) -> dict[str, Any]:
    """Ingest, where there is a drop folder; pipeline; promote. Returns the decision.

    Args:
        drop: None: `orchestration.ingest.drop` of params.yaml.
        max_parallel: stages side by side.

    Raises:
        As `ingest`, `pipeline` and `promote` do: what comes after does not happen then.
    """
    root = lineage.repository_root()
    if drop or load(root / "params.yaml").orchestration.ingest.drop:
        ingest.ingest(drop)
    else:
        get_run_logger().info(
            "no drop folder (orchestration.ingest.drop): the data stay as they are"
        )
    pipeline.pipeline(max_parallel=max_parallel)
    children = Children(1)
    try:
        with lease.held(root, "retrain"):
            decision = promote(root, children)
    except BaseException:
        children.stop()
        raise
    report = next((page for page in graph.read(root).pages if page.parent.name == "reports"), None)
    pages.show("retrain", summary(decision), rows(decision), report)
    return decision


def verdict(decision: Decision) -> str:
    """One sentence."""
    challenger = f"Version {decision['challenger_version']}"
    if decision["promoted"]:
        return f"{challenger} is the champion now."
    champion = decision["champion_version"]
    stays = "there is no champion" if champion is None else f"version {champion} stays champion"
    return f"{challenger} is refused; {stays}."


def summary(decision: Decision) -> str:
    """The decision, its reasons and its numbers, in Markdown."""
    reasons = [f"- {reason}" for reason in decision["reasons"]]
    table = pages.markdown_table(rows(decision))
    return "\n".join([f"## {verdict(decision)}", "", *reasons, "", *table]) + "\n"


def rows(decision: Decision) -> list[pages.Row]:
    """A row for each benchmark that was compared; a number that there is not is a dash."""
    return [
        {
            "benchmark": row["name"],
            "metric": row["metric"],
            "champion": _number(row["champion"]),
            "challenger": _number(row["challenger"]),
            "difference": _number(row["difference"], "+"),
            "95 % interval": f"[{_number(row['low'], '+')}, {_number(row['high'], '+')}]",
        }
        for row in decision["benchmarks"]
    ]


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code, 0 also of a refusal."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=__doc__)
    parser.add_argument("--drop", type=Path, help="[orchestration.ingest.drop]")
    parser.add_argument("--max-parallel", type=int, default=pipeline.SIDE_BY_SIDE)
    options = parser.parse_args(arguments)
    return terminal.run(
        "retrain",
        lambda: tell(retrain(options.drop, options.max_parallel)),
        (*ingest.TOLD, *pipeline.TOLD),
    )


def tell(decision: Decision) -> None:
    """Print the verdict and why."""
    print(f"retrain: {verdict(decision)}")
    for reason in decision["reasons"]:
        print(f"  {reason}")


if __name__ == "__main__":
    sys.exit(main())
