"""Suites of rules -> their outcome, by Great Expectations, of which this is the only importer.

Context and suites are built in memory: nothing is written, nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from unisurg.corpus.expectations.expected import (
    Among,
    Between,
    Expected,
    Present,
    Rows,
    Suite,
    Unique,
)
from unisurg.corpus.expectations.outcome import ROWS_NAMED, Rule


def check(suites: Iterable[Suite]) -> list[Rule]:
    """The outcome of every rule, in the order of suites and rules."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("corpus")
    rules: list[Rule] = []
    for number, suite in enumerate(suites):
        name = f"{number} {suite.table}"
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        expectations = [_expectation(one) for one in suite.expected]
        asked = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        result = batch.get_batch({"dataframe": suite.rows}).validate(
            asked,
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(suite.named_by),
                "partial_unexpected_count": ROWS_NAMED,
            },
        )
        rules += [_rule(suite, outcome) for outcome in result.results]
    return rules


def _expectation(expected: Expected) -> Any:
    import great_expectations.expectations as gxe

    meta = {"rule": expected.rule}
    match expected:
        case Between(column, low, high):
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=low, max_value=high, meta=meta
            )
        case Among(column, values):
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), meta=meta)
        case Present(column):
            return gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta)
        case Unique((column,)):
            return gxe.ExpectColumnValuesToBeUnique(column=column, meta=meta)
        case Unique(columns):
            return gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), meta=meta)
        case Rows(least):
            return gxe.ExpectTableRowCountToBeBetween(min_value=least, meta=meta)


def _rule(suite: Suite, outcome: Any) -> Rule:
    config, found = outcome.expectation_config, outcome.result or {}
    first = [dict(row) for row in found.get("unexpected_index_list") or []][:ROWS_NAMED]
    rows = [{name: row[name] for name in suite.named_by} | row for row in first]
    columns = config.kwargs.get("column_list") or [config.kwargs.get("column", "")]
    return Rule(
        table=suite.table,
        rule=config.meta["rule"],
        column=", ".join(columns),
        rows=len(suite.rows),
        success=bool(outcome.success),
        observed="" if outcome.success else _observed(outcome, found),
        failed_rows=[{key: _plain(value) for key, value in row.items()} for row in rows],
    )


def _observed(outcome: Any, found: Mapping[str, Any]) -> str:
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']} rows"
    if "observed_value" in found:
        return f"{found['observed_value']} rows"
    said = sorted({str(one["exception_message"]) for one in outcome.exception_info.values()})
    return f"could not be checked: {'; '.join(said)}"


def _plain(value: Any) -> Any:
    """A value that JSON can hold: numpy scalars as Python's own, missing ones as None."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
