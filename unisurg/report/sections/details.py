"""All that was measured on one benchmark, in a fold: metrics, heads, encoders, choices, prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unisurg.evaluation.published import Published, published
from unisurg.evaluation.reported import Choices, Results, lower_is_better
from unisurg.report.blocks import Block, Fold, Table, Text
from unisurg.report.inputs import Inputs
from unisurg.report.sections.components import component_table, overlap_of
from unisurg.report.wording import head_title, interval, protocol_of, title_of

PLAIN_METRICS = (
    *("Accuracy", "F1", "Jaccard", "mean Dice", "mean IoU"),
    *("AP_I", "AP_V", "AP_T", "AP_IV", "AP_IT", "AP_IVT"),
)
MOST_MODELS = 8


def fold(benchmark: str, inputs: Inputs) -> Fold:
    found = inputs.metrics[benchmark]
    blocks: list[Block] = [Text(protocol_of(found)), _metrics(found, title_of(benchmark, inputs))]
    if found.task == "triplet":
        blocks.append(component_table(found))
    if overlap := overlap_of(found):
        blocks.append(Text(overlap, "note"))
    if len(found.heads) > 1:
        blocks.append(_heads(found))
    if found.baselines:
        blocks.append(_encoders(found))
    blocks += [_choices(found), *_published(benchmark, inputs)]
    return Fold(f"{title_of(benchmark, inputs)}: every metric, head and encoder", blocks)


def _metrics(found: Results, title: str) -> Table:
    names = [found.main, *(name for name in found.pretrained if name != found.main)]
    rows = [
        [
            f"{name} (lower is better)" if lower_is_better(name) else name,
            interval(found.pretrained[name], metric=name),
            interval(found.random.get(name), metric=name),
            interval(found.difference.get(name), signed=True, metric=name),
        ]
        for name in names
    ]
    counts = ", ".join(
        f"{found.cases[part]} {said}{_clips(found, part)}"
        for part, said in (("train", "training"), ("val", "validation"), ("test", "test"))
        if part in found.cases
    )
    caption = (
        f"{title}, split “{found.split}”, {head_title(found.kind)}: {counts} {found.unit}s."
        " In %, or in the unit that a name says, mean over seeds, with the 95 % bootstrap interval"
        f" over test {found.unit}s."
    )
    head = ["metric, by its exact rule", "pretrained", "random weights", "difference"]
    return Table(head, rows, caption, frozenset({1, 2, 3}), frozenset({0}))


def _clips(found: Results, part: str) -> str:
    return f" ({found.clips[part]:,} clips)" if part in found.clips else ""


def _heads(found: Results) -> Table:
    """The main metric by kind of head."""
    rows = [
        [
            head_title(kind),
            interval(head.pretrained.get(found.main)),
            interval(head.random.get(found.main)),
            interval(head.difference.get(found.main), signed=True),
        ]
        for kind, head in found.heads.items()
    ]
    head = ["head", "pretrained", "random weights", "difference"]
    caption = f"{found.main} by kind of head, on the same features."
    return Table(head, rows, caption, frozenset({1, 2, 3}), frozenset({0}))


def _encoders(found: Results) -> Table:
    """The main metric of every further encoder, by kind of head."""
    rows = [
        [
            name,
            head_title(kind),
            interval(baseline.metrics.get(found.main)),
            interval(baseline.difference.get(found.main), signed=True),
        ]
        for kind, head in found.heads.items()
        for name, baseline in head.baselines.items()
    ]
    head = ["encoder", "head", "result", "pretrained − it"]
    caption = f"Further frozen encoders, {found.main}, in the same way and on the same cases."
    return Table(head, rows, caption, frozenset({2, 3}))


def _choices(found: Results) -> Fold:
    """What each seed kept, by kind of head, with its score on validation cases."""
    tables = [
        _choice_table(head_title(kind), {**head.chosen, **_chosen_of(head.baselines)})
        for kind, head in found.heads.items()
        if any(head.chosen.values())
    ]
    return Fold("What was chosen on validation cases", tables)


def _chosen_of(baselines: Mapping[str, Any]) -> dict[str, Choices]:
    return {name: row.chosen for name, row in baselines.items() if row.chosen}


def _choice_table(title: str, chosen: Mapping[str, Choices]) -> Table:
    kept = [row for of_seeds in chosen.values() for row in of_seeds.values()]
    keys = list(dict.fromkeys(key for row in kept for key in row if key != "val"))
    rows = [
        [encoder, seed, *(_plain(row.get(key)) for key in keys), _plain(row.get("val"))]
        for encoder, of_seeds in chosen.items()
        for seed, row in of_seeds.items()
    ]
    names = [key.replace("_", " ").replace("lr", "learning rate") for key in keys]
    head = ["encoder", "seed", *names, "score on validation cases"]
    numeric = frozenset({1, len(head) - 1})
    return Table(head, rows, f"{title}.", numeric, narrow=True)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _published(benchmark: str, inputs: Inputs) -> Iterable[Block]:
    printed = published(benchmark)
    if not printed:
        return []
    warning = (
        "The published numbers were measured on real recordings, ours on rendered ones: the two"
        " cannot be compared."
        if benchmark in inputs.embedded
        else "Protocols differ between papers; compare only what was measured in the same way."
    )
    rows = [[p.model, p.metric, p.text, p.source] for p in printed]
    table = Table(["model", "metric", "printed", "source"], rows, numeric=frozenset({2}))
    everything = Fold(f"All {len(rows)} published numbers, with their sources", [table])
    return [Text(warning, "note"), *_comparison(printed), everything]


def _comparison(printed: Sequence[Published]) -> list[Table]:
    """Models by the metrics that papers give under a plain name, in the order of the file."""
    plain = [p for p in printed if p.metric in PLAIN_METRICS]
    if not plain:
        return []
    metrics = list(dict.fromkeys(p.metric for p in plain))
    values = {(p.model, p.metric): p.text for p in plain}
    models = list(dict.fromkeys(p.model for p in plain))[:MOST_MODELS]
    rows = [[model, *(values.get((model, metric), "–") for metric in metrics)] for model in models]
    caption = "Published, on the real data, in %."
    numeric = frozenset(range(1, 1 + len(metrics)))
    return [Table(["model", *metrics], rows, caption, numeric, narrow=True)]
