"""Whose word counts: a folder's name alone does not vouch that a recording is de-identified."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from corpus_scans import film, pan
from curating import Here
from raw_names import named

from unisurg.cli import main
from unisurg.corpus import manifest, tables
from unisurg.corpus.curate import EVIDENCE, curate
from unisurg.corpus.deid.decide import Evidence, Progress, State, Step, decide
from unisurg.corpus.known import known_sources
from unisurg.corpus.leakage import COVERAGE, HeldOutOf
from unisurg.corpus.sources import SourcesError, load
from unisurg.settings import Settings

ROW = """
    title: Ours
    specialty: cholecystectomy
    region: gallbladder
    licence: null
    access: private
    videos: null
    hours: null
    deid_by_provider: the data steward
    reference: the data steward
    checked: 2026-11-26
"""
RECORDINGS = {
    "cholect50/videos/VID07.mp4": True,
    "cholect50/videos/vid8.mp4": True,  # as a data set's names are read everywhere
    "cholect50/our film.mp4": False,
    "jigsaws/Suturing_B001_capture1.mp4": True,
    "jigsaws/tuesday.mp4": False,
    "ours/our film too.mp4": True,
}


@pytest.fixture(scope="module")
def corpus(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("vouching")
    for seed, name in enumerate(RECORDINGS):
        path = top / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        film(path, pan(seed, 60, every=15), Fraction(1))
    (top / "raw" / "sources.yaml").write_text(f"sources:\n  ours:{ROW}")
    (top / "indices").mkdir()
    small = {"short_side_px": 64, "max_quarantined": 1.0}
    changed = settings.model_copy(
        update={
            "curate": settings.curate.model_copy(update=small),
            "leaks": settings.leaks.model_copy(update={"indices": top / "indices"}),
        }
    )
    nothing = HeldOutOf(held_out=lambda dataset, video: (), expected={"avos": ["1"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unisurg.corpus.curate.runner_of", lambda **kind: Here())
        curate(changed, top / "raw", top / "corpus", top / "scratch", nothing)
    return top / "corpus"


def states(corpus: Path) -> dict[str, str]:
    rows = tables.read(corpus / manifest.RECORDINGS, "recordings")
    told = named(corpus, rows)
    return dict(zip(told["raw"], told["deid_state"], strict=True))


def test_only_recordings_that_are_named_as_the_sources_are_pass_by_its_word(corpus: Path) -> None:
    assert states(corpus) == {
        name: "provider" if passes else "refused" for name, passes in RECORDINGS.items()
    }


def test_a_recording_that_is_named_otherwise_is_in_quarantine_with_a_remedy(corpus: Path) -> None:
    refused = named(corpus, manifest.read_quarantine(corpus)).set_index("raw")
    assert set(refused.index) == {name for name, passes in RECORDINGS.items() if not passes}
    for name in refused.index:
        said = refused.loc[name, "detail"]
        assert f"it is not named as recordings of {name.split('/')[0]} are" in said
        assert "a row in your sources.yaml" in said
        assert "our film" not in said


def test_what_the_leak_check_rests_on_lies_in_the_corpus(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    covered = pd.read_csv(corpus / COVERAGE)
    assert covered["state"].tolist() == ["not checked"]
    assert (corpus / COVERAGE).read_bytes() == (corpus / EVIDENCE / "leak" / COVERAGE).read_bytes()
    assert main(["leaks", "--corpus", str(corpus)]) == 0
    assert "0 of 1 benchmarks are checked by content" in capsys.readouterr().out
    [row, *_] = tables.read(corpus / manifest.RECORDINGS, "recordings").to_dict("records")
    for case in (row["recording"], row["video_id"]):
        assert main(["leaks", case, "--corpus", str(corpus)]) == 0
        assert f"{row['video_id']}: no hit" in capsys.readouterr().out


# ------------------------------------------------------------------ the verdict


def test_a_doubt_takes_the_providers_word_away_and_nothing_else() -> None:
    done, skipped = Step(Progress.DONE, 3, 3), Step(Progress.SKIPPED)
    assert decide(Evidence("CAMMA", skipped, skipped, skipped)).state is State.PROVIDER
    doubted = decide(Evidence("CAMMA", done, done, skipped, doubt="it is not named so"))
    assert doubted.state is State.REFUSED
    assert doubted.reason.endswith("it is not named so")
    assert doubted.remedy.startswith("restore the name")
    seen = decide(Evidence("CAMMA", done, done, done, doubt="it is not named so"))
    assert seen.state is State.DETECTOR


# ------------------------------------------------------------------ how recordings are named


def test_a_source_has_the_names_of_its_data_set_unless_its_row_says_others(tmp_path: Path) -> None:
    rows = known_sources(tmp_path)
    assert rows["cholect50"].is_named("VID07")
    assert rows["cholect50"].is_named("vid7")
    assert not rows["cholect50"].is_named("7")
    assert not rows["cholect50"].is_named("VID07 Mueller")
    assert rows["c3vd"].is_named("trans_t1_a")
    assert not rows["c3vd"].is_named("trans")
    assert rows["laparoscopy-a"].is_named("whatever it is called")
    own = f"sources:\n  ours:{ROW}    dataset: cholec80\n    names: ['case \\d+']\n"
    (tmp_path / "sources.yaml").write_text(own)
    [ours] = [row for name, row in known_sources(tmp_path).items() if name == "ours"]
    assert ours.is_named("case 12")
    assert not ours.is_named("video07")


def test_every_source_that_a_provider_vouches_for_knows_its_names_or_is_rendered(
    tmp_path: Path,
) -> None:
    vouched = [row for row in known_sources(tmp_path).values() if row.deid_by_provider]
    assert vouched
    assert all(row.names or row.rendered for row in vouched)


def test_a_name_that_is_no_expression_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(f"sources:\n  ours:{ROW}    names: ['case(']\n")
    with pytest.raises(SourcesError, match=r"row 'ours', field 'names': .*no regular expression"):
        load(extra=tmp_path / "ours.yaml")
