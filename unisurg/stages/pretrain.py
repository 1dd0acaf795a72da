"""Curated corpus -> encoder; stage 1, and stage 2 on longer clips from stage 1's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from unisurg.pretrain.trainer import train
from unisurg.report.figures import of_pretraining
from unisurg.settings import Settings
from unisurg.stages import identity_path
from unisurg.tracking import track_stage

SCRATCH = Path(".scratch")


def run(
    stage: Literal["pretrain", "pretrain_long"],
    settings: Settings,
    corpus: Path,
    output: Path,
    start_from: Path | None,
) -> None:
    section = settings.pretrain if stage == "pretrain" else settings.pretrain_second
    with track_stage(stage, settings) as tracked:
        summary = train(
            corpus=corpus,
            settings=section,
            model=settings.model,
            seed=settings.seed,
            output=output,
            scratch=SCRATCH / stage,
            start_from=start_from,
            on_metrics=tracked.metrics,
        )
        page = output / "log" / "summary.json"
        page.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        tracked.artifact(output / "encoder")
        tracked.artifact(output / "log")
        for name, figure in of_pretraining(stage, output / "log", settings.report).items():
            tracked.figure(name, figure)
        tracked.write_identity(identity_path(stage, output))
        _tell(stage, summary)


def _tell(stage: str, summary: dict[str, Any]) -> None:
    print(
        f"{stage}: {summary['steps']} steps in {summary['seconds']:.0f} s,"
        f" loss {summary['loss_first']:.3f} -> {summary['loss_last']:.3f}"
    )
    for alarm in summary["alarms"]:
        print(f"{stage}: WARNING: {alarm}")
