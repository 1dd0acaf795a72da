"""The report: one file that needs nothing beside it, honest about what it has and what it lacks."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from report_inputs import PHASES, moving, write_all, write_clip, write_identity

from unisurg import settings as settings_module
from unisurg.report import build, figures, palette
from unisurg.report.confusion import count
from unisurg.report.contact import contact_figure, frames_of
from unisurg.report.drawing import as_photo, as_vector
from unisurg.report.effect import Effect
from unisurg.report.inputs import read
from unisurg.report.overlays import dice
from unisurg.report.page import finding, prose
from unisurg.report.ribbons import ribbon_figure
from unisurg.report.wording import interval
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
    return settings_module.load(Path(__file__).parent.parent / "params.yaml", few)


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
    assert len(ids) == 8


def test_every_picture_says_in_words_what_it_shows(page: Page) -> None:
    alts = [attributes["alt"] for tag, attributes in page.elements if tag == "img"]
    assert len(alts) == 6
    assert all(len(alt) > 40 for alt in alts)


def test_the_headline_gives_the_difference_its_interval_and_every_seed(page: Page) -> None:
    assert "95 % interval [+12.5, +21.5]" in page.text
    assert "per seed: +15.8, +17.4, +17.8" in page.text
    assert "ahead in 3 of 3 seeds" in page.text


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
    assert read(repository, small).embedded == {"cholec80", "kvasir"}
    assert read(repository, elsewhere).embedded == {"kvasir"}


def test_the_corpus_section_counts_what_came_in_and_names_what_was_refused(page: Page) -> None:
    assert "38 recordings came in. 36 were kept" in page.text
    assert "laparoscopy-b/cut.mp4" in page.text


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


def test_equal_inputs_give_equal_bytes(repository: Path, small: Settings, text: str) -> None:
    again = build(repository, small, repository / "reports/again.html").read_text(encoding="utf-8")
    assert again == text


def test_without_any_input_every_section_says_what_is_missing_and_which_stage_writes_it(
    tmp_path: Path, small: Settings
) -> None:
    page = Page(build(tmp_path, small, tmp_path / "page.html").read_text())
    for stage in ("probe@cholec80", "probe@kvasir", "pretrain_long", "curate", "validate"):
        assert f"dvc repro {stage}" in page.text.replace("  ", " ")
    assert not [tag for tag, _ in page.elements if tag == "img"]


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
    ("low", "high", "verdict"),
    [(0.01, 0.2, "more than"), (-0.2, -0.01, "less than"), (-0.1, 0.1, "not told apart from")],
)
def test_the_finding_says_no_more_than_the_interval_does(
    low: float, high: float, verdict: str
) -> None:
    gain = {"mean": (low + high) / 2, "low": low, "high": high, "seeds": [low, high]}
    ours = {"mean": 0.6, "low": 0.5, "high": 0.7, "seeds": [0.6, 0.6]}
    assert verdict in finding(Effect("B", "f1", ours, ours, gain))


def test_numbers_are_written_with_their_interval_and_a_true_minus() -> None:
    estimate = {"mean": -0.012, "low": -0.03, "high": 0.004, "seeds": []}
    assert interval(estimate, signed=True) == "−1.2 [−3.0, +0.4]"
    assert interval(None) == "–"


def test_confusion_counts_are_exact() -> None:
    truths = [np.array([0, 0, 1]), np.array([2])]
    predictions = [np.array([0, 1, 1]), np.array([0])]
    np.testing.assert_array_equal(count(truths, predictions, 3), [[1, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_dice_of_a_picture_is_the_tasks() -> None:
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    found = np.zeros((4, 4), bool)
    found[1:3] = True
    assert dice(truth, found) == pytest.approx(0.5)
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1.0


def test_figures_come_by_name_for_the_runs_of_the_stages(repository: Path, small: Settings) -> None:
    assert set(figures.of_everything(repository, small)) == {
        "pretraining/curves", "pretrain/masks_0", "pretrain_long/masks_0",
        "cholec80/ribbons", "cholec80/confusion", "kvasir/overlays",
    }  # fmt: skip


def test_a_figure_is_the_same_whatever_style_is_set_outside() -> None:
    labels = np.repeat(np.arange(7), 5)
    cases = {"video01": {"truth": labels, "pretrained": labels[::-1]}}
    plain = as_vector(ribbon_figure(cases, PHASES))
    with mpl.rc_context({"font.size": 31, "svg.hashsalt": None}):
        assert as_vector(ribbon_figure(cases, PHASES)) == plain


def test_the_contact_sheet_shows_every_specialty_as_often_and_leaves_out_what_is_not_there(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    for name in ("a0", "a1", "b0"):
        write_clip(tmp_path / f"clips/{name}.mp4", moving(4, 64, rng))
    names = ["a0", "a1", "b0", "b1"]
    manifest = pd.DataFrame(
        {"video_id": names, "specialty": [n[0] for n in names], "n_frames": 4,
         "clip": [f"clips/{n}.mp4" for n in names]}
    )  # fmt: skip
    frames = frames_of(tmp_path, manifest)
    assert [specialty for specialty, _ in frames] == ["a", "a", "b"]
    assert all(frame.shape == (64, 64, 3) for _, frame in frames)
    assert as_photo(contact_figure(frames)).startswith("data:image/webp;base64,")


def test_the_seven_phases_have_seven_colours() -> None:
    assert len({palette.category(i) for i in range(7)}) == 7
    assert palette.category(7) == palette.category(0)


def test_the_result_comes_first_and_how_it_was_made_last(page: Page) -> None:
    anchors = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert (anchors[0], anchors[-1]) == ("results", "making")
