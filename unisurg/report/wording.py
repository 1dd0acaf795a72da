"""Names and numbers, as the page writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unisurg.report.inputs import Inputs


def title_of(benchmark: str, inputs: Inputs) -> str:
    """The data set's own name; `embedded` where its pictures are rendered."""
    from unisurg.benchmarks import REGISTRY

    title = REGISTRY[benchmark].title.partition(",")[0] if benchmark in REGISTRY else benchmark
    return f"Embedded {title}" if benchmark in inputs.embedded else title


def interval(estimate: Mapping[str, Any] | None, signed: bool = False) -> str:
    """`61.2 [58.0, 64.1]`, in per cent or points."""
    if estimate is None:
        return "–"
    sign = "+" if signed else ""
    mean, low, high = (
        f"{100 * estimate[key]:{sign}.1f}".replace("-", "−") for key in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"
