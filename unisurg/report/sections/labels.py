"""What becomes of the results with fewer labels, and with all weights trained."""

from __future__ import annotations

from unisurg.evaluation.reported import Comparison, tuned_path
from unisurg.report import figures
from unisurg.report.blocks import Block, Picture, Section, Table, Text, missing
from unisurg.report.drawing import as_vector
from unisurg.report.efficiency import curve_of
from unisurg.report.inputs import Inputs
from unisurg.report.learning import learning_figure
from unisurg.report.sections.absence import absent
from unisurg.report.wording import interval, title_of


def fewer(inputs: Inputs) -> Section:
    """Curves of label efficiency, with their numbers."""
    curves = {b: curve_of(results) for b, results in inputs.metrics.items()}
    curves = {b: curve for b, curve in curves.items() if curve}
    wanted = inputs.settings.probe.label_efficiency.benchmarks
    blocks: list[Block] = [
        missing(f"label_efficiency in metrics/{b}.json", f"probe@{b}")
        for b in wanted
        if b not in curves
    ]
    if curves:
        rows = [
            [
                title_of(benchmark, inputs),
                f"{100 * row.fraction:g} %",
                str(row.cases),
                interval(row.pretrained),
                interval(row.random),
                interval(row.difference, signed=True),
            ]
            for benchmark, curve in curves.items()
            for row in curve
        ]
        head = ["benchmark", "share", "cases", "pretrained", "random weights", "difference"]
        spoken = "; ".join(f"{row[0]}, {row[1]}: {row[3]} against {row[4]}" for row in rows)
        (figure,) = figures.efficiency(inputs).values()
        blocks += [
            Picture(
                as_vector(figure),
                f"Main metric by share of the training cases. {spoken}.",
                "Whole training cases were left out; smaller shares lie within larger ones. Lines:"
                " means over seeds; bands: 95 % bootstrap intervals over test cases.",
            ),
            Table(head, rows, numeric=frozenset({1, 2, 3, 4, 5})),
        ]
    if not blocks:
        blocks.append(Text("`probe.label_efficiency.benchmarks` names no benchmark."))
    return Section("labels", "With fewer labels", blocks)


def tuning(inputs: Inputs) -> Section:
    """The whole encoder trained, against a head on frozen features."""
    blocks: list[Block] = [
        block
        for b in inputs.settings.finetune.benchmarks
        if b not in inputs.tuned
        for block in absent(tuned_path(b), (f"finetune@{b}",), inputs)
    ]
    if inputs.tuned:
        rows = [row for benchmark in inputs.tuned for row in _rows(benchmark, inputs)]
        head = ["benchmark", "metric", "encoder", "pretrained", "random weights", "difference"]
        caption = (
            "The main metric with a head on frozen features, and with all weights trained. Seeds"
            " and epochs are those of each; the number of epochs was chosen on validation cases."
        )
        blocks.append(Table(head, rows, caption, frozenset({3, 4, 5})))
    if inputs.tuned_histories:
        titled = {title_of(b, inputs): h for b, h in inputs.tuned_histories.items()}
        blocks.append(
            Picture(
                as_vector(learning_figure(titled)),
                f"Training loss and validation results by epoch: {', '.join(titled)}.",
                "A line per seed. The epoch that is best on validation cases is tested.",
            )
        )
    if not blocks:
        blocks.append(Text("`finetune.benchmarks` names no benchmark."))
    return Section("tuning", "Fine-tuned against frozen", blocks)


def _rows(benchmark: str, inputs: Inputs) -> list[list[str]]:
    tuned, frozen = inputs.tuned[benchmark], inputs.metrics.get(benchmark)

    def row(state: str, found: Comparison) -> list[str]:
        return [
            title_of(benchmark, inputs),
            tuned.main,
            state,
            interval(found.pretrained.get(tuned.main)),
            interval(found.random.get(tuned.main)),
            interval(found.difference.get(tuned.main), signed=True),
        ]

    return [*([row("frozen", frozen)] if frozen else []), row("fine-tuned", tuned)]
