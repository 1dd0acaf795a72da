"""Search for masks and motion settings: training store and a benchmark -> best.yaml, pictures."""

from __future__ import annotations

from pathlib import Path

from unisurg.models.writing import replacing
from unisurg.settings import Settings
from unisurg.tracking import track_stage
from unisurg.tuning.best import BEST, TRIALS, write_best, write_trials
from unisurg.tuning.pictures import pictures
from unisurg.tuning.search import search

SCRATCH, VIDEOS = Path(".scratch/tune"), Path(".scratch/features")
DPI = 110


def run(settings: Settings, store: Path, output: Path, trials: int | None) -> None:
    """Search until there are `trials` in all (None: `tune.trials`) and write what was found."""
    with track_stage("tune", settings) as tracked:
        count = trials or settings.tune.trials
        found, rows, study = search(settings, store, SCRATCH, VIDEOS, count, tracked.run_id)
        write_best(output, found, rows, study.space, tracked.lineage.commit)
        write_trials(output, rows, study.space)
        drawn = pictures(rows, study.space, study.importances(), found.front, found.metric)
        for name, figure in drawn.items():
            with replacing(output / f"{name}.png") as file:
                figure.savefig(file, format="png", dpi=DPI)
            tracked.figure(name, figure)
        tracked.artifact(output / BEST)
        tracked.artifact(output / TRIALS)
        tracked.metrics(0, {"score": found.score, "default": found.default})
        tracked.write_identity(output.with_name(f"{output.name}.run.json"))
        print(f"tune: {len(rows)} trials. {found.verdict} {output / BEST}")
