"""Names and numbers, as the page writes them."""

from __future__ import annotations

import re

from unisurg.evaluation.reported import Estimate, Results
from unisurg.report.inputs import Inputs

FAMILIES = {"phase": "Workflow", "action": "Actions", "segmentation": "Segmentation"}
HEADS = {
    "attentive": "attentive, one clip at a time",
    "linear": "linear, one clip at a time",
    "knn": "nearest neighbours, one clip at a time",
    "temporal": "temporal, the video so far",
    "decoder": "a small decoder of masks",
}
SMOOTHED = re.compile(r"(?P<kind>\w+)_offline_smoothed_(?P<seconds>\d+)s")


def title_of(benchmark: str, inputs: Inputs) -> str:
    """The data set's own name; `embedded` where its pictures are rendered."""
    from unisurg.benchmarks import REGISTRY

    title = REGISTRY[benchmark].title.partition(",")[0] if benchmark in REGISTRY else benchmark
    return f"Embedded {title}" if benchmark in inputs.embedded else title


def head_title(kind: str) -> str:
    """A kind of head in words; what sees the future says that it is offline."""
    if smoothed := SMOOTHED.fullmatch(kind):
        return (
            f"{smoothed['kind']}, scores averaged over {smoothed['seconds']} s before and after:"
            " OFFLINE"
        )
    return HEADS.get(kind, kind.replace("_", " "))


def protocol_of(results: Results) -> str:
    """How clips were cut and encoded, with everything that a reader must be warned of."""
    if results.task == "segmentation":
        return f"Protocol `{results.protocol}`; a still picture is a clip of {results.frames}."
    length = f"{results.frames} frames"
    if results.task == "action":
        return f"Protocol `{results.protocol}`; {length} spread evenly over each clip."
    said = (
        f"Protocol `{results.protocol}`; {results.window} windows of {length} at"
        f" {results.fps:g} per second."
    )
    return f"{said} {warning_of(results)}".strip()


def warning_of(results: Results) -> str:
    """Why the numbers are no final ones, or not causal; empty where they are both."""
    warnings = []
    if results.protocol == "fast":
        warnings.append("FAST: an approximation for development; final tables use `dense`.")
    if results.window == "centred":
        warnings.append("CENTRED: offline, clips see what comes after the labelled moment.")
    if results.lookahead_s > 0:
        warnings.append(
            f"LOOKAHEAD: features may know of {results.lookahead_s:g} s after the labelled moment."
        )
    return " ".join(warnings)


def interval(estimate: Estimate | None, signed: bool = False) -> str:
    """`61.2 [58.0, 64.1]`, in per cent or points."""
    if estimate is None:
        return "–"
    mean, low, high = (points(v, signed) for v in (estimate.mean, estimate.low, estimate.high))
    return f"{mean} [{low}, {high}]"


def points(value: float, signed: bool = False) -> str:
    """A share in 0..1 times 100, with a true minus."""
    return f"{100 * value:{'+' if signed else ''}.1f}".replace("-", "−")


def told_apart(difference: Estimate) -> int:
    """1 or -1 where the interval says which is ahead, 0 where it does not."""
    return (difference.low > 0) - (difference.high < 0)
