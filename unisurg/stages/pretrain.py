"""Training store -> encoder; stage 1, and stage 2 on longer clips from stage 1's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from unisurg.pretrain.trainer import train
from unisurg.pretrain.world import World, join
from unisurg.report.figures import of_pretraining
from unisurg.settings import Settings, tuned
from unisurg.stages import identity_path
from unisurg.tracking import Run, track_stage

Stage = Literal["pretrain", "pretrain_long"]


def run(
    stage: Stage, settings: Settings, store: Path, output: Path, start_from: Path | None
) -> None:
    """Train in this process, or together with the others that `torchrun` has started.

    What `pretrain.tuned` names is laid over the settings, and recorded with the run.
    """
    settings = tuned(settings)
    with join() as world, track_stage(stage, _told_once(settings, world)) as tracked:
        summary = train(
            store=store,
            settings=settings.pretrain if stage == "pretrain" else settings.pretrain_second,
            model=settings.model,
            seed=settings.seed,
            output=output,
            start_from=start_from,
            on_metrics=tracked.metrics,
            world=world,
        )
        if world.first:
            _leave(stage, settings, output, summary, tracked)


def _told_once(settings: Settings, world: World) -> Settings:
    """One process of a run is tracked."""
    if world.first:
        return settings
    silent = settings.tracking.model_copy(update={"enabled": False})
    return settings.model_copy(update={"tracking": silent})


def _leave(
    stage: Stage, settings: Settings, output: Path, summary: dict[str, Any], tracked: Run
) -> None:
    page = output / "log" / "summary.json"
    page.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    tracked.artifact(output / "encoder")
    tracked.artifact(output / "log")
    for name, figure in of_pretraining(stage, output / "log", settings.report).items():
        tracked.figure(name, figure)
    tracked.write_identity(identity_path(stage, output))
    print(
        f"{stage}: {summary['steps']} steps in {summary['seconds']:.0f} s,"
        f" loss {summary['loss_first']:.3f} -> {summary['loss_last']:.3f},"
        f" {100 * summary['waiting']:.1f} % of the time spent waiting for data"
    )
    for alarm in summary["alarms"]:
        print(f"{stage}: WARNING: {alarm}")
