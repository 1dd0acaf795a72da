"""What the report shows of curation: made on recordings of every fate, and safe to look at."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from corpus_scans import film, pan
from curating import SOURCE, Here
from deid_onnx import red_is_inside

from unisurg.corpus import manifest
from unisurg.corpus.curate import curate
from unisurg.corpus.facts import Reason
from unisurg.corpus.intervals import Interval, State
from unisurg.corpus.leakage import HeldOutOf
from unisurg.corpus.refusals import CurationError
from unisurg.corpus.samples import picture
from unisurg.corpus.samples.choose import evenly, spread, thinned
from unisurg.corpus.samples.folder import ACROSS_PX, MOST, SAMPLES, read_picture, read_tables
from unisurg.corpus.samples.picture import pixelated
from unisurg.corpus.samples.take import Scanned
from unisurg.corpus.scan.kept import throughput_of
from unisurg.report import build_curation
from unisurg.report.amounts import HOURS, MINUTES, clock, counted, unit_for
from unisurg.report.blocks import Table
from unisurg.report.curated import Curated, read_curated
from unisurg.report.sections import curation, weights
from unisurg.report.states import REASONS, STATES
from unisurg.settings import Settings
from unisurg.stages import curate as verb
from unisurg.video.decode import open_clip

FPS = 5
BODY, ROOM = (60, -25, -35), (-50, 0, 50)
MARK = (0.0, 0.0, 0.3, 0.25)


def shot(seed: int, n_seconds: int, tint: Sequence[int] = BODY) -> list[np.ndarray]:
    """Footage inside the body, which is red, or of the room, which is not."""
    greys = [frame[..., :1].astype(int) for frame in pan(seed, n_seconds * 25, every=25 // FPS)]
    return [np.clip(grey + np.array(tint), 0, 255).astype(np.uint8) for grey in greys]


def record(path: Path, frames: Sequence[np.ndarray], crf: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film(path, frames, rate=Fraction(FPS), crf=crf)


def plant(raw: Path) -> None:
    """Recordings of every fate below a folder."""
    first = shot(1, 40)
    record(raw / "colon" / "a.mp4", first)
    record(raw / "colon" / "b.mp4", shot(2, 14) + shot(3, 8, ROOM) + shot(4, 12))
    record(raw / "colon" / "c.mp4", shot(5, 12) + [np.zeros((192, 320, 3), np.uint8)] * (5 * FPS))
    record(raw / "liver" / "copy.mp4", [frame[:, ::-1] for frame in first], crf=30)
    record(raw / "liver" / "still.mp4", shot(6, 10) + shot(7, 1)[:1] * (16 * FPS))
    record(raw / "liver" / "tested.mp4", shot(8, 30))
    record(raw / "marked" / "framed.mp4", shot(9, 20))
    record(raw / "covered" / "secret.mp4", shot(10, 20))
    (raw / "colon" / "torn.mp4").write_bytes(b"not a film")
    (raw / "marked" / "empty.mp4").write_bytes(b"")
    rows = {
        "colon": SOURCE, "liver": SOURCE | {"specialty": "liver"},
        "marked": SOURCE | {"overlays": [list(MARK)]},
        "covered": SOURCE | {"overlays": [[0.0, 0.0, 0.9, 0.9]]},  # more than may be painted
    }  # fmt: skip
    (raw / "sources.yaml").write_text(yaml.safe_dump({"sources": rows}))
    (raw / "overlaps.yaml").write_text("datasets: {liver: {title: Liver}}")


def held_out(dataset: str, video: str) -> tuple[str, ...]:
    return ("cholec80/video41",) if (dataset, video) == ("liver", "tested") else ()


@dataclass(frozen=True)
class Made:
    """The corpus of the planted recordings, and how to make it again."""

    settings: Settings
    top: Path
    corpus: Path

    def curate(self, corpus: Path) -> Path:
        benchmarks = HeldOutOf(held_out, expected={"cholec80": {"video41"}, "autolaparo": set()})
        curate(self.settings, self.top / "raw", corpus, self.top / "scratch", benchmarks)
        return corpus

    @property
    def read(self) -> Curated:
        found = read_curated(self.corpus, self.balance, self.throughput)
        assert found is not None
        return found

    @property
    def throughput(self) -> Path:
        return throughput_of(self.top / "scratch")

    @property
    def balance(self) -> Path:
        return self.top / "none"

    def page(self, output: Path) -> str:
        none = self.top / "none.json"
        return build_curation(self.corpus, self.balance, none, self.throughput, output).read_text()

    def pictures(self, state: State) -> list[np.ndarray]:
        rows = read_tables(self.corpus)[0]
        return [
            read_picture(self.corpus, file) for file in rows.loc[rows["state"] == state, "file"]
        ]


def curated_by(settings: Settings, top: Path) -> Made:
    plant(top / "raw")
    (top / "indices").mkdir()
    update = {
        "curate": {"short_side_px": 192, "max_quarantined": 1.0, "timeout_s": 60.0},
        "deid": {
            "detector": red_is_inside(top / "detector"),
            "text": settings.deid.text.model_copy(update={"sides_px": (352,)}),
        },
        "leaks": {"indices": top / "indices"},
    }
    changed = {n: getattr(settings, n).model_copy(update=u) for n, u in update.items()}
    made = Made(settings.model_copy(update=changed), top, top / "corpus")
    made.curate(made.corpus)
    return made


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unisurg.corpus.curate.runner_of", lambda **kind: Here())
        yield


@pytest.fixture(scope="module")
def made(settings: Settings, here: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return curated_by(settings, tmp_path_factory.mktemp("curated"))


# ------------------------------------------------------------------ what may be seen


def test_of_a_recording_that_was_refused_there_is_no_picture_at_all(made: Made) -> None:
    refused = made.read.recordings.query("deid_state == 'refused'")
    assert len(refused) == 1
    shown, pairs = read_tables(made.corpus)
    sides = {*pairs["a_recording"], *pairs["b_recording"]}
    assert not set(refused["recording"]) & (set(shown["recording"]) | sides)
    assert not list(made.corpus.rglob(f"*{refused['video_id'].iloc[0]}*"))
    files = {str(path.relative_to(made.corpus / SAMPLES)) for path in made.corpus.rglob("*.jpg")}
    assert files == {*shown["file"], *pairs["a_file"], *pairs["b_file"]}


def test_what_was_filmed_outside_the_body_leaves_as_a_few_squares(made: Made) -> None:
    pictures = made.pictures(State.OOB)
    assert len(pictures) >= 12
    assert {max(picture.shape[:2]) for picture in pictures} == {ACROSS_PX}
    blue = [picture for picture in pictures if picture[..., 2].mean() > picture[..., 0].mean()]
    assert len(blue) >= 6, "the room is among them"


def test_a_page_of_text_leaves_as_a_few_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is cut out and not painted, so it would be read in the picture."""
    card = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    monkeypatch.setattr(
        picture, "frames_at", lambda clip, fps, numbers: ((n, card) for n in numbers)
    )
    page = Interval(0.0, 2.0, State.NONSURGICAL, "a page of text", "clean")
    row = {"n_frames": 4, "clip_fps": 1.0, "duration_s": 4.0}
    spans = (page, Interval(2.0, 4.0, State.BLUR, "", ""))
    scanned = Scanned(Path(), {"v": row}, {"v": spans}, {})
    sizes = {number: max(shown.shape[:2]) for number, shown in scanned.pictures("v", range(4))}
    assert sizes == {0: ACROSS_PX, 1: ACROSS_PX, 2: 160, 3: 160}


