"""What a data set holds, put into the cases of a probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unisurg.benchmarks import BenchmarkError, ClipCase, VideoCase
from unisurg.benchmarks.base import PictureCase
from unisurg.benchmarks.cholec80 import CHOLEC80
from unisurg.evaluation.extraction.cases import LONGEST_NAME, file_name, read_cases, spacing
from unisurg.settings import Settings, load

SETTINGS = load(Path(__file__).resolve().parent.parent / "params.yaml")


def cases_of(*found: Any, fit_every_s: int = 4) -> list[Any]:
    """The cases of a probe where a benchmark reads `found`."""
    benchmark = replace(CHOLEC80, reader=lambda root, split, findings: list(found))
    row = SETTINGS.benchmarks["cholec80"].model_copy(update={"root": Path("/")})
    features = SETTINGS.features.model_copy(update={"fit_every_s": fit_every_s})
    settings: Settings = SETTINGS.model_copy(
        update={"benchmarks": {"cholec80": row}, "features": features}
    )
    return read_cases(benchmark, settings)


def video(
    labels: list[int], split: Any = "train", every_s: float = 1.0, case: str = "v"
) -> VideoCase:
    return VideoCase(case, Path("v.mp4"), split, np.array(labels), 25.0, every_s)


def clip(name: str, group: str, split: Any = "train", label: int = 0) -> ClipCase:
    return ClipCase(name, Path(f"{name}.mp4"), split, label, None, None, group)


def test_a_test_video_is_seen_at_every_labelled_moment() -> None:
    (case,) = cases_of(video([0, -1, 2, 3, -1, 5], "test"))
    assert case.labels.tolist() == [0, 2, 3, 5]
    assert case.moments.tolist() == [0, 2, 3, 5]


def test_gaps_do_not_shift_the_grid_of_a_training_video() -> None:
    (case,) = cases_of(video([-1, -1, 2, 3, 4, 5, -1, 7, -1, 9, 10, 11, 12]))
    assert case.moments.tolist() == [4, 12]
    assert case.labels.tolist() == [4, 12]


@pytest.mark.parametrize(
    ("every_s", "stride", "spaced"), [(2.0, 2, 4.0), (0.5, 8, 4.0), (1.5, 3, 4.5), (9.0, 1, 9.0)]
)
def test_the_grid_is_in_seconds_whatever_the_rate_of_the_labels(
    every_s: float, stride: int, spaced: float
) -> None:
    cases = cases_of(video(list(range(20)), every_s=every_s))
    first = cases[0].labels[0]
    assert first in range(stride)
    assert cases[0].labels.tolist() == list(range(20))[first::stride]
    assert np.allclose(np.diff(cases[0].moments), spaced)
    assert spacing(cases, 4) == (spaced, every_s)


def test_videos_labelled_at_different_rates_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="a label every 2 s, others every 1 s"):
        spacing(cases_of(video([0] * 9), video([0] * 9, every_s=2.0)), 4)


def test_each_training_video_has_a_grid_of_its_own_and_together_they_meet_every_phase() -> None:
    found = [video(list(range(20)), case=f"video{number:02d}") for number in range(40)]
    starts = [case.moments[0] for case in cases_of(*found)]
    assert set(starts) == {0, 1, 2, 3}
    assert starts == [case.moments[0] for case in cases_of(*reversed(found))][::-1]


def test_a_video_with_a_single_labelled_moment_is_seen_there_wherever_it_lies() -> None:
    for place in range(8):
        labels = [-1] * 8
        labels[place] = 3
        assert cases_of(video(labels))[0].moments.tolist() == [place]


def test_a_video_without_a_moment_with_a_class_is_an_error_with_a_remedy() -> None:
    with pytest.raises(BenchmarkError, match=r"no moment with a class.*take it out"):
        cases_of(video([-1] * 9))


@pytest.mark.parametrize("shape", [(0,), (0, 100)])
def test_a_video_without_any_label_is_the_same_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(BenchmarkError, match=r"no moment with a class.*take it out"):
        cases_of(replace(video([]), labels=np.zeros(shape, np.int64)))


def test_pictures_of_one_sequence_are_cases_that_are_drawn_together() -> None:
    def picture(name: str, group: str = "") -> PictureCase:
        return PictureCase(name, Path(f"{name}.png"), Path("m.png"), "test", (4, 4), group)

    cases = cases_of(picture("a", "sequence 1"), picture("b", "sequence 1"), picture("c"))
    assert [case.group for case in cases] == ["sequence 1", "sequence 1", "c"]


def test_videos_of_one_patient_are_drawn_together_and_a_group_of_clips_is_itself() -> None:
    cases = cases_of(replace(video([0, 1]), group="patient"), clip("a", "g"), clip("b", "g"))
    assert [(case.case, case.group) for case in cases] == [("v", "patient"), ("g", "g")]


def test_clips_of_a_group_are_one_case() -> None:
    one, other = cases_of(clip("a", "g", label=1), clip("b", "h"), clip("c", "g", label=2))
    assert (one.case, other.case) == ("g", "h")
    assert one.labels.tolist() == [1, 2]
    assert [source.video.name for source in one.sources] == ["a.mp4", "c.mp4"]
    assert len(one) == 2
    assert spacing([one, other], 4) == (0, 0)


def test_a_group_that_a_leaky_split_tears_apart_has_a_name_in_each_part() -> None:
    cases = cases_of(clip("a", "g"), clip("b", "g", "test"), clip("c", "h", "test"))
    assert [(case.case, case.split) for case in cases] == [
        ("g-train", "train"),
        ("g-test", "test"),
        ("h", "test"),
    ]


@pytest.mark.parametrize("name", ["video01", "-dQw4w9WgXcQ", "_a b (1)", "手术 1", "a.b"])
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert file_name(name) == name


ODD = ["a/b", "a%2Fb", "../x", "..", ".hidden", "%2Ehidden", "a:b", "a*?", "x\0", "a\nb"]
LONG = ["x" * 300, "x" * 299 + "y", "手" * 100, "手" * 101]


@pytest.mark.parametrize("name", [*ODD, *LONG])
def test_any_name_becomes_one_that_a_file_can_have(name: str, tmp_path: Path) -> None:
    safe = file_name(name)
    assert len(safe.encode()) <= LONGEST_NAME
    (tmp_path / f"{safe}.npy").write_bytes(b"")
    assert [path.name for path in tmp_path.iterdir()] == [f"{safe}.npy"]
    assert not safe.startswith(".")


def test_different_names_stay_different() -> None:
    names = [*ODD, *LONG, "video01", "Video01"]
    assert len({file_name(name) for name in names}) == len(names)
