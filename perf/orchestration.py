"""What watching costs: `python perf/orchestration.py --store artifacts/shards`.

A graph of stages that do next to nothing is brought up to date by `dvc repro` and by the flow, in
pairs and in turns, each in a process of its own; the flow starts Prefect's server for itself. The
first flow, which makes that server's database, is not counted. Then the pretraining of params.yaml,
cut to a few steps, is run with and without tracking, in pairs and in turns; and of each tracked run
the time inside of the tracking is taken. Both by the clock, by which the bounds are judged, and in
processor time, which a busy machine blurs less. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from unisurg import settings as settings_module
from unisurg import telemetry
from unisurg.pretrain.trainer import train
from unisurg.pretrain.world import alone
from unisurg.settings import Settings
from unisurg.tracking import PIPELINE_VARIABLE, LoggedRun, open_store, track_stage

ROOT = Path(__file__).resolve().parent.parent
FLOW_FIXED_S, FLOW_EACH_S = 20.0, 1.0
MOST_LOGGING = 0.01
BRANCHES = 4
DVC = (sys.executable, "-m", "dvc")
FLOW = (sys.executable, "-m", "flows.pipeline")


@dataclass
class Spent:
    """Seconds by the clock, and of this process's processor time."""

    wall_s: float = 0.0
    processor_s: float = 0.0

    def of(self, call: Callable[[], object]) -> None:
        """Add what a call takes."""
        wall, processor = time.perf_counter(), time.process_time()
        call()
        self.wall_s += time.perf_counter() - wall
        self.processor_s += time.process_time() - processor


@dataclass
class Training:
    """The steps of a run, and what of them was spent on tracking."""

    whole: Spent = field(default_factory=Spent)
    tracking: Spent = field(default_factory=Spent)


def toy(root: Path, stages: int) -> None:
    """A repository with so many stages, in a few branches of a chain each."""
    subprocess.run([*DVC, "init", "--quiet", "--no-scm"], cwd=root, check=True)
    graph = {
        f"stage{n}": {
            "cmd": f"echo {n} > {n}.txt",
            "deps": [f"{n - BRANCHES}.txt"] if n >= BRANCHES else [],
            "outs": [f"{n}.txt"],
        }
        for n in range(stages)
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": graph}))


def cost_of(command: list[str], root: Path) -> Spent:
    """What a command takes there, with all that it starts; it must succeed."""
    unset = ("PREFECT_API_URL", PIPELINE_VARIABLE)
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    wall, processor = time.perf_counter(), _of_children()
    subprocess.run(
        command,
        cwd=root,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Spent(time.perf_counter() - wall, _of_children() - processor)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_flow(stages: int, pairs: int) -> bool:
    """Print what the flow takes beyond DVC alone; whether that is within the bound."""
    arms = {"dvc repro": [*DVC, "repro", "--force"], "flow": [*FLOW, "--force"]}
    taken: dict[str, list[Spent]] = {name: [] for name in arms}
    with tempfile.TemporaryDirectory() as folder:
        toy(Path(folder), stages)
        cost_of(arms["flow"], Path(folder))
        for pair in range(pairs):
            for name in sorted(arms, reverse=bool(pair % 2)):
                taken[name].append(cost_of(arms[name], Path(folder)))
    taken["more"] = [
        Spent(flow.wall_s - plain.wall_s, flow.processor_s - plain.processor_s)
        for plain, flow in zip(taken["dvc repro"], taken["flow"], strict=True)
    ]
    bound = FLOW_FIXED_S + FLOW_EACH_S * stages
    print(f"{stages} stages, {pairs} pairs, load {os.getloadavg()[0]:.1f}")
    for name, costs in taken.items():
        clock, processor = [c.wall_s for c in costs], [c.processor_s for c in costs]
        print(f"  {name:<10} {spread(clock)} s, processor {spread(processor)} s")
    print(f"  bound on more: {bound:.0f} s", flush=True)
    return statistics.median(c.wall_s for c in taken["more"]) <= bound


def measure_logging(store: Path, steps: int, pairs: int) -> bool:
    """Print what tracking takes of the time of training; whether that is within the bound."""
    tracked, ratios = list[Training](), list[float]()
    for pair in range(pairs):
        arms = {
            on: trained(store, steps, on) for on in ([True, False] if pair % 2 else [False, True])
        }
        tracked.append(arms[True])
        ratios.append(arms[True].whole.processor_s / arms[False].whole.processor_s)
    clock = [t.tracking.wall_s / t.whole.wall_s for t in tracked]
    processor = [t.tracking.processor_s / t.whole.processor_s for t in tracked]
    print(f"{steps} steps of pretraining, {pairs} pairs, load {os.getloadavg()[0]:.1f}")
    print(f"  a step, tracked:                 {tracked[0].whole.wall_s / steps:.3f} s")
    print(f"  inside tracking, clock:          {spread([100 * x for x in clock])} %")
    print(f"  inside tracking, processor time: {spread([100 * x for x in processor])} %")
    print(f"  on over off, processor time:     {spread(ratios)}")
    print(f"  bound on what is inside: {100 * MOST_LOGGING:.0f} %")
    return statistics.median(clock) <= MOST_LOGGING


def trained(store: Path, steps: int, on: bool) -> Training:
    """A short pretraining, with the time of its steps from the first to the last."""
    settings = settings_module.load(
        ROOT / "params.yaml", [f"pretrain.steps={steps}", f"tracking.enabled={str(on).lower()}"]
    )
    with tempfile.TemporaryDirectory() as folder:
        if on:
            open_store(settings.tracking, Path(folder))  # a new database takes seconds, once
        return _train(settings, store, Path(folder))


def _train(settings: Settings, store: Path, root: Path) -> Training:
    training = Training()
    begun: list[tuple[float, float]] = []
    with track_stage("pretrain", settings, root) as run:

        def told(step: int, values: Mapping[str, float]) -> None:
            if not begun:
                begun.append((time.perf_counter(), time.process_time()))
            training.tracking.of(lambda: run.metrics(step, values))

        train(
            store=store,
            settings=settings.pretrain,
            model=settings.model,
            seed=settings.seed,
            output=root / "encoder",
            start_from=None,
            on_metrics=told,
            world=alone(),
        )
        [(wall, processor)] = begun
        training.whole.wall_s = time.perf_counter() - wall
        training.whole.processor_s = time.process_time() - processor
        # What is buffered still is written at the end of the stage.
        if isinstance(run, LoggedRun):
            training.tracking.of(partial(run.close, "FINISHED", None))
    return training


def spread(values: list[float]) -> str:
    """`median (least-most)`."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, help="shards to pretrain on; without it no training")
    parser.add_argument("--stages", type=int, nargs="*", default=[6, 24])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    telemetry.switch_off()
    kept = [measure_flow(stages, options.pairs) for stages in options.stages]
    if options.store is not None:
        kept.append(measure_logging(options.store.resolve(), options.steps, options.pairs))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
