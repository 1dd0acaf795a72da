"""Figures of the files that a stage writes, by name: for the page, and for the stage's own run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from unisurg.benchmarks.jigsaws import GESTURES
from unisurg.report.confusion import confusion_figure, count
from unisurg.report.curves import curve_figure
from unisurg.report.depths import depth_figure
from unisurg.report.effect import effect_figure, effects_of
from unisurg.report.efficiency import curve_of, efficiency_figure
from unisurg.report.inputs import (
    STAGES,
    Arrays,
    Inputs,
    Predictions,
    predictions_path,
    read,
    read_arrays,
    read_history,
    read_predictions,
)
from unisurg.report.learning import learning_figure
from unisurg.report.masks import mask_figure
from unisurg.report.overlays import overlay_figure
from unisurg.report.palette import ENCODERS
from unisurg.report.ratings import gestures_of, rating_figure
from unisurg.report.ribbons import ribbon_figure
from unisurg.report.triplets import triplet_figure
from unisurg.report.wording import title_of
from unisurg.settings import Report, Settings


def of_pretraining(stage: str, log: Path, report: Report) -> dict[str, Figure]:
    """Curves and masked clips of one stage, from its `log` folder."""
    history, pictures = read_history(log), read_arrays(log / "pictures.npz")
    figures = curves({stage: history}) if history is not None else {}
    return figures | (masks(pictures, report.pictures) if pictures else {})


def of_probe(predictions: Path, report: Report) -> dict[str, Figure]:
    """Ribbons and confusion matrices, or overlays, from a probe's `predictions.npz`."""
    found = read_predictions(predictions)
    return drawn(found, report) if found else {}


def of_finetune(output: Path) -> dict[str, Figure]:
    """Learning curves of fine-tuning, from `history.csv` in its folder."""
    history = read_history(output)
    return {} if history is None else {"learning": learning_figure({output.name: history})}


def of_everything(root: Path, settings: Settings) -> dict[str, Figure]:
    """All of the report's figures by a name that says what they show, as in `cholec80/ribbons`."""
    inputs = read(root, settings)
    named = {f"{STAGES[stage]} ({stage})": h for stage, h in inputs.histories.items()}
    found = {f"pretraining/{name}": figure for name, figure in curves(named).items()}
    for stage, pictures in inputs.pictures.items():
        of_stage = masks(pictures, settings.report.pictures)
        found |= {f"{stage}/{name}": figure for name, figure in of_stage.items()}
    for benchmark in inputs.predictions:
        of_benchmark = of_probe(root / predictions_path(benchmark), settings.report)
        found |= {f"{benchmark}/{name}": figure for name, figure in of_benchmark.items()}
    if effects := effects_of(inputs):
        found["results/effects"] = effect_figure(effects)
    found |= {f"results/{name}": figure for name, figure in efficiency(inputs).items()}
    if inputs.tuned_histories:
        found["finetune/learning"] = learning_figure(inputs.tuned_histories)
    return found


def curves(histories: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    return {"curves": curve_figure(histories)} if histories else {}


def masks(pictures: Arrays, most: int) -> dict[str, Figure]:
    clips = zip(*(pictures[name] for name in ("clip", "mask", "motion", "pca")), strict=True)
    return {f"masks_{i}": mask_figure(*clip) for i, clip in zip(range(most), clips, strict=False)}


def efficiency(inputs: Inputs) -> dict[str, Figure]:
    """Curves of label efficiency of every benchmark that has one."""
    known = {b: curve_of(results) for b, results in inputs.metrics.items()}
    titled = {title_of(b, inputs): curve for b, curve in known.items() if curve}
    metrics = [inputs.metrics[b].main for b, curve in known.items() if curve]
    return {"label_efficiency": efficiency_figure(titled, metrics)} if titled else {}


def drawn(predictions: Predictions, report: Report) -> dict[str, Figure]:
    """What shows the predictions of a family of tasks."""
    return DRAWN[predictions.task](predictions, report)


def phases(predictions: Predictions, report: Report) -> dict[str, Figure]:
    """`ribbons` of the first cases, `confusion` over all of them."""
    first = _first(predictions.cases, report.ribbons)
    return {
        "ribbons": ribbon_figure(first, predictions.classes),
        "confusion": confusion(predictions, "phase", "moments"),
    }


def actions(predictions: Predictions, report: Report) -> dict[str, Figure]:
    return {"confusion": confusion(predictions, "class", "clips")}


def triplets(predictions: Predictions, report: Report) -> dict[str, Figure]:
    first = _first(predictions.cases, report.ribbons)
    return {"timelines": triplet_figure(first, predictions.classes)}


def skill(predictions: Predictions, report: Report) -> dict[str, Figure]:
    """`ratings` of all trials, and `gestures` of the first that are transcribed."""
    told = _first(gestures_of(predictions.cases), report.ribbons)
    found = {"ratings": rating_figure(predictions.cases)}
    return found | ({"gestures": ribbon_figure(told, GESTURES)} if told else {})


def segmentation(predictions: Predictions, report: Report) -> dict[str, Figure]:
    return {"overlays": overlay_figure(_first(predictions.cases, report.overlays))}


def depth(predictions: Predictions, report: Report) -> dict[str, Figure]:
    return {"depths": depth_figure(_first(predictions.cases, report.overlays))}


DRAWN = {
    "phase": phases,
    "action": actions,
    "triplet": triplets,
    "skill": skill,
    "segmentation": segmentation,
    "depth": depth,
}


def _first(cases: Mapping[str, Arrays], most: int) -> dict[str, Arrays]:
    """The first cases of the file, not the best ones."""
    return dict(islice(cases.items(), most))


def confusion(predictions: Predictions, what: str, unit: str) -> Figure:
    """Matrices of both encoders over all cases."""
    cases = list(predictions.cases.values())
    truths = [bands["truth"] for bands in cases]
    counts = {
        title.capitalize(): count(
            truths, [bands[encoder] for bands in cases], len(predictions.classes)
        )
        for encoder, (title, _) in ENCODERS.items()
        if all(encoder in bands for bands in cases)
    }
    return confusion_figure(counts, predictions.classes, what, unit)
