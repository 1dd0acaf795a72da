"""The page's sections: each a function from the inputs to titled blocks."""

from __future__ import annotations

from unisurg.report.blocks import Section
from unisurg.report.inputs import Inputs
from unisurg.report.sections import corpus, labels, making, predictions, pretraining, results


def all_sections(inputs: Inputs) -> list[Section]:
    """In reading order: the result first, then what it rests on."""
    return [
        results.section(inputs),
        labels.fewer(inputs),
        labels.tuning(inputs),
        *(predictions.section(inputs, benchmark) for benchmark in inputs.settings.benchmarks),
        pretraining.teaching(inputs),
        pretraining.training(inputs),
        corpus.corpus(inputs),
        corpus.validation(inputs),
        making.section(inputs),
    ]
