"""Names and numbers, as the page writes them."""

from __future__ import annotations

import re

from unisurg.benchmarks import REGISTRY
from unisurg.evaluation.reported import Estimate, Results, spanned, written
from unisurg.report.inputs import Inputs

FAMILIES = {
    "phase": "Workflow",
    "action": "Actions",
    "segmentation": "Segmentation",
    "depth": "Depth",
    "skill": "Skill",
    "triplet": "Triplets",
}
HEADS = {
    "attentive": "attentive, one clip at a time",
    "linear": "linear, one clip at a time",
    "knn": "nearest neighbours, one clip at a time",
    "temporal": "temporal, the video so far",
    "trial": "attention over all clips of a trial",
    "decoder": "a small convolutional decoder",
    "triplet": "instruments, verbs, targets and which go together",
    "plain": "attentive, a logit per triplet",
}
# What the main metrics say.
MEANINGS = {
    "f1_sm_per_video_unrelaxed": (
        "F1 of each phase that a video’s truth or prediction names, mean over those phases, then"
        " over videos. No moment near a change of phase is forgiven, and a phase that is named"
        " once by mistake adds a 0."
    ),
    "f1_macro_over_clips": (
        "F1 of each class over all test clips together, mean over the classes that are true or"
        " predicted of any: a rare class weighs as much as a common one."
    ),
    "ap_ivt_videowise": (
        "Average precision of each triplet of instrument, verb and target within a video, mean over"
        " the videos that show it, then over triplets: how far the moments that show it score above"
        " those that do not."
    ),
    "mean_dice_threshold_0.5": (
        "Twice the area that the true and the predicted region share, over the sum of both areas,"
        " where a pixel is predicted from a probability of 0.5 on; mean over pictures."
    ),
    "delta_1.1_ratio_unscaled": (
        "Share of pixels whose depth is right to a tenth: the larger of the predicted and the true"
        " one is less than 1.1 times the other. Mean over frames, then over sequences; as predicted"
        " in mm, not scaled to the truth."
    ),
    "closeness_grs_over_trials": (
        "1 − mean absolute error of the rating / 24 points, the length of the scale. 100 % is"
        " exact; always answering a middle rating already gets a high share."
    ),
}
SMOOTHED = re.compile(r"(?P<kind>\w+)_offline_smoothed_(?P<seconds>\d+)s")


def title_of(benchmark: str, inputs: Inputs) -> str:
    """The data set's own name; `embedded` where its pictures are rendered."""
    title = REGISTRY[benchmark].title.partition(",")[0] if benchmark in REGISTRY else benchmark
    return f"Embedded {title}" if benchmark in inputs.embedded else title


def group_of(benchmark: str, task: str) -> str:
    """The family of tasks; results on sources that are trained on and on others stand apart."""
    seen = REGISTRY[benchmark].seen if benchmark in REGISTRY else None
    source = {None: "", True: ", source trained on", False: ", source not trained on"}[seen]
    return FAMILIES.get(task, task) + source


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
    if results.task == "depth":
        others = results.frames - 1
        beside = f"with the {others} before it" if others else "alone"
        said = f"Protocol `{results.protocol}`; each frame of a sequence is shown {beside}."
        return f"{said} {warning_of(results)}".strip()
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
    if results.lookahead:
        warnings.append(
            f"LOOKAHEAD: features may know of {results.lookahead} after the labelled moment."
        )
    return " ".join(warnings)


def interval(estimate: Estimate | None, signed: bool = False, metric: str = "") -> str:
    """`61.2 [58.0, 64.1]`, in per cent or points, or in the unit that the metric's name says."""
    if estimate is None:
        return "–"
    sign = "+" if signed else ""
    return _minus(spanned(metric, estimate.mean, estimate.low, estimate.high, sign))


def points(value: float, signed: bool = False, metric: str = "") -> str:
    """A share in 0..1 times 100, or a value in its own unit, with a true minus."""
    return _minus(written(metric, value, "+" if signed else ""))


def _minus(numbers: str) -> str:
    return numbers.replace("-", "−")


def constant_answer(closeness: float) -> str:
    """What `closeness_grs_over_trials` of the best constant rating tells, see `best_constant`."""
    return f"Giving every test trial the median of their ratings gets {points(closeness)} %."


def told_apart(difference: Estimate) -> int:
    """1 or -1 where the interval says which is ahead, 0 where it does not."""
    return (difference.low > 0) - (difference.high < 0)
