"""What the search for masks and motion settings found, where one was made."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from unisurg.report.blocks import Block, Fold, Picture, Section, Table, Text
from unisurg.report.inputs import Inputs

TUNE = Path("artifacts/tune")
CAPTIONS = {
    "history": (
        "Scores of the trials in their order.",
        "Each trial is a short pretraining with other settings. The diamond and the dashed line are"
        " the settings in use; crosses were stopped before their end.",
    ),
    "importance": (
        "Bars: what share of the score’s variance each setting explains.",
        "By functional ANOVA over a random forest. With few trials it is a hint, not more.",
    ),
    "slices": (
        "Scores over each setting by itself.",
        "Later trials are darker; the diamond is the default; crosses are the last scores of trials"
        " that were stopped before their end.",
    ),
    "front": (
        "Scores over seconds of training.",
        "No trial beats those on the line in score and cost both.",
    ),
}


def sections(inputs: Inputs) -> list[Section]:
    """One, or none where nothing was searched."""
    best = inputs.root / TUNE / "best.yaml"
    if not best.is_file():
        return []
    found = yaml.safe_load(best.read_text(encoding="utf-8"))
    used = inputs.settings.pretrain.tuned == TUNE / best.name
    blocks: list[Block] = [
        Text(f"{found['verdict']} {_by_what(found, used)}"),
        _scores(found),
        *([_values(found)] if found["values"] else []),
        *_pictures(inputs.root / TUNE),
    ]
    return [Section("search", "Masks and motion, searched", blocks)]


def _by_what(found: dict[str, Any], used: bool) -> str:
    use = (
        "Both stages of pretraining use its values"
        if used
        else "Nothing uses its values until `pretrain.tuned` names `artifacts/tune/best.yaml`"
    )
    return (
        f"The score is {found['metric']} of a k-NN probe on validation cases; no test case was"
        f" opened. {use}."
    )


def _scores(found: dict[str, Any]) -> Table:
    again = found["again"]
    seeds = [f"again, seed {seed}" for seed in again["seeds"]]
    rows = [
        [f"best (trial {found['trial']})", *map(_spelled, [found["score"], *again["best"]])],
        ["default", *map(_spelled, [found["default"], *again["default"]])],
    ]
    head = ["settings", "in the search", *seeds]
    return Table(head, rows, numeric=frozenset(range(1, len(head))), narrow=True)


def _values(found: dict[str, Any]) -> Fold:
    rows = [[key, str(value)] for key, value in found["values"].items()]
    return Fold("The best trial’s values", [Table(["setting", "value"], rows)])


def _pictures(folder: Path) -> list[Picture]:
    return [
        Picture(_data_uri(folder / f"{name}.png"), alt, caption)
        for name, (alt, caption) in CAPTIONS.items()
        if (folder / f"{name}.png").is_file()
    ]


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _spelled(score: float | None) -> str:
    return "–" if score is None or score != score else f"{score:.4f}"
