"""The main result, all metrics by their exact names, and the published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from unisurg.evaluation.published import Published, published
from unisurg.report.blocks import Block, Fold, Picture, Section, Table, Text, missing
from unisurg.report.drawing import as_vector
from unisurg.report.effect import Effect, effect_figure
from unisurg.report.inputs import Inputs, Json, metrics_path
from unisurg.report.wording import interval, title_of

PLAIN_METRICS = ("Accuracy", "F1", "Jaccard", "mean Dice", "mean IoU")
MOST_MODELS = 8
LOWER_IS_BETTER = {"mae"}


def section(inputs: Inputs) -> Section:
    effects = effects_of(inputs)
    blocks: list[Block] = [_effect_picture(effects)] if effects else []
    for benchmark in inputs.settings.benchmarks:
        facts = inputs.metrics.get(benchmark)
        if facts is None:
            blocks.append(missing(metrics_path(benchmark), f"probe@{benchmark}"))
        else:
            blocks += _result_tables(benchmark, facts, inputs)
    return Section("results", "Results", blocks)


def effects_of(inputs: Inputs) -> list[Effect]:
    """The main metric of every benchmark that has one."""
    return [
        Effect(
            title_of(benchmark, inputs),
            facts["main"],
            facts["pretrained"][facts["main"]],
            facts.get("random", {}).get(facts["main"]),
            facts.get("difference", {}).get(facts["main"]),
        )
        for benchmark, facts in inputs.metrics.items()
    ]


def _effect_picture(effects: Sequence[Effect]) -> Picture:
    spoken = "; ".join(
        f"{e.title}: pretrained {interval(e.pretrained)}"
        + (f", random weights {interval(e.random)}" if e.random else "")
        + (f", difference {interval(e.difference, signed=True)}" if e.difference else "")
        for e in effects
    )
    caption = (
        "The same probe, trained in the same way on two frozen encoders: the pretrained one, and"
        " one of the same size with random weights. Its hyper-parameters were chosen on validation"
        " cases alone. Differences are paired by case and by seed."
    )
    return Picture(as_vector(effect_figure(effects)), f"Main results. {spoken}.", caption)


def _result_tables(benchmark: str, facts: Json, inputs: Inputs) -> list[Block]:
    title = title_of(benchmark, inputs)
    cases, unit = facts["cases"], facts["unit"]
    names = [facts["main"], *(name for name in facts["pretrained"] if name != facts["main"])]
    rows = [
        [
            f"{name} (lower is better)" if name in LOWER_IS_BETTER else name,
            interval(facts["pretrained"][name]),
            interval(facts.get("random", {}).get(name)),
            interval(facts.get("difference", {}).get(name), signed=True),
        ]
        for name in names
    ]
    head = ["metric, by its exact rule", "pretrained", "random weights", "difference"]
    caption = (
        f"{title}, split “{facts['split']}”: {cases['train']} training, {cases['val']} validation"
        f" and {cases['test']} test {unit}s. In %, mean over seeds, with the 95 % bootstrap"
        f" interval over test {unit}s."
    )
    table = Table(head, rows, caption, frozenset({1, 2, 3}), frozenset({0}))
    return [table, _choices(facts), *_published(benchmark, inputs)]


def _choices(facts: Json) -> Fold:
    """The head that each seed kept, with its score on validation cases."""
    rows = [
        [
            encoder,
            seed,
            kept["view"],
            *(f"{kept[name]:g}" for name in ("lr", "weight_decay", "val")),
        ]
        for encoder, of_seeds in facts["chosen"].items()
        for seed, kept in of_seeds.items()
    ]
    head = ["encoder", "seed", "view", "learning rate", "weight decay", "score on validation cases"]
    table = Table(head, rows, numeric=frozenset({1, 3, 4, 5}), narrow=True)
    return Fold("What was chosen on validation cases", [table])


def _published(benchmark: str, inputs: Inputs) -> list[Block]:
    printed = published(benchmark)
    if not printed:
        return []
    embedded = benchmark in inputs.embedded
    warning = (
        "The published numbers were measured on real recordings, ours on rendered ones: the two"
        " cannot be compared. They stand here for the day when `benchmarks` in params.yaml names"
        " the real data."
        if embedded
        else "Protocols differ between papers; compare only what was measured in the same way."
    )
    rows = [[p.model, p.metric, f"{100 * p.value:.1f}", p.source] for p in printed]
    table = Table(["model", "metric", "%", "source"], rows, numeric=frozenset({2}))
    everything = Fold(f"All {len(rows)} published numbers, with their sources", [table])
    return [Text(warning, "note"), _comparison(printed), everything]


def _comparison(printed: Sequence[Published]) -> Table:
    """Models by the metrics that papers give under a plain name, in the order of the file."""
    plain = [p for p in printed if p.metric in PLAIN_METRICS]
    metrics = list(dict.fromkeys(p.metric for p in plain))
    values = {(p.model, p.metric): f"{100 * p.value:.1f}" for p in plain}
    models = list(dict.fromkeys(p.model for p in plain))[:MOST_MODELS]
    rows = [[model, *(values.get((model, metric), "–") for metric in metrics)] for model in models]
    caption = "Published, on the real data, in %."
    numeric = frozenset(range(1, 1 + len(metrics)))
    return Table(["model", *metrics], rows, caption, numeric, narrow=True)
