"""The page's sections: each a function from the inputs to titled blocks."""

from __future__ import annotations

from unisurg.report.blocks import Section
from unisurg.report.curated import Curated
from unisurg.report.inputs import Inputs, Json
from unisurg.report.sections import (
    curation,
    labels,
    leaks,
    making,
    predictions,
    pretraining,
    results,
    rules,
    search,
    sheets,
    weights,
)


def all_sections(inputs: Inputs) -> list[Section]:
    """In reading order: the result first, then what it rests on."""
    return [
        results.section(inputs),
        labels.fewer(inputs),
        labels.tuning(inputs),
        *(predictions.section(inputs, benchmark) for benchmark in inputs.settings.benchmarks),
        pretraining.teaching(inputs),
        pretraining.training(inputs),
        *search.sections(inputs),
        curation.section(inputs.curated),
        *(evidence(inputs.curated) if inputs.curated else []),
        rules.section(inputs.validation),
        making.section(inputs),
    ]


def of_curation(curated: Curated, validation: Json | None) -> list[Section]:
    """All that is told of a corpus alone; of rules only where they were checked."""
    checked = [] if validation is None else [rules.section(validation)]
    return [curation.section(curated), *evidence(curated), *checked]


def evidence(curated: Curated) -> list[Section]:
    return [sheets.section(curated), leaks.section(curated), weights.section(curated)]
