"""Is a curated corpus fit to train on: rules on its tables, checked with Great Expectations.

The only importer of Great Expectations. Context and suites are built in memory: nothing is written,
nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unisurg.corpus import manifest
from unisurg.corpus.curate import ID_DIGITS, STAGES, UNKNOWN
from unisurg.corpus.facts import Reason
from unisurg.settings import Curate

ROWS_NAMED = 20
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Rule:
    """The outcome of one rule on one column of one table."""

    table: str
    rule: str
    column: str
    success: bool
    observed: str
    """What was found instead, empty where the rule holds."""
    failed_rows: list[dict[str, Any]]
    """The first ROWS_NAMED offending rows: their `raw` and the value that offends."""


@dataclass(frozen=True)
class Report:
    rules: list[Rule]

    @property
    def broken(self) -> list[Rule]:
        return [rule for rule in self.rules if not rule.success]

    @property
    def success(self) -> bool:
        return not self.broken

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {"success": self.success, "rules": [asdict(rule) for rule in self.rules]}


class ValidationFailed(RuntimeError):
    """The corpus breaks a rule; the message names the rules and the offending rows."""

    def __init__(self, report: Report) -> None:
        head = f"{len(report.broken)} of {len(report.rules)} rules do not hold:"
        remedy = "Run `unisurg curate` again, with the settings that are used to validate."
        super().__init__("\n".join([head, *map(_told, report.broken), remedy]))
        self.report = report


def validate(corpus: Path, section: Curate) -> Report:
    """Check the tables of the corpus folder that `curate` wrote with the same settings.

    Raises:
        ManifestError: a table is missing or has other columns.
    """
    clips = manifest.read_manifest(corpus)
    refused = manifest.read_quarantine(corpus)
    inputs = manifest.read_inputs(corpus)
    tables = {
        "manifest": (_with_derived(clips, corpus, section), _manifest_rules(section)),
        "quarantine": (refused, _quarantine_rules()),
        "inputs": (_accounts(inputs, clips, refused), _inputs_rules()),
    }
    return Report(_check(tables))


def _with_derived(clips: pd.DataFrame, corpus: Path, section: Curate) -> pd.DataFrame:
    """The manifest and what can be computed from it, so that every rule is on one column."""
    table = clips.copy()
    sides, raw_sides = table[["width_px", "height_px"]], table[["raw_width_px", "raw_height_px"]]
    frame_s = 1 / table["fps"] + 1 / table["raw_fps"].where(table["raw_fps"] > 0, np.nan)
    known = table["source"].map(lambda source: section.specialties.get(source, UNKNOWN))
    table["short_side_px"] = sides.min(axis=1)
    table["enlarged_px"] = sides.max(axis=1) - raw_sides.max(axis=1)
    table["odd_sides"] = (sides % 2).sum(axis=1)
    table["duration_error_s"] = (table["duration_s"] - table["n_frames"] / table["fps"]).abs()
    lost_s = (table["duration_s"] - table["raw_duration_s"]).abs() - frame_s.fillna(np.inf)
    table["lost_s"] = lost_s.clip(lower=0)
    table["specialty_agrees"] = table["specialty"] == known
    table["sha256_is_one"] = table["raw_sha256"].str.fullmatch("[0-9a-f]{64}")
    table["id_agrees"] = table["video_id"] == table["raw_sha256"].str[:ID_DIGITS]
    table["clip_exists"] = [(corpus / clip).is_file() for clip in table["clip"]]
    return table


def _accounts(inputs: pd.DataFrame, clips: pd.DataFrame, refused: pd.DataFrame) -> pd.DataFrame:
    """Per recording, in how many rows of the inputs and of their outcomes it appears."""
    outcomes = pd.concat([clips["raw"], refused["raw"]]).value_counts()
    found = inputs["raw"].value_counts()
    accounts = pd.DataFrame({"found": found, "outcomes": outcomes}).fillna(0).astype("int64")
    return accounts.rename_axis("raw").reset_index().sort_values("raw", ignore_index=True)


def _manifest_rules(section: Curate) -> list[Any]:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, meta=_says("there is a clip")),
        *(
            gxe.ExpectColumnValuesToNotBeNull(column=column, meta=_says("has a value"))
            for column in manifest.MANIFEST_COLUMNS
        ),
        *(
            gxe.ExpectColumnValuesToBeUnique(column=column, meta=_says("no value twice"))
            for column in ("video_id", "raw_sha256", "raw", "clip")
        ),
        *_range_rules(section),
        *_truth_rules(),
    ]


def _range_rules(section: Curate) -> list[Any]:
    import great_expectations.expectations as gxe

    fps, short, least = section.fps, section.short_side_px, section.min_seconds
    ranges: list[tuple[str, float | None, float | None, str]] = [
        ("fps", fps - TOLERANCE, fps + TOLERANCE, f"curate.fps, {fps:g}"),
        ("short_side_px", 2, short, f"at most curate.short_side_px, {short}"),
        ("raw_duration_s", least, None, f"at least curate.min_seconds, {least:g}"),
        ("n_frames", 1, None, "at least one frame"),
        ("raw_bytes", 1, None, "at least one byte"),
        ("decode_errors", 0, None, "not negative"),
        ("odd_sides", 0, 0, "both sides are even"),
        ("enlarged_px", None, 1, "no picture is enlarged, but to an even side"),
        ("duration_error_s", 0, TOLERANCE, "duration is n_frames / fps"),
        ("lost_s", 0, TOLERANCE, "the clip lasts as long as its recording, to a frame of each"),
    ]
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=low, max_value=high, meta=_says(rule)
        )
        for column, low, high, rule in ranges
    ]


def _truth_rules() -> list[Any]:
    import great_expectations.expectations as gxe

    truths = [
        ("sha256_is_one", "raw_sha256 is 64 hexadecimal digits"),
        ("id_agrees", "video_id begins raw_sha256"),
        ("specialty_agrees", "the specialty is that of curate.specialties"),
        ("clip_exists", "the clip's file exists"),
    ]
    return [
        gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta=_says(rule))
        for column, rule in truths
    ]


def _quarantine_rules() -> list[Any]:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeUnique(column="raw", meta=_says("no recording twice")),
        gxe.ExpectColumnValuesToBeInSet(
            column="reason", value_set=[str(r) for r in Reason], meta=_says("a known reason")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="stage",
            value_set=sorted({*STAGES.values(), "normalise"}),
            meta=_says("a known stage"),
        ),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column="detail", min_value=1, meta=_says("says what was seen")
        ),
    ]


def _inputs_rules() -> list[Any]:
    """Conservation: what was found is what came out, each once."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=column, value_set=[1], meta=_says(f"nothing is lost or invented: {what}")
        )
        for column, what in (
            ("found", "every clip and every quarantined recording was found once"),
            ("outcomes", "every recording found is one clip or one row of the quarantine"),
        )
    ]


