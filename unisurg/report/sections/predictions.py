"""What the probes predict on test cases, one section per benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from unisurg.report import figures
from unisurg.report.blocks import Block, Fold, Picture, Section
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.inputs import Inputs, Predictions, predictions_path, stages_of
from unisurg.report.ratings import best_constant
from unisurg.report.sections.absence import absent
from unisurg.report.wording import constant_answer, title_of

RIBBONS = (
    "Each test {case} from start to end: the true {classes} above, below them what the probe says"
    " on the pretrained encoder, and on random weights as the thin band at the bottom. Dark marks"
    " between truth and prediction are wrong moments; what has no label is white. First seed."
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
        lack = absent(predictions_path(benchmark), stages_of(benchmark), inputs)
        return Section(f"predictions-{benchmark}", f"{title}: predictions", lack)
    said, blocks_of = FAMILIES[found.task]
    blocks = blocks_of(found, figures.drawn(found, inputs.settings.report))
    return Section(f"predictions-{benchmark}", f"{title}: {said}", blocks)


def _phases(found: Predictions, drawn: Mapping[str, Figure]) -> list[Block]:
    shown = list(found.cases)[: len(drawn["ribbons"].axes)]
    right = ", ".join(f"{case} {100 * _right(found, case):.0f} %" for case in shown)
    ribbons = Picture(
        as_vector(drawn["ribbons"]),
        f"Phase ribbons of {len(shown)} test videos; moments predicted rightly: {right}.",
        RIBBONS.format(case="video", classes="phases"),
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
        "The middle frame of the first test sequences, not the best ones. All maps share one"
        " logarithmic scale. Grey: the depth is not known. First seed.",
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
        " of the scale; on the line both are equal. First seed."
        f" {constant_answer(best_constant(found.cases))}",
    )
    if "gestures" not in drawn:
        return [ratings]
    gestures = Picture(
        as_vector(drawn["gestures"]),
        f"Gestures over time in {len(drawn['gestures'].axes)} test trials, the truth on top.",
        RIBBONS.format(case="trial", classes="gestures"),
    )
    return [ratings, Fold("Gestures over time", [gestures])]


FAMILIES: dict[str, tuple[str, Callable[[Predictions, Mapping[str, Figure]], list[Block]]]] = {
    "phase": ("phases over time", _phases),
    "action": ("which class is taken for which", _actions),
    "triplet": ("triplets over time", _triplets),
    "skill": ("ratings of trials", _skill),
    "segmentation": ("segmentation", _segmentation),
    "depth": ("depth", _depth),
}


def _right(found: Predictions, case: str) -> float:
    truth, ours = found.cases[case]["truth"], found.cases[case]["pretrained"]
    scored = truth >= 0
    return float((truth[scored] == ours[scored]).mean()) if scored.any() else 0.0
