"""What the probes predict on test cases, one section per benchmark."""

from __future__ import annotations

from unisurg.report import figures
from unisurg.report.blocks import Picture, Section, missing
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.inputs import Inputs, cases_of, predictions_path
from unisurg.report.wording import title_of


def section(inputs: Inputs, benchmark: str) -> Section:
    """Ribbons and confusion matrices, or overlays, as the benchmark's arrays say."""
    arrays = inputs.predictions.get(benchmark)
    title = title_of(benchmark, inputs)
    if arrays is None:
        absent = missing(predictions_path(benchmark), f"probe@{benchmark}")
        return Section(f"predictions-{benchmark}", f"{title}: predictions", [absent])
    if figures.is_phase(arrays):
        return _phase_section(inputs, benchmark, title)
    return _segmentation_section(inputs, benchmark, title)


def _phase_section(inputs: Inputs, benchmark: str, title: str) -> Section:
    arrays = inputs.predictions[benchmark]
    drawn = figures.phases(arrays, inputs.settings.report.ribbons)
    cases = cases_of(arrays)
    shown = list(cases)[: inputs.settings.report.ribbons]
    right = ", ".join(
        f"{case} {100 * float((cases[case]['truth'] == cases[case]['pretrained']).mean()):.0f} %"
        for case in shown
    )
    ribbons = Picture(
        as_vector(drawn["ribbons"]),
        f"Phase ribbons of {len(shown)} test videos; seconds predicted rightly: {right}.",
        "Each test video from start to end: the true phases above, the prediction below, and the"
        " same probe on random weights as the thin band at the bottom. Dark marks between truth and"
        " prediction are wrong seconds. First seed.",
    )
    confusion = Picture(
        as_vector(drawn["confusion"]),
        f"Confusion matrices over the {len(cases)} test videos, true phase by predicted phase.",
        f"Where the seconds of each true phase went, over all {len(cases)} test videos."
        " A perfect result is a dark diagonal of 100.",
    )
    return Section(f"predictions-{benchmark}", f"{title}: phases over time", [ribbons, confusion])


def _segmentation_section(inputs: Inputs, benchmark: str, title: str) -> Section:
    arrays = inputs.predictions[benchmark]
    drawn = figures.segmentation(arrays, inputs.settings.report.overlays)
    count = min(len(cases_of(arrays)), inputs.settings.report.overlays)
    picture = Picture(
        as_photo(drawn["overlays"]),
        f"{count} test pictures with the true outline and the errors of each encoder's probe.",
        "The first test pictures, not the best ones. White: the true outline. Yellow: predicted,"
        " but not there. Blue: there, but missed. Untinted inside the outline: found. First seed.",
    )
    return Section(f"predictions-{benchmark}", f"{title}: segmentation", [picture])
