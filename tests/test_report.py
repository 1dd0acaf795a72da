"""The report: one file that needs nothing beside it, honest about what it has and what it lacks."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from report_inputs import (
    ROWS,
    estimate,
    predictions_of,
    write_all,
    write_identity,
)

from unisurg import settings as settings_module
from unisurg.attempts import ATTEMPTS
from unisurg.evaluation.reported import Estimate, Fewer, ReportedError, Results
from unisurg.report import build, figures, palette
from unisurg.report.confusion import confusion_figure, count
from unisurg.report.contact import Tile, beside, contact_figure
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.effect import Effect
from unisurg.report.efficiency import curve_of
from unisurg.report.filling import prose
from unisurg.report.inputs import InputError, read, read_predictions
from unisurg.report.overlays import dice
from unisurg.report.page import finding, tiles, verdict
from unisurg.report.ribbons import ribbon_figure
from unisurg.report.timeline import dress_time_axis, on_time_line
from unisurg.report.wording import MEANINGS, head_title, interval
from unisurg.settings import Settings


class Page(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def small() -> Settings:
    """The settings of the repository with as few pictures as there can be."""
    few = ["report.ribbons=2", "report.overlays=2", "report.pictures=1"]
    return only(
        settings_module.load(Path(__file__).parent.parent / "params.yaml", few),
        [row.name for row in ROWS],
    )


def only(settings: Settings, names: list[str]) -> Settings:
    """The settings with the blocks of those benchmarks alone."""
    return settings.model_copy(update={"benchmarks": {n: settings.benchmarks[n] for n in names}})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def text(repository: Path, small: Settings) -> str:
    return build(repository, small, repository / "reports/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_loads_nothing_from_anywhere(text: str, page: Page) -> None:
    addresses = [a[n] for _, a in page.elements for n in ("src", "href", "srcset") if n in a]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert "url(" not in text
    assert "@import" not in text


def test_text_is_escaped_and_what_stands_in_backticks_is_code() -> None:
    assert prose("a < b, `dvc repro`") == "a &lt; b, <code>dvc repro</code>"


def test_links_on_the_page_lead_to_sections_that_are_there(page: Page) -> None:
    anchors = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    ids = {f"#{attributes['id']}" for tag, attributes in page.elements if tag == "section"}
    assert anchors == ids
    assert len(ids) == 11 + len(ROWS)


def test_every_picture_says_in_words_what_it_shows(page: Page) -> None:
    alts = [attributes["alt"] for tag, attributes in page.elements if tag == "img"]
    # effects, fewer labels, fine-tuning, mask, curves; funnel, two sheets, pairs, weights; ribbons
    # and confusion, ratings and gestures, or one of the others.
    assert len(alts) == 10 + sum(2 if row.task in ("phase", "skill") else 1 for row in ROWS)
    assert all(len(alt) > 40 for alt in alts)


def test_the_headline_counts_on_how_many_benchmarks_pretraining_tells(page: Page) -> None:
    assert "On 9 of 19 benchmarks the probe reaches more" in page.text
    assert "on 5 the two are not told apart; on 5 it reaches less" in page.text
    assert page.text.index("9 of 19 more than random weights") < page.text.index("Results")


def test_each_benchmark_has_a_sentence_with_its_difference_interval_and_seeds(page: Page) -> None:
    assert "(+17.0 [+12.5, +21.5] points, ahead in 3 of 3 seeds)" in page.text
    assert "not told apart from the same probe on random weights (+1.0 [−3.5, +5.5]" in page.text


def test_every_benchmark_is_in_the_overview_with_the_published_number_and_has_a_fold(
    page: Page,
) -> None:
    for row in ROWS:
        title = row.title.partition(",")[0]
        assert f"Embedded {title}, split “theatre”" in page.text
        assert f"Embedded {title}: every metric, head and encoder" in page.text
    assert "Accuracy 91.0, F1 84.2, Jaccard 78.0" in page.text


def test_kinds_of_heads_stand_side_by_side_and_smoothing_says_that_it_is_offline(
    page: Page,
) -> None:
    rows = [f"{head_title(kind)} {mean}.0 [" for kind, mean in
            (("attentive", 61), ("linear", 55), ("knn", 52), ("temporal", 67))]  # fmt: skip
    assert all(row in page.text for row in rows)
    smoothed = "attentive, scores averaged over 15 s before and after: OFFLINE"
    assert f"{smoothed} 64.0 [" in page.text
    assert "frames-untrained attentive, one clip at a time 50.0 [45.0, 55.0] +11.0" in page.text


def test_fewer_labels_and_fine_tuning_have_sections_with_their_numbers(page: Page) -> None:
    assert "Embedded Cholec80 25 % 3 50.0 [44.0, 56.0] 38.0 [31.0, 45.0] +12.0" in page.text
    assert "f1_macro_over_clips frozen 50.0" in page.text
    assert "f1_macro_over_clips fine-tuned 66.0" in page.text


def test_every_main_metric_is_explained_in_a_sentence_below_the_overview(page: Page) -> None:
    mains = {row.main for row in ROWS}
    assert mains == set(MEANINGS)
    for main in mains:
        assert f"{main} {MEANINGS[main]}" in page.text
    assert page.text.index(MEANINGS["ap_ivt_videowise"]) < page.text.index("Protocol dense")


def test_what_a_rating_of_all_trials_alike_gets_stands_with_the_metric_and_with_the_picture(
    page: Page,
) -> None:
    said = "Giving every test trial the median of their ratings gets 75.0 %."
    assert f"{MEANINGS['closeness_grs_over_trials']} {said}" in page.text
    assert f"First seed. {said}" in page.text


def test_triplets_are_told_by_their_parts_and_with_the_videos_of_cholec80(page: Page) -> None:
    assert "Embedded CholecT50: triplets over time" in page.text
    heads = "instruments, verbs, targets and which go together"
    assert f"part {heads} {heads}, random weights instrument 31.0 [" in page.text
    assert "Embedded CholecT50, split “theatre” (Cholec80 trains on 2 of its 10" in page.text
    assert (
        "OVERLAP: 2 of 10 test videos are training videos of Cholec80 (VID06, VID10)" in page.text
    )
    assert page.text.count("OVERLAP") == 1


def test_depth_and_skill_have_sections_with_their_protocols_and_units(page: Page) -> None:
    assert "Embedded C3VD: depth" in page.text
    assert "each frame of a sequence is shown with the 3 before it." in page.text
    assert "rmse_mm_unscaled (lower is better) 0.40 [0.35, 0.45] 0.21" in page.text
    assert "Embedded JIGSAWS: ratings of trials" in page.text
    assert "Gestures over time" in page.text
    assert "Each test trial from start to end: the true gestures above" in page.text
    assert "spearman_over_trials 0.83 [0.78, 0.88] 0.79" in page.text


def test_protocol_and_window_are_named(page: Page) -> None:
    assert "Protocol dense ; causal windows of 16 frames at 1 per second." in page.text
    assert not any(a.get("class") == "loud" for _, a in page.elements)


def test_what_is_not_final_or_not_causal_is_shouted_with_its_lookahead(
    repository: Path, small: Settings, tmp_path: Path
) -> None:
    facts = json.loads((repository / "metrics/cholec80.json").read_text())
    facts |= {"protocol": "fast", "window": "centred", "lookahead_s": 8.0}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/cholec80.json").write_text(json.dumps(facts))
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    assert [a for _, a in page.elements if a.get("class") == "loud"]
    for said in ("FAST: an approximation", "CENTRED: offline", "LOOKAHEAD", "8 s after"):
        assert said in page.text


def test_results_that_lack_a_field_are_an_error_that_names_file_field_and_remedy(
    repository: Path, small: Settings, tmp_path: Path
) -> None:
    facts = json.loads((repository / "metrics/cholec80.json").read_text())
    del facts["pretrained"]["accuracy_per_video"]["low"]
    (tmp_path / "metrics").mkdir()
    path = tmp_path / "metrics/cholec80.json"
    path.write_text(json.dumps(facts))
    with pytest.raises(
        ReportedError, match=r"cholec80.json: pretrained.accuracy_per_video.low.*-s probe@cholec80"
    ):
        read(tmp_path, small)
    path.write_text("{")
    with pytest.raises(ReportedError, match="not valid JSON"):
        read(tmp_path, small)
    path.write_text(json.dumps(facts | {"main": "f1", "pretrained": {}}))
    with pytest.raises(ReportedError, match="no value of the main metric f1"):
        read(tmp_path, small)


def test_predictions_that_do_not_fit_their_truth_are_an_error(tmp_path: Path) -> None:
    path = predictions_of(tmp_path, "cholec80")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a readable"):
        read_predictions(path)
    whole = {"task": "phase", "classes": ["a"], "truth/v1": np.zeros(3), "pretrained/v1": [0, 0]}
    np.savez(path, **whole)
    with pytest.raises(InputError, match=r"pretrained/v1 has shape \(2,\).*probe@cholec80"):
        read_predictions(path)
    np.savez(path, **{name: whole[name] for name in ("task", "classes", "truth/v1")})
    with pytest.raises(InputError, match="no array 'pretrained/v1'"):
        read_predictions(path)


def test_what_every_seed_chose_stands_with_its_validation_score(page: Page) -> None:
    assert "What was chosen on validation cases" in page.text
    assert "pretrained 2 change 0.001 0.05 0.43125" in page.text


def test_embedded_results_are_said_not_to_compare_with_published_ones(page: Page) -> None:
    assert "Embedded Cholec80" in page.text
    assert "cannot be compared" in page.text
    assert "UniSurg/SurgMotion" in page.text


def test_results_on_data_that_is_not_the_theatres_are_not_called_embedded(
    repository: Path, small: Settings
) -> None:
    real = small.benchmarks["cholec80"].model_copy(update={"root": Path("/elsewhere/cholec80")})
    elsewhere = small.model_copy(update={"benchmarks": small.benchmarks | {"cholec80": real}})
    assert read(repository, small).embedded == {row.name for row in ROWS}
    assert read(repository, elsewhere).embedded == {row.name for row in ROWS} - {"cholec80"}


def test_the_corpus_section_counts_recordings_and_not_their_clips(page: Page) -> None:
    assert "40 recordings came in from 4 sources. 38 were read" in page.text
    assert "Of 36 something is kept: 54.0 minutes, in 36 clips of 3,240 frames" in page.text
    assert "files that are no recordings: 1 .csv." in page.text
    assert "on 36 unlabelled recordings of surgery (54.0 minutes)" in page.text


def test_a_broken_rule_is_shown_first_with_what_was_found(
    repository: Path, small: Settings, tmp_path: Path
) -> None:
    facts = json.loads((repository / "artifacts/validation/validation.json").read_text())
    facts["rules"][1] |= {"success": False, "observed": "3 of 36 rows"}
    (tmp_path / "artifacts/validation").mkdir(parents=True)
    (tmp_path / "artifacts/validation/validation.json").write_text(json.dumps(facts))
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    assert "2 rules were checked before pretraining; 1 broken." in page.text
    assert page.text.index("3 of 36 rows") < page.text.index("✓ holds")


def test_the_page_tells_commit_runs_input_hashes_and_every_parameter(page: Page) -> None:
    for said in ("8c1f0f3e0a", "5ee33e55e1b443f5904272c47c2cfe9a", "probe@kvasir",
                 "0f343b0931126a20f133d67c2b018a3b.dir", "affinity_weight: 0.1"):  # fmt: skip
        assert said in page.text


def test_uncommitted_changes_are_admitted(tmp_path: Path, small: Settings) -> None:
    write_identity(tmp_path, "pretrain")
    path = tmp_path / "artifacts/runs/pretrain.run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dirty": True}))
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    assert "with uncommitted changes in pretrain" in page.text


def test_equal_inputs_give_equal_bytes(repository: Path, small: Settings) -> None:
    few = only(small, ["cholec80", "polypdiag", "kvasir"])
    first, again = (
        build(repository, few, repository / f"reports/{i}.html").read_bytes() for i in (1, 2)
    )
    assert first == again


def test_a_failure_is_told_without_the_time_at_which_it_began(
    small: Settings, tmp_path: Path
) -> None:
    few, pages = only(small, ["cholec80"]), []
    note = tmp_path / ATTEMPTS / "probe-cholec80.json"
    note.parent.mkdir(parents=True)
    for began in ("2026-01-01T00:00:00+00:00", "2026-02-02T00:00:00+00:00"):
        note.write_text(json.dumps({"stage": "probe@cholec80", "began": began, "error": "no room"}))
        pages.append(build(tmp_path, few, tmp_path / "page.html").read_text())
    assert "FAILED: probe@cholec80. no room. The other results stand." in pages[0]
    assert pages[0] == pages[1]


def test_without_any_input_every_section_says_what_is_missing_and_which_stage_writes_it(
    tmp_path: Path, small: Settings
) -> None:
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    stages = [f"probe@{row.name}" for row in ROWS]
    for stage in (*stages, "finetune@polypdiag", "pretrain_long", "corpus", "validate"):
        assert f"dvc repro {stage}" in page.text.replace("  ", " ")
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert f"tested on 0 of {len(ROWS)} benchmarks" in page.text


def test_a_probe_without_a_random_encoder_is_reported_without_a_comparison(
    repository: Path, small: Settings, tmp_path: Path
) -> None:
    facts = json.loads((repository / "metrics/cholec80.json").read_text())
    alone = {key: value for key, value in facts.items() if key not in ("random", "difference")}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/cholec80.json").write_text(json.dumps(alone))
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    assert "there is no random encoder to compare with" in page.text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.01, 0.2, "more than"), (-0.2, -0.01, "less than"), (-0.1, 0.1, "not told apart from")],
)
def test_the_finding_says_no_more_than_the_interval_does(
    low: float, high: float, said: str
) -> None:
    assert said in finding(an_effect("B", low, high))


def test_a_seed_without_a_number_counts_neither_as_ahead_nor_as_a_seed(
    repository: Path, small: Settings, tmp_path: Path
) -> None:
    facts = json.loads((repository / "metrics/cholec80.json").read_text())
    for encoder in ("pretrained", "difference"):
        facts[encoder][facts["main"]]["seeds"][0] = None
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/cholec80.json").write_text(json.dumps(facts))
    few = only(small, ["cholec80"])
    page = Page(build(tmp_path, few, tmp_path / "page.html").read_text())
    assert "ahead in 2 of 2 seeds" in page.text


def an_effect(title: str, low: float, high: float) -> Effect:
    ours = Estimate(mean=0.6, low=0.5, high=0.7, seeds=(0.6, 0.6))
    gain = Estimate(mean=(low + high) / 2, low=low, high=high, seeds=(low, high))
    return Effect("Workflow", title, "f1", ours, ours, gain)


def test_the_verdict_and_its_tiles_count_every_benchmark_once() -> None:
    effects = [an_effect("A", 0.01, 0.2), an_effect("B", -0.1, 0.1), an_effect("C", 0.1, 0.3)]
    assert verdict(effects).startswith("On 2 of 3 benchmarks")
    assert [(tile["value"], tile["detail"]) for tile in tiles(effects)] == [
        ("2", "A, C"),
        ("1", "B"),
    ]
    assert verdict([]) == ""


def test_numbers_are_written_with_their_interval_and_a_true_minus() -> None:
    found = Estimate(mean=-0.012, low=-0.03, high=0.004, seeds=())
    assert interval(found, signed=True) == "−1.2 [−3.0, +0.4]"
    assert interval(None) == "–"


def test_confusion_counts_are_exact() -> None:
    truths = [np.array([0, 0, 1]), np.array([2])]
    predictions = [np.array([0, 1, 1]), np.array([0])]
    np.testing.assert_array_equal(count(truths, predictions, 3), [[1, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_what_has_no_label_is_in_no_confusion() -> None:
    np.testing.assert_array_equal(
        count([np.array([-1, 1])], [np.array([0, 0])], 2), [[0, 0], [1, 0]]
    )


def test_a_confusion_matrix_shows_only_classes_that_occur_or_are_predicted() -> None:
    counts = np.zeros((52, 52), int)
    counts[3, 3], counts[3, 40] = 4, 1
    names = [f"class {i}" for i in range(52)]
    figure = confusion_figure({"Pretrained": counts}, names, "class", "clips")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "class 3",
        "class 40",
    ]


def test_a_ribbon_puts_labels_at_their_moments_and_leaves_gaps_empty() -> None:
    line, start, step = on_time_line(np.array([0, 0, 1, 1]), np.array([2.0, 4.0, 8.0, 10.0]))
    np.testing.assert_array_equal(line, [0, 0, -1, 1, 1])
    assert (start, step) == (2.0, 2.0)


@pytest.mark.parametrize("seconds", [3.0, 6.5, 61.0, 3600.0])
def test_marks_of_time_are_whole_seconds_and_each_stands_once(seconds: float) -> None:
    axes = Figure().subplots()
    axes.set_xlim(0, seconds)
    dress_time_axis(axes)
    marks = [axes.xaxis.get_major_formatter()(place) for place in axes.get_xticks()]
    assert len(set(marks)) == len(marks) >= 3


def test_the_legend_of_ribbons_names_only_classes_that_occur() -> None:
    cases = {"v": {"truth": np.array([1, 1, -1]), "pretrained": np.array([1, 3, 3])}}
    figure = ribbon_figure(cases, ["a", "b", "c", "d"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "d"]
    assert "50 % of the labelled moments right" in figure.axes[0].get_title(loc="right")


def test_dice_of_a_picture_is_the_tasks() -> None:
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    found = np.zeros((4, 4), bool)
    found[1:3] = True
    assert dice(truth, found) == pytest.approx(0.5)
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1.0


def test_figures_come_by_name_for_the_runs_of_the_stages(repository: Path, small: Settings) -> None:
    found = set(figures.of_everything(repository, small))
    tasks = {row.name: row.task for row in ROWS}
    drawn = {
        "phase": ("ribbons", "confusion"), "action": ("confusion",), "triplet": ("timelines",),
        "skill": ("ratings", "gestures"), "segmentation": ("overlays",), "depth": ("depths",),
    }  # fmt: skip
    assert found == {
        "pretraining/curves", "pretrain/masks_0", "pretrain_long/masks_0", "results/effects",
        "results/label_efficiency", "finetune/learning",
        *(f"{name}/{figure}" for name, task in tasks.items() for figure in drawn[task]),
    }  # fmt: skip
    assert set(figures.of_finetune(repository / "artifacts/finetune/polypdiag")) == {"learning"}
    assert figures.of_finetune(repository / "nowhere") == {}


def test_a_figure_is_the_same_whatever_style_is_set_outside() -> None:
    labels, names = np.repeat(np.arange(7), 5), [f"phase {i}" for i in range(7)]
    cases = {"video01": {"truth": labels, "pretrained": labels[::-1]}}
    plain = as_vector(ribbon_figure(cases, names))
    with mpl.rc_context({"font.size": 31, "svg.hashsalt": None}):
        assert as_vector(ribbon_figure(cases, names)) == plain


def test_two_frames_side_by_side_are_whole_and_apart() -> None:
    left, right = np.full((40, 30, 3), 7, np.uint8), np.full((50, 20, 3), 9, np.uint8)
    both = beside(left, right)
    assert both.shape == (50, 54, 3)
    assert (both[:40, :30] == 7).all()
    assert (both[:, 34:] == 9).all()
    assert (both[:, 30:34] == 255).all()
    assert as_photo(contact_figure([Tile(both, ("a", "b"))])).startswith("data:image/webp;base64,")


def test_fifty_two_classes_have_as_many_colours_and_neighbours_are_far_apart() -> None:
    colours = np.array([to_rgb(palette.category(i)) for i in range(52)])
    assert len(np.unique(colours, axis=0)) == 52
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 0.3


def test_a_curve_of_label_efficiency_ends_with_all_training_cases() -> None:
    row = {"pretrained": estimate(0.5, 0.1), "cases": 3}
    facts = [Fewer(fraction=1.0, **row), Fewer(fraction=0.1, **row)]
    found = Results.model_construct(label_efficiency=tuple(facts))
    assert [point.fraction for point in curve_of(found)] == [0.1, 1.0]


def test_the_result_comes_first_and_how_it_was_made_last(page: Page) -> None:
    anchors = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert (anchors[0], anchors[-1]) == ("results", "making")
