"""One encoder on chosen benchmarks: `python -m flows.evaluate ENCODER cholec80 kvasir`.

Features and probes are computed as in the graph, in a folder of their own: the results of the graph
stay as they are, and so do its runs in MLflow.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from flows import environment

environment.prepare()  # Prefect reads its surroundings while it is imported

from prefect import flow, runtime, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from flows import commands, gpus, pages, terminal  # noqa: E402
from flows.children import Children  # noqa: E402
from flows.pipeline import GPU, SIDE_BY_SIDE  # noqa: E402
from flows.troubles import CommandFailed  # noqa: E402
from unisurg import lineage  # noqa: E402
from unisurg.settings import SettingsError, load  # noqa: E402

ENCODER = Path("artifacts/pretrain_long/encoder")


class NoEncoder(FileNotFoundError):
    """There is nothing at the path that was given."""


@task(task_run_name="{benchmark}", tags=[GPU], cache_policy=NO_CACHE, persist_result=False)
def measure(benchmark: str, encoder: Path, folder: Path, children: Children) -> Path:
    """Features and probe of one benchmark, in `folder`; the file of metrics.

    Raises:
        CommandFailed.
    """
    features = [*commands.UNISURG, "features", benchmark, "--encoder", str(encoder)]
    with gpus.one_of(gpus.gpus(), children.check_wanted) as seen:
        commands.run(f"unisurg features {benchmark}", features, folder, children, seen)
        probe = [*commands.UNISURG, "probe", benchmark]
        commands.run(f"unisurg probe {benchmark}", probe, folder, children, seen)
    return folder / "metrics" / f"{benchmark}.json"


def run_name() -> str:
    """`ENCODER on cholec80, kvasir`."""
    given = runtime.flow_run.parameters
    names = ", ".join(given.get("benchmarks") or ["all benchmarks"])
    return f"{given.get('encoder')} on {names}"


@flow(name="evaluate", flow_run_name=run_name, persist_result=False)
def evaluate(
    encoder: Path = ENCODER,
    benchmarks: list[str] | None = None,
    max_parallel: int = SIDE_BY_SIDE,
) -> list[dict[str, str]]:
    """Probe one encoder; returns a row of the table for every metric.

    Args:
        encoder: a folder or a file of weights, whatever `unisurg.load_encoder` takes.
        benchmarks: names of blocks of params.yaml; None: all.
        max_parallel: benchmarks side by side.

    Raises:
        NoEncoder, SettingsError: before anything is computed.
        CommandFailed: a benchmark failed; those that did not have their files of metrics.
    """
    root = lineage.repository_root()
    weights = root / encoder
    if not weights.exists():
        raise NoEncoder(f"{weights}: no such file or folder; name the weights of an encoder")
    settings = load(root / "params.yaml")
    names = benchmarks or list(settings.benchmarks)
    for name in names:
        settings.require_block(name)
    folder = workplace(root, weights)
    children = Children(max_parallel)
    try:
        futures = [measure.submit(name, weights, folder, children) for name in names]
        for future in futures:
            future.wait()
    except BaseException:
        children.stop()
        raise
    rows = pages.metric_rows(folder / "metrics" / f"{name}.json" for name in names)
    text = [f"## {encoder}", "", *pages.markdown_table(rows), "", f"All of it: `{folder}`"]
    pages.show("evaluate", "\n".join(text) + "\n", rows)
    for future in futures:
        future.result()
    return [dict(row) for row in rows]


def workplace(root: Path, encoder: Path) -> Path:
    """A folder in which the verbs find what they need and write what they find, one an encoder.

    Its params.yaml is the repository's with paths that hold from there, and an experiment of its
    own. What the repository has computed of other encoders is used again.
    """
    digest = hashlib.sha256(str(encoder.resolve()).encode()).hexdigest()[:8]
    folder = root / ".scratch" / "evaluate" / f"{encoder.name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    raw = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    (folder / "params.yaml").write_text(
        yaml.safe_dump(from_anywhere(raw, root), sort_keys=False), encoding="utf-8"
    )
    scratch = folder / ".scratch"
    if not scratch.is_symlink():
        scratch.symlink_to(root / ".scratch", target_is_directory=True)
    return folder


def from_anywhere(raw: dict[str, Any], root: Path) -> dict[str, Any]:
    """Settings whose relative paths are made absolute, for probing alone."""
    from unisurg.tracking import absolute_uri

    tracking = raw["tracking"]
    tracking["uri"] = absolute_uri(tracking["uri"], root)
    tracking["experiment"] += "-evaluate"
    if "://" not in tracking["artifacts"]:
        tracking["artifacts"] = str(root / tracking["artifacts"])
    for block in raw["benchmarks"].values():
        block["root"] = str(root / block["root"])
    for baseline in raw["baselines"].values():
        if not baseline["model"].startswith("timm:"):
            baseline["model"] = str(root / baseline["model"])
    return raw


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see `terminal.run` for the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.evaluate", description=__doc__)
    parser.add_argument("encoder", type=Path, nargs="?", default=ENCODER, help=f"[{ENCODER}]")
    parser.add_argument("benchmarks", nargs="*", help="blocks of params.yaml [all]")
    parser.add_argument("--max-parallel", type=int, default=SIDE_BY_SIDE)
    options = parser.parse_args(arguments)
    told = (NoEncoder, SettingsError, CommandFailed)
    return terminal.run(
        "evaluate",
        lambda: tell(evaluate(options.encoder, options.benchmarks or None, options.max_parallel)),
        told,
    )


def tell(rows: Sequence[pages.Row]) -> None:
    """Print the table."""
    print("\n".join(pages.markdown_table(rows)))


if __name__ == "__main__":
    sys.exit(main())
