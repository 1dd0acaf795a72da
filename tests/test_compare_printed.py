"""What `unisurg compare` prints: numbers in the unit that their metric's name says."""

from __future__ import annotations

import pytest

from unisurg.evaluation.compare import Row, SideBySide
from unisurg.evaluation.statistics import Estimate
from unisurg.stages import compare as stage


@pytest.mark.parametrize(
    ("metric", "unit", "mean", "bounds"),
    [
        ("f1_macro_over_clips", "%, 95 % interval", "12.3", "[10.0, 15.0]"),
        ("rmse_log_unscaled", "ln, 95 % interval", "0.12", "[0.10, 0.15]"),
        ("spearman_over_trials", "95 % interval", "0.12", "[0.10, 0.15]"),
    ],
)
def test_a_share_has_one_digit_any_other_number_two_and_what_is_not_there_is_a_dash(
    metric: str, unit: str, mean: str, bounds: str
) -> None:
    row = Row("pretrained", False, Estimate(0.123, 0.1, 0.15, (0.123, float("nan"))))
    side = SideBySide(
        benchmark="b", split="s", protocol="fast", window="causal", lookahead_s=None,
        lookahead="2 frames", metric=metric, kind="k", test_cases=3, unit="clip",
        reference="pretrained", rows=(row,),
    )  # fmt: skip
    heading, head, printed = stage.table(side).splitlines()
    assert heading.endswith("LOOKAHEAD 2 frames")
    assert head.partition("  ")[2].strip().startswith(unit)
    assert printed.split() == ["pretrained", mean, *bounds.split(), mean, "-", "-", "-"]
    assert f"pretrained {mean}" in stage.lines([side])