def _says(rule: str) -> dict[str, str]:
    return {"rule": rule}


def _check(tables: Mapping[str, tuple[pd.DataFrame, list[Any]]]) -> list[Rule]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("corpus")
    rules: list[Rule] = []
    for name, (table, expectations) in tables.items():
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        result = batch.get_batch({"dataframe": table}).validate(
            suite,
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["raw"],
                "partial_unexpected_count": ROWS_NAMED,
            },
        )
        rules += [_rule(name, outcome) for outcome in result.results]
    return rules


def _rule(table: str, outcome: Any) -> Rule:
    config, found = outcome.expectation_config, outcome.result or {}
    rows = [dict(row) for row in found.get("unexpected_index_list") or []][:ROWS_NAMED]
    return Rule(
        table=table,
        rule=config.meta["rule"],
        column=config.kwargs.get("column", ""),
        success=bool(outcome.success),
        observed="" if outcome.success else _observed(outcome, found),
        failed_rows=[{key: _plain(value) for key, value in row.items()} for row in rows],
    )


def _observed(outcome: Any, found: Mapping[str, Any]) -> str:
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found['element_count']} rows"
    if "observed_value" in found:
        return str(found["observed_value"])
    return f"could not be checked: {outcome.exception_info}"


def _plain(value: Any) -> Any:
    """A value that JSON can hold: numpy scalars as Python's own, missing ones as None."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _told(rule: Rule) -> str:
    where = f"{rule.table}.{rule.column}" if rule.column else rule.table
    rows = [
        f"    {row.get('raw', '?')}: "
        + ", ".join(f"{key} = {value!r}" for key, value in row.items() if key != "raw")
        for row in rule.failed_rows
    ]
    return "\n".join([f"  {where}: {rule.rule}: broken by {rule.observed}", *rows])
