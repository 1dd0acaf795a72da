"""Triplets by what they are made of: which parts are told, and which are not."""

from __future__ import annotations

from unisurg.evaluation.reported import Results
from unisurg.report.blocks import Table
from unisurg.report.wording import head_title, interval

COMPONENTS = {
    "i": "instrument",
    "v": "verb",
    "t": "target",
    "iv": "instrument and verb",
    "it": "instrument and target",
    "ivt": "triplet",
}


def component_table(found: Results) -> Table:
    """Average precision by component: each kind of head, and the main one on random weights."""
    columns = {head_title(kind): head.pretrained for kind, head in found.heads.items()}
    if found.random:
        columns[f"{head_title(found.kind)}, random weights"] = found.random
    rows = [
        [title, *(interval(measures.get(f"ap_{name}_videowise")) for measures in columns.values())]
        for name, title in COMPONENTS.items()
    ]
    head = ["part", *columns]
    caption = (
        "Average precision per video and class, mean over videos, then over classes, in %, with the"
        " 95 % bootstrap interval over test videos. The score of a part is the highest of its"
        " triplets’."
    )
    return Table(head, rows, caption, frozenset(range(1, len(head))))


def overlap_in_brief(found: Results) -> str:
    """What a line of the overview has to say of test videos that Cholec80 trains on, if any."""
    seen = found.cholec80_train_in_test
    if not seen:
        return ""
    return f" (Cholec80 trains on {len(seen)} of its {found.cases['test']} test videos)"


def overlap_of(found: Results) -> str:
    """Which test videos Cholec80 trains on, in words; empty where that is no question."""
    seen = found.cholec80_train_in_test
    if seen is None:
        return ""
    if not seen:
        return "None of the test videos is a training video of Cholec80."
    return (
        f"OVERLAP: {len(seen)} of {found.cases['test']} test videos are training videos of Cholec80"
        f" ({', '.join(seen)}): an encoder that was pretrained on those has seen their pictures."
    )
