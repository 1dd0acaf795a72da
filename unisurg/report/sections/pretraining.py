"""What the encoder learns from, and how its training went."""

from __future__ import annotations

import pandas as pd

from unisurg.report import figures
from unisurg.report.blocks import Block, Picture, Section, Table, Text, missing
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.inputs import STAGES, Inputs, log_path

METHOD = (
    "No label is used. Of every clip most tokens are hidden; from the few that remain, the encoder"
    " and a predictor must tell what a slowly moving copy of the encoder makes of the hidden ones."
    " Where the picture moves by itself, beyond the camera’s own motion, a wrong answer costs more."
    " That motion is what the bright tokens show; below them, tokens of one colour are alike to the"
    " encoder (the first three principal components of its features)."
)


def teaching(inputs: Inputs) -> Section:
    """What the encoder is asked to do, on clips of the corpus."""
    title = "What the encoder learns from"
    if not inputs.pictures:
        absent = missing(log_path("pretrain") / "pictures.npz", "pretrain")
        return Section("teaching", title, [absent])
    blocks: list[Block] = [Text(METHOD)]
    stage, arrays = next(iter(inputs.pictures.items()))
    for index, figure in enumerate(figures.masks(arrays, inputs.settings.report.pictures).values()):
        hidden = 100 * float(arrays["mask"][index].mean())
        blocks.append(
            Picture(
                as_photo(figure),
                f"Frames of a clip, its visible part, its motion scores and its features;"
                f" {hidden:.0f} % hidden.",
                f"Clip {index + 1} of {STAGES[stage]}, {hidden:.0f} % of it hidden.",
            )
        )
    return Section("teaching", title, blocks)


def training(inputs: Inputs) -> Section:
    blocks: list[Block] = [
        missing(log_path(stage) / "history.csv", stage)
        for stage in STAGES
        if stage not in inputs.histories
    ]
    if inputs.histories:
        named = {f"{STAGES[s]} ({s})": history for s, history in inputs.histories.items()}
        last = "; ".join(f"{stage} ends at loss {_last(h, 'loss')}" for stage, h in named.items())
        blocks.append(
            Picture(
                as_vector(figures.curves(named)["curves"]),
                f"Eight panels of curves over steps. {last}.",
                "Every step faintly, its running median boldly. Rank, deviation, cosines and k-NN"
                " are collapse meters: an encoder that answers every clip alike has a rank near 1,"
                " a deviation near 0 and cosines near 1, however low its loss. The k-NN tells a"
                " clip’s source by clips of other videos.",
            )
        )
        blocks.append(_training_table(inputs))
    return Section("training", "Loss and health", blocks)


def _training_table(inputs: Inputs) -> Table:
    columns = {
        "loss": "loss", "rank_me": "effective rank", "feature_std": "deviation",
        "token_cosine": "token cosine", "temporal_cosine": "temporal cosine",
    }  # fmt: skip
    rows = [
        [f"{STAGES[stage]} ({stage})", str(len(history)), *(_last(history, c) for c in columns)]
        for stage, history in inputs.histories.items()
    ]
    head = ["at the end of", "steps", *columns.values()]
    return Table(head, rows, numeric=frozenset(range(1, len(head))))


def _last(history: pd.DataFrame, column: str) -> str:
    values = history[column].dropna() if column in history else history.iloc[:0, 0]
    return f"{values.iloc[-1]:.3g}" if len(values) else "–"
