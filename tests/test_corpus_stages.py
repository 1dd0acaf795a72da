"""The whole path from recordings to a corpus: nothing is lost, nothing unclean comes through."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from corpus_scans import film, pan
from curating import SOURCE, Here
from deid_onnx import red_is_inside
from raw_names import found, named

from unisurg.cli import main
from unisurg.corpus import assemble as assembling
from unisurg.corpus import cut as cutting
from unisurg.corpus import deidentify as deidentifying
from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.balancing import REPETITION, balance
from unisurg.corpus.curate import EVIDENCE, curate
from unisurg.corpus.deid.strip import NotStripped, assert_stripped
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.expectations.validate import validate
from unisurg.corpus.intervals import Interval, State, whole
from unisurg.corpus.leak_index import index_of, write_index
from unisurg.corpus.leakage import COVERAGE, HeldOutOf, LeakageError, leak_folder, united
from unisurg.corpus.mapping import Processes
from unisurg.corpus.raw_names import RESTRICTED
from unisurg.corpus.refusals import CurationError
from unisurg.corpus.seconds import ConservationError, frames_within
from unisurg.settings import Settings
from unisurg.video.decode import open_clip

FPS = 5
CORNER = (0.0, 0.0, 0.25, 0.25)
NOBODY = HeldOutOf(held_out=lambda dataset, video: (), expected={"bench": ["case7"]})
KEPT = ["marked/framed.mp4", "plain/gap.mp4", "plain/gap.mp4", "plain/whole.mp4"]


@dataclass(frozen=True)
class Run:
    settings: Settings
    raw: Path
    output: Path
    scratch: Path

    def __call__(
        self,
        benchmarks: HeldOutOf = NOBODY,
        inspect: Callable[[Places], None] = lambda places: None,
    ) -> assembling.Summary:
        return curate(self.settings, self.raw, self.output, self.scratch, benchmarks, inspect)

    def broken(self, places: Places) -> set[str]:
        """Rules that what was written does not keep."""
        return {rule.column for rule in validate(places, self.settings).broken}

    def evidence(self, stage: str, table: str) -> pd.DataFrame:
        return tables.of(self.output / EVIDENCE / stage, table)

    @property
    def videos(self) -> pd.DataFrame:
        """The table of videos, by the recording's name."""
        told = tables.read(self.output / manifest.RECORDINGS, "recordings")
        return named(self.output, told).set_index("raw", drop=False)

    @property
    def manifest(self) -> pd.DataFrame:
        """The manifest by raw name, which it does not hold."""
        return named(self.output, manifest.read_manifest(self.output))

    @property
    def quarantine(self) -> pd.DataFrame:
        """The quarantine, likewise."""
        return named(self.output, manifest.read_quarantine(self.output))

    @property
    def found(self) -> list[str]:
        """Raw names of all recordings."""
        return found(self.output, manifest.read_inputs(self.output))

    def states(self, raw: str) -> list[tuple[str, float, float]]:
        rows = tables.of(self.output, "intervals")
        own = rows[rows["video_id"] == self.videos.loc[raw, "video_id"]]
        return [(r.state, r.start_s, r.end_s) for r in own.itertuples()]

    def frames(self, raw: str) -> list[np.ndarray]:
        """The frames of each clip of a recording."""
        table = self.manifest
        return [frames_of(self.output / clip) for clip in table.loc[table["raw"] == raw, "clip"]]


def frames_of(clip: Path) -> np.ndarray:
    with open_clip(clip) as reader:
        return reader.read(range(len(reader)))


