"""Figures of the files that a stage writes, by name: for the page, and for the stage's own run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from unisurg.report.confusion import confusion_figure, count
from unisurg.report.curves import curve_figure
from unisurg.report.inputs import (
    STAGES,
    Arrays,
    cases_of,
    predictions_path,
    read,
    read_arrays,
    read_history,
)
from unisurg.report.masks import mask_figure
from unisurg.report.overlays import overlay_figure
from unisurg.report.ribbons import ribbon_figure
from unisurg.settings import Report, Settings

ENCODERS = {"pretrained": "Pretrained encoder", "random": "Random encoder"}


def of_pretraining(stage: str, log: Path, report: Report) -> dict[str, Figure]:
    """Curves and masked clips of one stage, from its `log` folder."""
    history, pictures = read_history(log), read_arrays(log / "pictures.npz")
    figures = curves({stage: history}) if history is not None else {}
    return figures | (masks(pictures, report.pictures) if pictures else {})


def of_probe(predictions: Path, report: Report) -> dict[str, Figure]:
    """Ribbons and confusion matrices, or overlays, from a probe's `predictions.npz`."""
    arrays = read_arrays(predictions)
    if not arrays:
        return {}
    if is_phase(arrays):
        return phases(arrays, report.ribbons)
    return segmentation(arrays, report.overlays)


def of_everything(root: Path, settings: Settings) -> dict[str, Figure]:
    """All of the report's figures by a name that says what they show, as in `cholec80/ribbons`."""
    inputs = read(root, settings)
    named = {f"{STAGES[stage]} ({stage})": h for stage, h in inputs.histories.items()}
    found = {f"pretraining/{name}": figure for name, figure in curves(named).items()}
    for stage, pictures in inputs.pictures.items():
        drawn = masks(pictures, settings.report.pictures)
        found |= {f"{stage}/{name}": figure for name, figure in drawn.items()}
    for benchmark in inputs.predictions:
        drawn = of_probe(root / predictions_path(benchmark), settings.report)
        found |= {f"{benchmark}/{name}": figure for name, figure in drawn.items()}
    return found


def is_phase(predictions: Arrays) -> bool:
    return not any(name.startswith("image/") for name in predictions)


def curves(histories: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    return {"curves": curve_figure(histories)} if histories else {}


def masks(pictures: Arrays, most: int) -> dict[str, Figure]:
    clips = zip(*(pictures[name] for name in ("clip", "mask", "motion", "pca")), strict=True)
    return {f"masks_{i}": mask_figure(*clip) for i, clip in zip(range(most), clips, strict=False)}


def phases(predictions: Arrays, most: int) -> dict[str, Figure]:
    """`ribbons` of the first `most` cases, `confusion` over all of them."""
    classes = [str(name) for name in predictions["classes"]]
    cases = cases_of(predictions)
    truths = [bands["truth"] for bands in cases.values()]
    counts = {
        title: count(truths, [bands[encoder] for bands in cases.values()], len(classes))
        for encoder, title in ENCODERS.items()
        if all(encoder in bands for bands in cases.values())
    }
    first = dict(list(cases.items())[:most])
    return {
        "ribbons": ribbon_figure(first, classes),
        "confusion": confusion_figure(counts, classes),
    }


def segmentation(predictions: Arrays, most: int) -> dict[str, Figure]:
    cases = dict(list(cases_of(predictions).items())[:most])
    return {"overlays": overlay_figure(cases)}
