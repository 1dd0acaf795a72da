"""The search for masks and motion settings: `python -m flows.tune`.

It is the stage of `tuning/dvc.yaml`, with what it needs; plain `dvc repro` runs it only where
params.yaml asks for its result.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, runtime  # noqa: E402

from flows import commands, pages, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.lease import RepositoryBusy  # noqa: E402
from flows.pipeline import PipelineFailed, pipeline, version  # noqa: E402
from flows.troubles import CommandFailed  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.settings import SettingsError, load  # noqa: E402

STAGE = "tuning/dvc.yaml:tune"
OUTPUT = Path("artifacts/tune")
REPORT = Path("reports/index.html")
COLUMNS = ("trial", "state", "score", "seconds", "reason")


class OtherCount(ValueError):
    """More or fewer trials than params.yaml says, by which DVC knows the stage."""


def run_name() -> str:
    """`20 trials of 1a2b3c4d`."""
    root = lineage.repository_root()
    trials = runtime.flow_run.parameters.get("trials") or load(root / "params.yaml").tune.trials
    return f"{trials} trials of {version(root)}"


@flow(name="tune", flow_run_name=run_name, persist_result=False)
def tune(trials: int | None = None) -> dict[str, Any]:
    """Bring the search up to date, and the report with it; returns what `best.yaml` says.

    A search that was cut short goes on.

    Args:
        trials: in all; None: `tune.trials` of params.yaml.

    Raises:
        OtherCount, SettingsError: before anything runs.
        PipelineFailed: the search, or a stage before it, failed.
        CommandFailed: the report could not be written.
        RepositoryBusy: another flow is at this repository.
    """
    root = lineage.repository_root()
    wanted = load(root / "params.yaml").tune.trials
    if trials not in (None, wanted):
        raise OtherCount(
            f"params.yaml: tune.trials is {wanted}, and DVC knows the stage by it: set it to"
            f" {trials} there and start again. For a search beside the graph:"
            f" `unisurg tune --trials {trials} --output FOLDER`"
        )
    pipeline([STAGE])
    commands.run("`unisurg report`", [*commands.UNISURG, "report"], root, Children(1))
    found = yaml.safe_load((root / OUTPUT / "best.yaml").read_text(encoding="utf-8"))
    rows = table(root / OUTPUT / "trials.csv")
    pages.show("tune", summary(found, root / OUTPUT), rows, root / REPORT)
    return dict(found)


def summary(found: dict[str, Any], output: Path) -> str:
    """The result in Markdown: the verdict, the best values, where the pictures are."""
    changed = [{"setting": key, "value": str(value)} for key, value in found["values"].items()]
    pictures = [f"- [{path.stem}]({path.as_uri()})" for path in sorted(output.glob("*.png"))]
    lines = [f"## {found['verdict']}", "", f"{found['metric']}, validation cases", ""]
    lines += [*pages.markdown_table(changed), "", "## Pictures", "", *pictures]
    return "\n".join(lines) + "\n"


def table(trials: Path) -> list[pages.Row]:
    """A row per trial."""
    with trials.open(newline="", encoding="utf-8") as file:
        return [{name: row[name] for name in COLUMNS} for row in csv.DictReader(file)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.tune", description=__doc__)
    parser.add_argument("--trials", type=int, help="in all, as params.yaml says [tune.trials]")
    options = parser.parse_args(arguments)
    told = (OtherCount, SettingsError, PipelineFailed, CommandFailed, RepositoryBusy)
    return terminal.run("tune", lambda: print(tune(options.trials)["verdict"]), told)


if __name__ == "__main__":
    sys.exit(main())