def scene(seed: int, n_seconds: int) -> list[np.ndarray]:
    return pan(seed, n_seconds * 25, every=25 // FPS)


def black(n_seconds: int) -> list[np.ndarray]:
    return [np.zeros((192, 320, 3), np.uint8)] * (n_seconds * FPS)


def record(path: Path, frames: list[np.ndarray], crf: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return film(path, frames, rate=Fraction(FPS), crf=crf)


def say(raw: Path, **rows: dict[str, Any]) -> None:
    """Write the file of sources beside the recordings; `_` stands for - in their names."""
    found = {name.replace("_", "-"): {**SOURCE, **row} for name, row in rows.items()}
    (raw / "sources.yaml").write_text(yaml.safe_dump({"sources": found}))


def small(settings: Settings, top: Path, **deid: Any) -> Settings:
    (top / "indices").mkdir(exist_ok=True)
    update = {
        "curate": settings.curate.model_copy(
            update={"short_side_px": 128, "max_quarantined": 1.0, "timeout_s": 30.0}
        ),
        "deid": settings.deid.model_copy(update=deid),
        "leaks": settings.leaks.model_copy(update={"indices": top / "indices"}),
    }
    return settings.model_copy(update=update)


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unisurg.corpus.curate.runner_of", lambda **kind: Here())
        yield


@pytest.fixture(scope="module")
def done(settings: Settings, here: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Recordings of every fate, curated."""
    top = tmp_path_factory.mktemp("stages")
    raw = top / "raw"
    record(raw / "plain" / "whole.mp4", scene(1, 24))
    record(raw / "plain" / "copy.mp4", scene(1, 24), crf=34)
    record(raw / "plain" / "gap.mp4", scene(2, 16) + black(4) + scene(3, 12))
    record(raw / "plain" / "dark.mp4", black(8))
    record(raw / "marked" / "framed.mp4", scene(4, 12))
    record(raw / "nobodys" / "secret.mp4", scene(5, 12))
    (raw / "plain" / "torn.mp4").write_bytes(b"not a film")
    say(raw, plain={}, marked={"overlays": [list(CORNER)]}, nobodys={"deid_by_provider": None})
    (raw / "overlaps.yaml").write_text("datasets: {plain: {title: Plain}}")
    before = digests(raw)
    run = Run(small(settings, top), raw, top / "corpus", top / "scratch")
    run()
    assert digests(raw) == before, "curation changed its raw input"
    return run


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ------------------------------------------------------------------ conservation


def test_every_recording_ends_in_the_manifest_in_quarantine_or_in_intervals(done: Run) -> None:
    refused = done.quarantine
    assert dict(zip(refused["raw"], refused["reason"], strict=True)) == {
        "nobodys/secret.mp4": "not_deidentified",
        "plain/torn.mp4": "unreadable",
    }
    assert done.manifest["raw"].tolist() == KEPT
    recordings = set(done.found)
    assert recordings == set(done.videos.index) | {"plain/torn.mp4"}
    gone = recordings - set(KEPT) - set(refused["raw"])
    assert {raw: [state for state, *_ in done.states(raw)] for raw in gone} == {
        "plain/copy.mp4": ["duplicate"],
        "plain/dark.mp4": ["black"],
    }


@pytest.mark.parametrize("stage", ["clean", "dedup", "leak", "corpus"])
def test_per_video_the_seconds_of_all_states_are_those_of_the_video(done: Run, stage: str) -> None:
    folder = done.output if stage == "corpus" else done.output / EVIDENCE / stage
    rows = tables.of(folder, "intervals")
    told = (rows["end_s"] - rows["start_s"]).groupby(rows["video_id"]).sum()
    lasts = done.videos.set_index("video_id")["duration_s"]
    pd.testing.assert_series_equal(told, lasts.sort_index(), check_names=False)


def test_seconds_that_are_lost_or_invented_are_never_written(tmp_path: Path) -> None:
    videos = pd.DataFrame({"video_id": ["a"], "duration_s": [9.0]})
    seconds.write(tmp_path, {"a": whole(9.0)}, videos)
    for wrong in ({"a": whole(8.0)}, {}, {"a": whole(9.0), "b": whole(1.0)}):
        with pytest.raises(ConservationError, match=r"^[ab]: "):
            seconds.write(tmp_path, wrong, videos)
    assert seconds.read(tmp_path, videos) == {"a": whole(9.0)}


def test_what_was_curated_obeys_the_rules_of_the_corpus(done: Run, tmp_path: Path) -> None:
    run = Run(done.settings, done.raw, tmp_path / "corpus", done.scratch)
    found: list[set[str]] = []
    run(inspect=lambda places: found.append(run.broken(places)))
    assert found == [set()]


def test_where_no_recording_can_be_read_the_quarantine_is_written_and_said_to_be_all(
    settings: Settings, here: None, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "torn.mp4").write_bytes(b"not a film")
    output = tmp_path / "corpus"
    run = Run(small(settings, tmp_path), tmp_path / "raw", output, tmp_path / "scratch")
    with pytest.raises(CurationError, match="nothing is kept"):
        run()
    assert run.quarantine["raw"].tolist() == ["torn.mp4"]
    assert manifest.read_manifest(output).empty


# ------------------------------------------------------------------ clips


def test_a_video_that_is_kept_whole_has_one_row_and_is_not_encoded_again(done: Run) -> None:
    [row] = done.manifest.query("raw == 'plain/whole.mp4'").to_dict("records")
    assert row["clip_id"] == f"{row['video_id']}-000"
    assert (row["start_s"], row["end_s"], row["n_frames"]) == (0.0, 24.0, 24)
    kept = {path.read_bytes() for path in (done.scratch / "scan" / "clips").glob("*.mp4")}
    assert (done.output / row["clip"]).read_bytes() in kept


def test_a_clip_holds_exactly_the_frames_of_its_piece(done: Run) -> None:
    assert done.states("plain/gap.mp4") == [
        ("keep", 0.0, 16.0),
        ("black", 16.0, 20.0),
        ("keep", 20.0, 32.0),
    ]
    pieces = done.frames("plain/gap.mp4")
    scenes = [scene(2, 16)[::FPS], scene(3, 12)[::FPS]]
    assert [len(piece) for piece in pieces] == [16, 12]
    for piece, shown in zip(pieces, scenes, strict=True):
        for k, frame in enumerate(piece):
            off = [np.abs(shrunk(other).astype(int) - frame).mean() for other in shown]
            assert int(np.argmin(off)) == k


def shrunk(picture: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(picture, (214, 128), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("interval", "frames"),
    [
        ((0.0, 10.5), range(10)),  # the last frame's time goes to the video's end
        ((0.0, 4.0), range(4)),
        ((4.0, 8.0), range(4, 8)),
        ((3.2, 6.9), range(4, 6)),  # frames whose time lies whole in it, alone
        ((4.1, 4.9), range(5, 4)),
        ((0.1 * 3 * 10, 7.0), range(3, 7)),  # 3.0000000000000004 is 3
    ],
)
def test_frames_of_an_interval_are_those_whose_time_lies_whole_in_it(
    interval: tuple[float, float], frames: range
) -> None:
    piece = Interval(*interval, State.KEEP, "", "")
    assert list(frames_within(piece, 10, 1.0, 10.5)) == list(frames)


def test_frames_of_half_a_second_are_counted_by_their_own_rate() -> None:
    piece = Interval(2.0, 6.0, State.KEEP, "", "")
    assert list(frames_within(piece, 20, 2.0, 10.0)) == [4, 5, 6, 7, 8, 9, 10, 11]
    assert list(frames_within(piece, 5, 0.5, 10.0)) == [1, 2]


def test_each_shot_of_an_edited_film_is_a_clip_of_its_own_unless_cuts_may_be_crossed(
    settings: Settings, here: None, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    scenes = [pan(1, 8 * FPS), pan(2, 7 * FPS)]  # slowly: a fast pan hides a cut
    record(raw / "plain" / "edited.mp4", [frame for shown in scenes for frame in shown])
    say(raw, plain={})
    ordinary = small(settings, tmp_path)
    run = Run(ordinary, raw, tmp_path / "corpus", tmp_path / "scratch")
    run()
    assert run.states("plain/edited.mp4") == [("keep", 0.0, 8.0), ("keep", 8.0, 15.0)]
    pieces = run.frames("plain/edited.mp4")
    for piece, shown in zip(pieces, scenes, strict=True):
        expected = np.stack([shrunk(frame) for frame in shown[::FPS]])
        assert np.abs(expected.astype(int) - piece).mean() < 12
    across = ordinary.clean.model_copy(update={"across_cuts": True})
    other = Run(
        ordinary.model_copy(update={"clean": across}), raw, tmp_path / "across", run.scratch
    )
    other()
    assert other.states("plain/edited.mp4") == [("keep", 0.0, 15.0)]
    [whole] = other.frames("plain/edited.mp4")
    assert len(whole) == sum(map(len, pieces)) == 15


def test_clips_are_stripped_and_those_of_earlier_runs_are_gone(done: Run) -> None:
    table = manifest.read_manifest(done.output)
    stale = done.output / "clips" / "0123456789abcdef-000.mp4"
    stale.write_bytes(b"")
    done()
    there = sorted(path.name for path in (done.output / "clips").iterdir())
    assert there == sorted(Path(clip).name for clip in table["clip"])
    for clip in table["clip"]:
        assert_stripped(done.output / clip)


def test_a_video_whose_clip_cannot_be_written_clean_is_quarantined_whole(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(done.settings, done.raw, tmp_path / "corpus", tmp_path / "scratch")
    shutil.copytree(done.scratch / "scan", run.scratch / "scan", symlinks=True)

    def fail(path: Path) -> None:
        if sizes[path.stat().st_size] == "plain/gap.mp4":
            raise NotStripped("a tag")

    table = done.manifest
    sizes = {(done.output / row.clip).stat().st_size: row.raw for row in table.itertuples()}
    monkeypatch.setattr(cutting, "assert_stripped", fail)
    found: list[set[str]] = []
    run(inspect=lambda places: found.append(run.broken(places)))
    refused = run.quarantine.set_index("raw")
    assert refused.loc["plain/gap.mp4", "reason"] == "unwritable"
    assert refused.loc["plain/gap.mp4", "detail"] == "NotStripped: a tag"
    assert [state for state, *_ in run.states("plain/gap.mp4")] == ["refused", "black", "refused"]
    assert "plain/gap.mp4" not in set(run.manifest["raw"])
    assert found == [set()]


# ------------------------------------------------------------------ de-identification


def test_a_sources_rectangles_are_black_in_every_frame_and_nothing_else_is(done: Run) -> None:
    [frames] = done.frames("marked/framed.mp4")
    height, width = frames.shape[1:3]
    inside = frames[:, : int(height * 0.25) - 2, : int(width * 0.25) - 2]
    assert inside.max() <= 12
    assert frames[:, height // 2 :].min(axis=0).mean() > 30
    [row] = done.evidence("deid", "rectangles").to_dict("records")
    assert (row["x"], row["y"], row["w"], row["h"], row["kind"]) == (*CORNER, "catalogue")


def test_burned_in_text_is_found_and_black_in_the_clip_and_no_table_says_what_it_was(
    settings: Settings, here: None, tmp_path: Path
) -> None:
    import cv2

    def burned(frame: np.ndarray) -> np.ndarray:
        white = (255, 255, 255)
        return cv2.putText(frame.copy(), "PATIENT 20415", (20, 170), 0, 0.7, white, 2, cv2.LINE_AA)

    record(tmp_path / "raw" / "plain" / "a.mp4", [burned(frame) for frame in scene(7, 20)])
    say(tmp_path / "raw", plain={})
    output = tmp_path / "corpus"
    run = Run(small(settings, tmp_path), tmp_path / "raw", output, tmp_path / "scratch")
    run()
    rectangles = run.evidence("deid", "rectangles")
    assert rectangles["kind"].tolist() == ["personal"]
    [frames] = run.frames("plain/a.mp4")
    line = frames[:, round(156 * 128 / 192) : round(170 * 128 / 192), 14:120]
    assert line.max() <= 16
    told = [pd.read_parquet(path).to_string() for path in tmp_path.rglob("*.parquet")]
    told += [path.read_text() for kind in ("csv", "json") for path in tmp_path.rglob(f"*.{kind}")]
    assert len(told) > 15
    assert not any("20415" in text for text in told)


def test_without_provider_and_detector_a_video_is_refused_with_reason_and_remedy(
    done: Run,
) -> None:
    [row] = manifest.read_quarantine(done.output).query("stage == 'deidentify'").to_dict("records")
    assert "outside: skipped: not configured" in row["detail"]
    assert "configure an out-of-body detector" in row["detail"]
    assert done.states("nobodys/secret.mp4") == [("refused", 0.0, 12.0)]
    assert done.videos["deid_state"].value_counts().to_dict() == {"provider": 5, "refused": 1}


def test_too_many_refused_are_an_error_that_names_them_once_all_is_written(
    done: Run, tmp_path: Path
) -> None:
    strict = done.settings.curate.model_copy(update={"max_quarantined": 0.2})
    run = Run(
        done.settings.model_copy(update={"curate": strict}),
        done.raw,
        tmp_path / "corpus",
        done.scratch,
    )
    with pytest.raises(CurationError, match=r"2 of 7 recordings") as error:
        run()
    [secret] = done.quarantine.query("raw == 'nobodys/secret.mp4'")["recording"]
    assert f"{secret}: not_deidentified: " in str(error.value)
    assert digests(run.output) == digests(done.output)


def test_a_detectors_spans_are_cut_out_of_the_video(
    settings: Settings, here: None, tmp_path: Path
) -> None:
    red = [np.full((192, 320, 3), (200, 40, 40), np.uint8) + noise for noise in noises(12)]
    green = [np.full((192, 320, 3), (40, 160, 60), np.uint8) + noise for noise in noises(6)]
    record(tmp_path / "raw" / "nobodys" / "a.mp4", [f for f in red + green + red for _ in "12345"])
    say(tmp_path / "raw", nobodys={"deid_by_provider": None})
    detector = red_is_inside(tmp_path / "detector")
    run = Run(
        small(settings, tmp_path, detector=detector),
        tmp_path / "raw",
        tmp_path / "corpus",
        tmp_path / "scratch",
    )
    run()
    assert run.videos["deid_state"].tolist() == ["detector"]
    assert run.states("nobodys/a.mp4") == [
        ("keep", 0.0, 11.0),  # a second of margin on either side
        ("oob", 11.0, 19.0),
        ("keep", 19.0, 30.0),
    ]
    oob = run.evidence("deid", "oob")
    assert (oob["oob_p"] > 0.5).tolist() == [12 <= k < 18 for k in range(30)]
    assert all(
        frame[..., 0].mean() > 150 for piece in run.frames("nobodys/a.mp4") for frame in piece
    )


def noises(n: int) -> Iterator[np.ndarray]:
    """Detail that changes every second, so that no picture is blurred or stands still."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield np.kron(rng.integers(0, 40, (48, 80, 1)), np.ones((4, 4, 3))).astype(np.uint8)


def test_a_renderers_word_counts_for_what_was_rendered_alone(
    settings: Settings, here: None, tmp_path: Path
) -> None:
    record(tmp_path / "data" / "corpus" / "colonoscopy" / "case.mp4", scene(6, 8))
    run = Run(
        small(settings, tmp_path),
        tmp_path / "data" / "corpus",
        tmp_path / "corpus",
        tmp_path / "scratch",
    )
    with pytest.raises(CurationError, match="nothing is kept"):
        run()
    assert run.videos["deid_state"].tolist() == ["refused"]
    (tmp_path / "data" / "theatre.json").write_text("{}")
    run()
    assert run.videos["deid_state"].tolist() == ["provider"]
    assert run.videos["specialty_s"].tolist() == ["colonoscopy"]


# ------------------------------------------------------------------ duplicates and leaks


def test_of_a_copy_and_its_original_one_stays(done: Run) -> None:
    rows = done.evidence("dedup", "clusters").merge(done.videos.reset_index(drop=True))
    [canonical] = rows.query("size == 2 and canonical")["raw"]
    [copy] = rows.query("size == 2 and not canonical")["raw"]
    assert {canonical, copy} == {"plain/whole.mp4", "plain/copy.mp4"}
    assert done.states(canonical) == [("keep", 0.0, 24.0)]
    assert done.states(copy) == [("duplicate", 0.0, 24.0)]


def test_a_recording_that_a_benchmark_holds_out_by_name_goes_with_all_that_show_it(
    done: Run, tmp_path: Path
) -> None:
    run = Run(done.settings, done.raw, tmp_path / "corpus", done.scratch)
    held = {("plain", "copy"): ["bench/case7"]}
    run(HeldOutOf(lambda *recording: held.get(recording, []), {"bench": ["case7"]}))
    assert {state for state, *_ in run.states("plain/whole.mp4")} == {"leak"}
    assert {state for state, *_ in run.states("plain/copy.mp4")} == {"duplicate"}
    assert [state for state, *_ in run.states("plain/gap.mp4")] == ["keep", "black", "keep"]
    hits = run.evidence("leak", "leak_hits")
    assert set(hits["b_id"]) == {"bench/case7"}
    assert sorted(hits["rule"]) == ["copy", "identity"]


def test_a_copy_goes_where_its_named_original_was_refused(done: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(done.raw / "plain", raw / "plain")
    (raw / "nobodys").mkdir()
    (raw / "plain" / "copy.mp4").rename(raw / "nobodys" / "original.mp4")
    say(raw, plain={}, nobodys={"deid_by_provider": None})
    (raw / "overlaps.yaml").write_text("datasets: {nobodys: {title: Nobody's}}")
    run = Run(done.settings, raw, tmp_path / "corpus", done.scratch)
    held = {("nobodys", "original"): ["bench/case7"]}
    found: list[set[str]] = []

    def inspect(places: Places) -> None:
        found.append(run.broken(places))
        rows = tables.of(run.output, "intervals")
        tables.put(run.output, "intervals", rows.replace({"state": {"leak": "keep"}}))
        found.append(run.broken(places))
        tables.put(run.output, "intervals", rows)

    run(HeldOutOf(lambda *named: held.get(named, []), {"bench": ["case7"]}), inspect)
    assert {state for state, *_ in run.states("nobodys/original.mp4")} == {"refused"}
    assert {state for state, *_ in run.states("plain/whole.mp4")} == {"leak"}
    assert found[0] == set()
    assert "leaked" in found[1]


def test_of_equal_bytes_every_name_is_asked_for_leaks(done: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(done.raw, raw)
    shutil.copy(raw / "plain" / "gap.mp4", raw / "plain" / "zz.mp4")
    run = Run(done.settings, raw, tmp_path / "corpus", done.scratch)
    run(HeldOutOf(lambda _, video: ["bench/case7"] if video == "zz" else [], {}))
    assert {state for state, *_ in run.states("plain/gap.mp4")} == {"leak", "black"}


def test_what_may_be_held_out_counts_until_the_benchmark_was_checked() -> None:
    from unisurg.corpus.overlaps import load
    from unisurg.stages.leak import held_out_of_all

    benchmarks = held_out_of_all(load())
    assert "cholec80" in benchmarks.by_name(set())("m2cai16", "workflow_video_01")
    assert "cholec80" not in benchmarks.by_name({"cholec80"})("m2cai16", "workflow_video_01")
    assert list(benchmarks.by_name(set())("tum-lapchole", "x")) == ["m2cai16"]
    assert list(benchmarks.by_name(set())("ldpolypvideo", "x")) == ["polypdiag"]
    assert set(benchmarks.by_name(set())("hyper-kvasir", "x")) == {"polypdiag", "kvasir"}


def test_an_error_of_a_clip_names_the_finished_clip_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise NotStripped(f"{path}: a tag")

    clip = record(tmp_path / "abc.mp4", scene(1, 2))
    monkeypatch.setattr(cutting, "verify", lambda *_: None)
    monkeypatch.setattr(cutting, "assert_stripped", fail)
    pieces = cutting.Pieces(clip, 10, 5.0, 20, (), ((0, 10),), tmp_path / "scratch")
    with pytest.raises(NotStripped, match=r"^abc-000\.mp4: a tag$"):
        cutting.cut(pieces)


def test_a_recording_that_shows_a_held_out_case_goes_whole(done: Run, tmp_path: Path) -> None:
    shown = done.videos.loc["plain/gap.mp4", "video_id"]
    with_index = done.settings.leaks.model_copy(update={"indices": tmp_path / "indices"})
    frames = pd.concat(
        pd.read_parquet(part) for part in (done.scratch / "scan" / "frames").glob("*.parquet")
    )
    case = frames[(frames["video_id"] == shown) & (frames["k"] < 16)].assign(video_id="case1")
    write_index(index_of(case, "bench", {"case1": "test"}), tmp_path / "indices" / "bench.parquet")
    changed = done.settings.model_copy(update={"leaks": with_index})
    run = Run(changed, done.raw, tmp_path / "corpus", done.scratch)
    run(HeldOutOf(lambda dataset, video: (), {"bench": ["case1", "case2"]}))
    assert [state for state, *_ in run.states("plain/gap.mp4")] == ["leak", "black", "leak"]
    assert "plain/gap.mp4" not in set(run.manifest["raw"])
    [row] = pd.read_csv(run.output / EVIDENCE / "leak" / "coverage.csv").to_dict("records")
    assert (row["state"], row["missing"]) == ("partly checked", "bench/case2")


def test_videos_that_share_footage_are_of_one_procedure() -> None:
    videos = pd.DataFrame({"video_id": list("abcd"), "procedure_id": ["p/2", "p/1", "p/2", "q"]})
    clusters = pd.DataFrame({"video_id": list("abd"), "cluster": ["a", "a", "d"]})
    assert united(videos, clusters) == {"a": "p/1", "b": "p/1", "c": "p/1", "d": "q"}


def test_a_folder_of_indices_that_is_not_there_is_an_error_and_not_a_clean_bill(
    done: Run, tmp_path: Path
) -> None:
    with pytest.raises(LeakageError, match=r"nowhere: no such folder; make it"):
        leak_folder(
            tmp_path,
            tmp_path,
            tmp_path / "leak",
            tmp_path / "scratch",
            done.settings.duplicates,
            tmp_path / "nowhere",
            NOBODY,
            Processes(1),
        )


# ------------------------------------------------------------------ again, and in another order


def test_a_second_run_looks_at_nothing_again_and_writes_the_same_bytes(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(job: deidentifying.Job, original=deidentifying._examined) -> Any:
        looked.append(job.video_id)
        return original(job)

    def never(*_: Any) -> None:
        raise AssertionError("a clip was written again")

    monkeypatch.setattr(deidentifying, "_examined", look)
    monkeypatch.setattr(cutting, "_cut", never)
    run = Run(done.settings, done.raw, tmp_path / "corpus", done.scratch)
    run()
    assert looked == [done.videos.loc["nobodys/secret.mp4", "video_id"]], "but what was refused"
    assert digests(run.output) == digests(done.output)


def test_any_order_of_arrival_gives_the_same_tables_and_clips(done: Run, tmp_path: Path) -> None:
    run = Run(done.settings, tmp_path / "raw", tmp_path / "corpus", done.scratch)
    arriving = [["plain/copy.mp4", "nobodys/secret.mp4", "plain/gap.mp4"], ["plain/torn.mp4"]]
    for names in [*arriving, done.found]:
        for name in ["sources.yaml", "overlaps.yaml", *names]:
            (run.raw / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(done.raw / name, run.raw / name)
        run()
    assert digests(run.output) == digests(done.output)


def test_the_stages_one_by_one_and_in_processes_give_what_one_go_gives(
    done: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from unisurg.stages import SCRATCH, clean, corpus, dedup, deidentify, leak, scan

    monkeypatch.chdir(tmp_path)
    shutil.copytree(done.scratch, tmp_path / SCRATCH)
    quiet = done.settings.tracking.model_copy(update={"enabled": False})
    settings = done.settings.model_copy(update={"tracking": quiet})
    home = tmp_path / "artifacts"
    scan.run(settings, done.raw, home)
    assert (home / "scan" / "clips").stat().st_mode & 0o777 == 0o700
    deidentify.run(settings, done.raw, home)
    clean.run(settings, home)
    dedup.run(settings, home)
    leak.run(settings, done.raw, home)
    corpus.run(settings, home)
    beside = (EVIDENCE, RESTRICTED, COVERAGE)  # the stage asks all benchmarks, `done` asked none
    expected = {n: d for n, d in digests(done.output).items() if not n.startswith(beside)}
    found = digests(home / "corpus")
    assert found.pop(COVERAGE) == digests(home / "leak")[COVERAGE]
    assert found == expected
    assert main(["leaks", "cholec80", "--folder", str(home / "leak")]) == 0
    assert "cholec80: not checked, which is not clean" in capsys.readouterr().out


def test_repetition_is_told_for_every_data_set(done: Run, tmp_path: Path) -> None:
    balance(done.output, tmp_path, done.settings.pretrain, done.settings.pretrain_second)
    table = pd.read_csv(tmp_path / REPETITION).set_index("source")
    assert table["share"].to_dict() == pytest.approx({"marked": 0.5, "plain": 0.5})
    draws = done.settings.pretrain.steps * done.settings.pretrain.batch
    assert (table["passes"] * table["clips"]).tolist() == pytest.approx([draws / 2] * 2, rel=1e-4)
    assert table.loc["marked", "clips"] == 12 / done.settings.pretrain.frames


def test_what_was_scanned_is_left_nowhere_but_in_the_scratch_of_the_scan(done: Run) -> None:
    left = {path.name for path in done.scratch.iterdir() if path.is_dir()}
    assert left == {"scan", "deidentify", "cut", "dedup", "leak"}
    assert (done.scratch / "scan").stat().st_mode & 0o777 == 0o700


def test_a_benchmark_is_expected_with_the_cases_that_its_splits_name() -> None:
    from unisurg.corpus.overlaps import load
    from unisurg.stages.leak import held_out_of_all

    known = held_out_of_all(load())
    assert {f"video{n:02d}" for n in range(41, 81)} <= set(known.expected["cholec80"])
    assert known.expected["polypdiag"] == set(), "only the files of a copy tell"
    assert {one.benchmark for one in known.held_out("cholec80", "video42")} >= {"cholec80"}


def test_a_recording_of_a_benchmark_whose_name_nobody_knows_may_be_any_of_its_cases() -> None:
    from unisurg.corpus.overlaps import load
    from unisurg.stages.leak import held_out_of_all

    held_out = held_out_of_all(load()).held_out
    assert set(held_out("endoscapes", "")) == {"cholec80", "cholect50"}
    assert set(held_out("cholec80", "")) >= {"cholec80", "cholect50"}
    assert not held_out("our-hospital", "")


@pytest.mark.realdata
def test_real_operations_that_benchmarks_test_on_do_not_stay(
    settings: Settings, here: None, real_data: Path, tmp_path: Path
) -> None:
    from unisurg.corpus.overlaps import load
    from unisurg.stages.leak import held_out_of_all

    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("autolaparo-web", "cataractsam2-frames", "cholect50-val"):
        shutil.copytree(real_data / name, raw / name)  # a link out of the input is not followed
    say(raw, autolaparo_web={}, cholect50_val={"dataset": "cholect50"})
    ordinary = small(settings, tmp_path)
    run = Run(ordinary, raw, tmp_path / "corpus", tmp_path / "scratch")
    run(held_out_of_all(load()))
    assert {raw: [state for state, *_ in run.states(raw)] for raw in run.videos.index} == {
        "autolaparo-web/Up-1_2.mp4": ["keep"],
        "autolaparo-web/Zoomin_2.mp4": ["keep"],
        "cataractsam2-frames": ["refused"],
        "cholect50-val/videos/VID70": ["leak"],
        "cholect50-val/videos/VID74": ["leak"],
    }
