"""What the probes predict on test cases, one section per benchmark."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from unisurg.report import figures
from unisurg.report.blocks import Block, Fold, Picture, Section
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.inputs import Inputs, Predictions, predictions_path, stages_of
from unisurg.report.sections.absence import absent
from unisurg.report.wording import title_of

TITLES = {
    "phase": "phases over time",
    "skill": "ratings of trials",
    "action": "which class is taken for which",
    "segmentation": "segmentation",
    "depth": "depth",
    "triplet": "triplets over time",
}
RIBBONS = (
    "Each test video from start to end: the true phases above, the prediction below, and the same"
    " probe on random weights as the thin band at the bottom. Dark marks between truth and"
    " prediction are wrong moments; what has no label is white. First seed."
)
TIMELINES = (
    "The triplets that these test videos show most often, but for instruments that do nothing. Of"
    " each two lines the upper one is the truth, the lower one the prediction: the darker, the"
    " likelier, as a share of the highest score that the triplet gets in these videos. Moments that"
    " nobody labelled are white. AP: average precision of the triplet in that video. First seed."
)


def section(inputs: Inputs, benchmark: str) -> Section:
    """Ribbons and confusion matrices, or overlays, as the family of tasks asks for."""
    found = inputs.predictions.get(benchmark)
    title = title_of(benchmark, inputs)
    if found is None:
        blocks = absent(predictions_path(benchmark), stages_of(benchmark), inputs)
        return Section(f"predictions-{benchmark}", f"{title}: predictions", blocks)
    drawn = figures.drawn(found, inputs.settings.report)
    shown = {
        "phase": _phases,
        "action": _actions,
        "segmentation": _segmentation,
        "depth": _depth,
        "triplet": _triplets,
        "skill": _skill,
    }[found.task]
    title = f"{title}: {TITLES[found.task]}"
    return Section(f"predictions-{benchmark}", title, shown(found, drawn))


def _phases(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    shown = list(found.cases)[: len(drawn["ribbons"].axes)]
    right = ", ".join(f"{case} {100 * _right(found, case):.0f} %" for case in shown)
    ribbons = Picture(
        as_vector(drawn["ribbons"]),
        f"Phase ribbons of {len(shown)} test videos; moments predicted rightly: {right}.",
        RIBBONS,
    )
    return [ribbons, Fold("Which phase is taken for which", [_confusion(found, drawn, "moments")])]


def _actions(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    return [_confusion(found, drawn, "clips")]


def _confusion(found: Predictions, drawn: Mapping[str, Figure], unit: str) -> Picture:
    count = len(found.cases)
    return Picture(
        as_vector(drawn["confusion"]),
        f"Confusion matrices over the {count} test cases, true class by predicted class.",
        f"Where the {unit} of each true class went, over all {count} test cases; classes that"
        " neither occur nor are predicted are left out. A perfect result is a dark diagonal.",
    )


def _segmentation(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    picture = Picture(
        as_photo(drawn["overlays"]),
        f"{len(found.cases)} test pictures with the true outline and the errors of each encoder.",
        "The first test pictures, not the best ones. White: the true outline. Yellow: predicted,"
        " but not there. Blue: there, but missed. Untinted inside the outline: found. First seed.",
    )
    return [picture]


def _depth(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    picture = Picture(
        as_photo(drawn["depths"]),
        f"The middle frames of {len(found.cases)} test sequences with true and predicted depth.",
        "The middle frame of the first test sequences, not the best ones. All maps share one scale,"
        " whose steps are equal factors. Grey: the depth is not known. First seed.",
    )
    return [picture]


def _triplets(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    count = len(drawn["timelines"].axes)
    timelines = Picture(
        as_vector(drawn["timelines"]),
        f"Triplets over time in {count} test videos, the truth above the prediction.",
        TIMELINES,
    )
    return [timelines]


def _skill(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    ratings = Picture(
        as_vector(drawn["ratings"]),
        f"Predicted against true ratings of {len(found.cases)} test trials, by exercise.",
        "A dot is a test trial: its true rating to the right, the predicted one upwards, in points"
        " of the scale; on the line both are equal. First seed.",
    )
    if "gestures" not in drawn:
        return [ratings]
    gestures = Picture(
        as_vector(drawn["gestures"]),
        f"Gestures over time in {len(drawn['gestures'].axes)} test trials.",
        RIBBONS.replace("video", "trial").replace("phases", "gestures"),
    )
    return [ratings, Fold("Which gesture is taken for which, over time", [gestures])]


def _right(found: Predictions, case: str) -> float:
    truth, ours = found.cases[case]["truth"], found.cases[case]["pretrained"]
    scored = truth >= 0
    return float((truth[scored] == ours[scored]).mean()) if scored.any() else 0.0
