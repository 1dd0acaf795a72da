"""How often pretraining draws each data set, against how much of it there is."""

from __future__ import annotations

import pandas as pd

from unisurg.report.amounts import share, unit_for
from unisurg.report.blocks import Block, Picture, Section, Table, Text, missing
from unisurg.report.curated import Curated
from unisurg.report.drawing import as_vector
from unisurg.report.weights import Weighed, weight_figure

KEY = ["specialty", "source"]
"""What a data set is: a source that lies in two specialties counts as two."""


def section(curated: Curated) -> Section:
    title = "Weights: how often each data set is drawn"
    if not any(map(len, curated.drawn.values())):
        return Section("weights", title, [missing("artifacts/balance", "balance")])
    blocks: list[Block] = [
        Text(
            "Pretraining draws every specialty as often as every other, and within one every data"
            " set as often as every other, unless `pretrain.cap_passes` holds a small one back. So"
            " a small data set comes round often: a pass is when each of its clips was drawn once."
        ),
        _figure(curated),
        _table(curated),
    ]
    return Section("weights", title, blocks)


def _kept_s(curated: Curated) -> pd.Series:
    """Seconds that are kept, by specialty and data set."""
    return curated.manifest.groupby(KEY)["duration_s"].sum()


def _figure(curated: Curated) -> Picture:
    seconds = _kept_s(curated)
    told = next(iter(curated.drawn.values())).set_index(KEY)
    weighed = [
        Weighed(
            f"{source} ({str(specialty).replace('_', ' ')})",
            float(own) / float(seconds.sum()),
            float(told.loc[(specialty, source), "share"]),
        )
        for (specialty, source), own in seconds.items()
        if (specialty, source) in told.index
    ]
    return Picture(
        as_vector(weight_figure(weighed)),
        "Of each data set its share of the kept time and of the draws; the table has the numbers.",
        "Each data set’s share of the time that is kept, and of what stage 1 of pretraining draws.",
    )


def _table(curated: Curated) -> Table:
    unit, seconds = unit_for(curated.in_s), _kept_s(curated)
    rows = [
        [str(specialty).replace("_", " "), str(source), unit.of(own), share(own, seconds.sum())]
        for (specialty, source), own in seconds.items()
    ]
    head = ["specialty", "data set", unit.name, "of time"]
    for stage, table in curated.drawn.items():
        head += [f"draws {stage[-1]}", f"passes {stage[-1]}"]
        told = table.set_index(KEY)
        for row, data_set in zip(rows, seconds.index, strict=True):
            if data_set in told.index:
                drawn = told.loc[data_set]
                row += [share(float(drawn["share"]), 1.0), f"{float(drawn['passes']):,.1f}"]
            else:  # the stage `balance` has not run since it came
                row += ["–", "–"]
    return Table(
        head,
        rows,
        f"Data sets by specialty: {unit.name} that are kept of each, and their share of all kept"
        " time; its share of the draws, and how often each of its clips is drawn, in stage 1 and"
        " stage 2 of pretraining.",
        frozenset(range(2, len(head))),
    )
