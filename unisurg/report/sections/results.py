"""The main results: every benchmark's main metric at a glance, then all of each in a fold."""

from __future__ import annotations

from collections.abc import Sequence

from unisurg.evaluation.published import published
from unisurg.evaluation.reported import metrics_path
from unisurg.report.blocks import Block, Picture, Section, Table, Text
from unisurg.report.drawing import as_vector
from unisurg.report.effect import Effect, effect_figure, effects_of
from unisurg.report.inputs import Inputs, stages_of
from unisurg.report.ratings import best_constant
from unisurg.report.sections import details
from unisurg.report.sections.absence import absent
from unisurg.report.sections.components import overlap_in_brief
from unisurg.report.wording import (
    MEANINGS,
    constant_answer,
    head_title,
    interval,
    title_of,
    warning_of,
)

OURS = "UniSurg"  # how the published models of this name begin

EMBEDDED_WARNING = (
    "The last column was measured on real recordings, ours on rendered ones: the two cannot be"
    " compared. It stands here for the day when `benchmarks` in params.yaml names the real data."
)
CAPTION = (
    "The same head, trained in the same way on two frozen encoders: the pretrained one, and one of"
    " the same size with random weights. Its hyper-parameters were chosen on validation cases"
    " alone. Differences are paired by case and by seed. Rows called fine-tuned train the whole"
    " encoder instead, from either weights."
)


def section(inputs: Inputs) -> Section:
    effects = effects_of(inputs)
    blocks: list[Block] = [*_warnings(inputs)]
    if effects:
        blocks += [_effect_picture(effects), _overview(inputs), _meanings(inputs)]
        if inputs.embedded & set(inputs.metrics):
            blocks.append(Text(EMBEDDED_WARNING, "note"))
    for benchmark in inputs.settings.benchmarks:
        if benchmark in inputs.metrics:
            blocks.append(details.fold(benchmark, inputs))
        else:
            blocks += absent(metrics_path(benchmark), stages_of(benchmark), inputs)
    return Section("results", "Results", blocks)


def _warnings(inputs: Inputs) -> list[Text]:
    """One paragraph per way in which some of the numbers are not final or not causal."""
    of_warning: dict[str, list[str]] = {}
    for benchmark, found in inputs.metrics.items():
        if warning := warning_of(found):
            of_warning.setdefault(warning, []).append(title_of(benchmark, inputs))
    return [Text(f"{warning} ({', '.join(of)})", "loud") for warning, of in of_warning.items()]


def _effect_picture(effects: Sequence[Effect]) -> Picture:
    spoken = "; ".join(
        f"{e.title}: pretrained {interval(e.pretrained)}"
        + (f", random weights {interval(e.random)}" if e.random else "")
        + (f", difference {interval(e.difference, signed=True)}" if e.difference else "")
        for e in effects
    )
    return Picture(as_vector(effect_figure(effects)), f"Main results. {spoken}.", CAPTION)


def _overview(inputs: Inputs) -> Table:
    rows = []
    for benchmark in inputs.settings.benchmarks:
        title, found = title_of(benchmark, inputs), inputs.metrics.get(benchmark)
        if found is None:
            why = "FAILED" if inputs.failed.keys() & stages_of(benchmark) else "not here yet"
            rows.append([title, why, "–", "–", "–", _printed(benchmark)])
        else:
            rows.append(
                [
                    f"{title}, split “{found.split}”{overlap_in_brief(found)}",
                    found.main,
                    interval(found.pretrained[found.main]),
                    interval(found.random.get(found.main)),
                    interval(found.difference.get(found.main), signed=True),
                    _printed(benchmark),
                ]
            )
    kinds = list(dict.fromkeys(found.kind for found in inputs.metrics.values()))
    caption = (
        "The main metric of every benchmark, in %, mean over seeds with the 95 % bootstrap interval"
        f" over test cases. Head: {'; '.join(head_title(kind) for kind in kinds)}."
    )
    head = ["benchmark", "metric", "pretrained", "random weights", "difference",
            "UniSurg, published on real data"]  # fmt: skip
    return Table(head, rows, caption, frozenset({2, 3, 4}))


def _meanings(inputs: Inputs) -> Table:
    """Every main metric in a sentence; of ratings also what can be had without looking."""
    said: dict[str, str] = {}
    for benchmark, found in inputs.metrics.items():
        said.setdefault(found.main, MEANINGS.get(found.main, "See docs/metrics.md."))
        rated = inputs.predictions.get(benchmark)
        if rated is not None and rated.task == "skill":
            said[found.main] += f" {constant_answer(best_constant(rated.cases))}"
    return Table(["metric", "what it says"], list(said.items()), "What the main metrics say.")


def _printed(benchmark: str) -> str:
    ours = [row for row in published(benchmark) if row.model.startswith(OURS)]
    return ", ".join(f"{row.metric} {row.text}" for row in ours) or "–"