def test_squares_are_means_of_what_they_cover() -> None:
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, ::2] = 200
    assert pixelated(frame, ()).shape == (8, 16, 3)
    assert (pixelated(frame, ()) == 100).all()


def test_a_frame_that_lies_in_two_intervals_counts_as_refused() -> None:
    spans = (Interval(0.0, 2.5, State.KEEP, "", ""), Interval(2.5, 5.0, State.OOB, "", ""))
    row = {"n_frames": 5, "clip_fps": 1.0, "duration_s": 5.0}
    scanned = Scanned(Path(), {"v": row}, {"v": spans}, {})
    states = [scanned.at("v", number).state for number in range(5)]
    assert states == [State.KEEP, State.KEEP, State.REFUSED, State.OOB, State.OOB]


def test_a_sources_marks_are_black_in_every_picture_of_it(made: Made) -> None:
    shown, _ = read_tables(made.corpus)
    files = shown.loc[shown["source"] == "marked", "file"]
    assert len(files) == 20
    for file in files:
        picture = read_picture(made.corpus, file)
        height, width = picture.shape[:2]
        assert picture[: int(0.25 * height) - 2, : int(0.3 * width) - 2].max() <= 24
        assert picture[height // 2 :].mean() > 40


# ------------------------------------------------------------------ which moments


def test_every_reason_that_may_be_seen_has_its_pictures_and_no_more_than_so_many(
    made: Made,
) -> None:
    shown, _ = read_tables(made.corpus)
    states = set(made.read.intervals["state"]) - {State.REFUSED, State.UNDECODABLE}
    assert {State.OOB, State.DUPLICATE, State.LEAK, State.KEEP} < states
    assert set(shown["state"]) == states
    kept = shown[shown["state"] == State.KEEP]
    assert kept.groupby("source").size().max() == MOST
    assert shown[shown["state"] != State.KEEP].groupby("state").size().max() == MOST


def test_a_picture_of_what_is_kept_is_the_frame_of_the_clip_at_its_time(made: Made) -> None:
    shown, _ = read_tables(made.corpus)
    pieces = manifest.read_manifest(made.corpus)
    for row in shown[shown["state"] == State.KEEP][::7].itertuples():
        own = pieces[pieces["recording"] == row.recording]
        [piece] = own[(own["start_s"] <= row.at_s) & (row.at_s < own["end_s"])].itertuples()
        with open_clip(made.corpus / piece.clip) as clip:
            [frame] = clip.read([round((row.at_s - piece.start_s) * piece.fps)])
        picture = read_picture(made.corpus, row.file)
        assert np.abs(cv2.resize(frame, picture.shape[1::-1]).astype(int) - picture).mean() < 8


def test_both_sides_of_a_pair_show_the_same(made: Made) -> None:
    _, pairs = read_tables(made.corpus)
    [pair] = pairs.to_dict("records")
    assert {pair["a_source"], pair["b_source"]} == {"colon", "liver"}
    assert pair["mirrored"]
    left, right = (read_picture(made.corpus, pair[f"{side}_file"]).astype(int) for side in "ab")
    assert np.abs(left[:, ::-1] - right).mean() < 12 < np.abs(left - right).mean()


def test_moments_are_spread_over_videos_and_over_time_in_whatever_order_they_come() -> None:
    frames = {"b": [range(4, 6)], "a": [range(100)], "c": [range(10), range(20, 30)]}
    chosen = spread(frames, 8)
    assert chosen == spread(dict(reversed(frames.items())), 8)
    assert chosen == [
        *(("a", number) for number in (16, 50, 83)),
        *(("b", number) for number in (4, 5)),
        *(("c", number) for number in (3, 20, 26)),
    ]
    assert spread({f"{number:02d}": [range(9)] for number in range(30)}, 24) == [
        (f"{number:02d}", 4) for number in range(24)
    ]
    assert spread({"a": [range(0)]}, 3) == []
    assert evenly(3, 9) == [0, 1, 2]
    assert thinned("abcdefghij", 2) == ["c", "h"]


def test_the_same_recordings_give_the_same_samples_and_the_speed_of_their_one_decode(
    made: Made, tmp_path: Path
) -> None:
    speed = made.throughput.read_bytes()
    again = made.curate(tmp_path / "again")
    files = sorted(path for path in (made.corpus / SAMPLES).rglob("*") if path.is_file())
    for path in files:
        assert (again / path.relative_to(made.corpus)).read_bytes() == path.read_bytes()
    assert len(files) == len([p for p in (again / SAMPLES).rglob("*") if p.is_file()])
    assert made.throughput.read_bytes() == speed
    [row] = json.loads(speed)["decoded"]
    assert (row["codec"], row["height_px"], row["videos"], row["seconds"]) == ("h264", 192, 8, 227)
    assert 0.5 < row["cpu_s"] < 200


# ------------------------------------------------------------------ the page


@pytest.fixture(scope="module")
def page(made: Made) -> str:
    return made.page(made.top / "report.html")


def test_the_page_says_that_nothing_is_lost_and_shows_the_sum(page: str) -> None:
    assert (
        "Nothing is lost: 10 recordings = 5 kept in whole or in part + 2 of which no second is left"
        " + 1 refused as a whole + 2 of no use: unreadable, too short, or the same bytes as"
        " another. 227.0 seconds in all states = 227.0 seconds of all recordings that were read."
    ) in page


def test_seconds_or_recordings_that_are_missing_are_shouted(made: Made) -> None:
    whole = made.read
    for broken in (
        replace(whole, intervals=whole.intervals[1:]),
        replace(whole, quarantine=whole.quarantine[:-1]),
    ):
        [said] = [b for b in curation.section(broken).blocks if getattr(b, "kind", "") == "loud"]
        assert said.text.startswith("SOMETHING IS LOST OR INVENTED")


def test_rows_of_a_source_count_its_recordings_and_sum(made: Made) -> None:
    [sources] = [
        block
        for block in curation.section(made.read).blocks
        if getattr(block, "head", ("",))[0] == "source"
    ]
    rows = {row[0]: row[1:] for row in sources.rows}
    assert rows["colon"][:5] == ["4", "3", "0", "0", "1"]
    assert rows["liver"][:5] == ["3", "1", "2", "0", "0"]
    assert rows["covered"][:5] == ["1", "0", "0", "1", "0"]
    counts = [row[:5] for name, row in rows.items() if name != "all sources"]
    assert rows["all sources"][:5] == [
        str(sum(map(int, column))) for column in zip(*counts, strict=True)
    ]


def test_what_is_left_after_every_state_is_what_is_kept(made: Made) -> None:
    [states] = [
        block
        for block in curation.section(made.read).blocks
        if getattr(block, "head", ("", ""))[1:2] == ["meaning"] and block.head[0] == ""
    ]
    assert states.rows[0][0] == "came in"
    assert states.rows[-1][0] == "kept"
    assert states.rows[-1][3] == states.rows[-1][5] == states.rows[-2][5]


def test_a_benchmark_that_was_not_checked_is_said_to_be_so_and_a_hit_names_its_case(
    page: str,
) -> None:
    assert re.search(r'class="strong">\s*<td>autolaparo</td><td>not checked</td>', page)
    assert "does NOT mean that there is none" in page
    assert "<td>cholec80/video41</td>" in page
    assert "by name" in page


def test_draws_stand_beside_the_time_that_is_kept_and_what_is_not_told_is_a_dash(
    made: Made,
) -> None:
    told = pd.DataFrame(
        {"specialty": ["liver", "urology"], "source": ["liver", "colon"], "clips": [1.0, 4.5],
         "share": [0.5, 0.25], "passes": [3328.0, 221.9]}
    )  # fmt: skip
    shown = replace(made.read, drawn={"stage 1": told})
    [table] = [block for block in weights.section(shown).blocks if isinstance(block, Table)]
    assert table.rows == [
        ["liver", "liver", "0.2", "9.5 %", "50.0 %", "3,328.0"],
        ["urology", "colon", "1.2", "71.4 %", "25.0 %", "221.9"],
        ["urology", "marked", "0.3", "19.0 %", "–", "–"],
    ]


def test_no_name_of_a_file_is_on_the_page_or_among_the_samples(made: Made, page: str) -> None:
    names = {path.stem for path in (made.top / "raw").rglob("*.mp4") if len(path.stem) > 1}
    assert names == {"copy", "still", "tested", "framed", "secret", "torn", "empty"}
    told = page + "".join(p.read_text() for p in (made.corpus / SAMPLES).glob("*.csv"))
    for name in names:
        assert f"{name}.mp4" not in told
        assert f"/{name}" not in told


def test_the_page_needs_nothing_beside_it_and_shows_every_sheet(page: str) -> None:
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<script" not in page
    assert page.count("<figure>") == 1 + 3 + 4 + 1  # funnel, kept sources, other states, pairs


def test_curate_leaves_a_page_also_where_it_ends_in_an_error(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*args: object) -> None:
        raise CurationError("too much was refused")

    output = tmp_path / "corpus"
    shutil.copytree(made.corpus, output, ignore=shutil.ignore_patterns(SAMPLES, "clips"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "curate", too_much)
    tracking = made.settings.tracking.model_copy(update={"enabled": False})
    untracked = made.settings.model_copy(update={"tracking": tracking})
    with pytest.raises(CurationError, match="too much"):
        verb.run(untracked, made.top / "raw", output)
    assert "Nothing is lost: 10 recordings" in (output / "report.html").read_text()
    with pytest.raises(CurationError, match="too much"):
        verb.run(untracked, made.top / "raw", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_every_state_and_every_reason_has_words() -> None:
    assert set(STATES) == set(State)
    assert set(REASONS) == set(Reason)
    assert len({told.colour for told in STATES.values()}) == len(State)


def test_lengths_are_told_in_a_unit_that_suits_them() -> None:
    assert unit_for(9 * 3600) is MINUTES
    assert unit_for(3658 * 3600) is HOURS
    assert HOURS.of(3658 * 3600) == "3,658.0"
    assert clock(3727.9) == "1:02:07"
    assert (counted(1, "clip"), counted(2000, "clip")) == ("1 clip", "2,000 clips")
