"""What benchmarks hold out does not stay in the corpus; what was not checked is not clean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hash_tables import SEARCH, VOTES, leaks, paste, recording
from moving_pictures import (
    Copying,
    Footage,
    cropped,
    frames_of,
    mirrored,
    one_after_another,
    table,
    x264,
)

from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.leak import (
    COVERAGE_COLUMNS,
    HIT_COLUMNS,
    coverage,
    explain,
    removed,
    told_coverage,
)
from unisurg.corpus.leak_index import index_of, no_index, read_indices, write_index
from unisurg.corpus.leakage import leak_rules
from unisurg.settings import Settings


def nobody(dataset: str, video: str) -> list[str]:
    return []


def videos_of(frames: pd.DataFrame, procedures: dict[str, str] | None = None) -> pd.DataFrame:
    names = sorted(frames["video_id"].unique())
    known = procedures or {}
    return pd.DataFrame(
        {
            "video_id": names,
            "dataset": "own",
            "video": names,
            "procedure_id": [known.get(name, f"p-{name}") for name in names],
        }
    )


# ------------------------------------------------------------------ planted leaks (goal G3)

LEAKS: dict[str, Copying] = {
    "re-encoded": x264(34),
    "cropped 10 %": cropped(0.10),
    "cropped 20 %": cropped(0.20),
    "mirrored": mirrored,
    "mirrored, cropped, re-encoded": one_after_another(mirrored, cropped(0.08), x264(30)),
}
CASE_S, SUB_CLIP_S, AROUND_S = 60, 30, 20


def benchmark(seeds: Sequence[int]) -> pd.DataFrame:
    cases = [frames_of(f"case{seed}", Footage(seed).clip(0, CASE_S, 4), 4) for seed in seeds]
    return index_of(table(cases), "bench", {f"case{seed}": "test" for seed in seeds})


def planted(seeds: Sequence[int]) -> tuple[list[pd.DataFrame], set[tuple[str, str]]]:
    """Half a minute of each case, from any instant, amid other footage; and who shows what."""
    films, truth = [], set()
    for seed in seeds:
        rng = np.random.default_rng([seed, 5])
        for number, (name, copying) in enumerate(LEAKS.items()):
            own = Footage(50_000 + 10 * seed + number)
            part = Footage(seed).clip(rng.uniform(0, CASE_S - SUB_CLIP_S), SUB_CLIP_S)
            film = np.concatenate([own.clip(0, AROUND_S), part, own.clip(90, AROUND_S)])
            films.append(frames_of(f"film{seed} {name}", copying(film)))
            truth.add((f"film{seed} {name}", f"bench/case{seed}"))
    return films, truth


def innocent(seeds: Sequence[int]) -> list[pd.DataFrame]:
    return [frames_of(f"innocent{seed}", Footage(seed).clip(0, CASE_S)) for seed in seeds]


def check_planted(cases: int, others: int) -> None:
    films, truth = planted(range(cases))
    corpus = table([*films, *innocent(range(90_000, 90_000 + others))])
    named = {f"innocent{90_000 + i}": [f"bench/case{i}"] for i in range(others // 2)}
    videos = videos_of(corpus)
    index = benchmark(range(cases))
    hits = leaks(corpus, videos, index, lambda _, video: named.get(video, []), SEARCH, VOTES)
    content, names = hits[hits["rule"] == "content"], hits[hits["rule"] == "identity"]
    found = set(zip(content["a_id"], content["b_id"], strict=True))
    print(f"{len(truth)} planted, {len(truth - found)} missed, {len(found - truth)} false")
    assert truth - found == set()
    assert found - truth == set()
    assert set(names["a_id"]) == set(named)
    assert removed(hits) == {f"p-{a}" for a, _ in truth} | {f"p-{a}" for a in named}


def test_planted_leaks_are_found_and_nothing_else() -> None:
    check_planted(cases=2, others=4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_goal_g3_on_more_than_a_hundred_leaks() -> None:
    check_planted(cases=24, others=60)


# ------------------------------------------------------------------ rules


@dataclass(frozen=True)
class Held:
    benchmark: str
    case: str
    part: str


def small_index(*names: str, seconds: int = 60) -> pd.DataFrame:
    cases = [recording(name, seconds, seed, fps=4) for seed, name in enumerate(names, 500)]
    return index_of(table(cases), "bench", dict.fromkeys(names, "test"))


def leaking(video_id: str, case: int, seconds: int = 40) -> pd.DataFrame:
    """A corpus video that shows what case number `case` of `small_index` shows."""
    source = recording("", 60, 500 + case, fps=4).iloc[::4].reset_index(drop=True)
    return paste(recording(video_id, 60, seed=1), 0, source, 0, seconds, flips=3)


def test_a_hit_tells_where_by_which_rule_and_in_which_part() -> None:
    corpus = leaking("film", case=1)
    hits = leaks(corpus, videos_of(corpus), small_index("x", "y"), nobody, SEARCH, VOTES)
    assert {name: str(kind) for name, kind in hits.dtypes.items()} == HIT_COLUMNS
    (hit,) = hits.to_dict("records")
    assert (hit["a_id"], hit["b_id"], hit["rule"]) == ("film", "bench/y", "content")
    assert (hit["benchmark"], hit["part"], hit["procedure_id"]) == ("bench", "test", "p-film")
    assert (hit["a_start_s"], hit["b_start_s"], hit["span_s"]) == (0, 0, 40)
    assert hit["votes"] == 40


def test_a_leak_takes_more_seconds_that_agree_than_a_duplicate(settings: Settings) -> None:
    rules = leak_rules(settings.duplicates, settings.leaks)
    asked = VoteRules(**dict(rules.votes))
    assert asked.min_votes == settings.leaks.min_votes > settings.duplicates.votes.min_votes
    assert rules.search == settings.duplicates.search
    index, corpus = small_index("x"), leaking("film", case=0, seconds=8)
    few = VoteRules(**dict(settings.duplicates.votes))
    assert len(leaks(corpus, videos_of(corpus), index, nobody, SEARCH, few)) == 1
    assert len(leaks(corpus, videos_of(corpus), index, nobody, SEARCH, asked)) == 0
    corpus = leaking("film", case=0, seconds=12)
    assert len(leaks(corpus, videos_of(corpus), index, nobody, SEARCH, asked)) == 1


def test_one_hit_removes_the_whole_procedure_and_no_other() -> None:
    corpus = table([leaking("cam1", 0), recording("cam2", 60, 7), recording("other", 60, 8)])
    videos = videos_of(corpus, {"cam1": "op1", "cam2": "op1", "other": "op2"})
    hits = leaks(corpus, videos, small_index("x"), nobody, SEARCH, VOTES)
    assert removed(hits) == {"op1"}


def test_identity_takes_names_and_objects_and_needs_no_footage() -> None:
    corpus = table([recording(name, 10, seed) for seed, name in enumerate("abc")])
    answers = {
        "a": ["cholec80/video41", "cholec80/video41"],
        "b": [Held("cholect50", "51", "test")],
    }
    hits = leaks(
        corpus,
        videos_of(corpus),
        no_index(),
        lambda dataset, video: answers.get(video, []) if dataset == "own" else [],
        SEARCH,
        VOTES,
    )
    rows = hits[["a_id", "b_id", "benchmark", "part", "rule"]].values.tolist()
    assert rows == [
        ["a", "cholec80/video41", "cholec80", "", "identity"],
        ["b", "cholect50/51", "cholect50", "test", "identity"],
    ]


def test_a_copy_of_a_recording_that_is_held_out_by_name_is_a_hit_of_its_own() -> None:
    original = recording("original", 60, 3)
    copy = paste(recording("copy", 60, seed=1), 0, original, 0, 40, flips=3)
    corpus = table([original, copy, recording("other", 60, 8)])

    def by_name(dataset: str, video: str) -> list[Held]:
        return [Held("bench", "x", "test")] if video == "original" else []

    hits = leaks(corpus, videos_of(corpus), no_index(), by_name, SEARCH, VOTES)
    assert hits[["a_id", "b_id", "rule", "part"]].values.tolist() == [
        ["copy", "bench/x", "copy", "test"],
        ["original", "bench/x", "identity", "test"],
    ]
    assert removed(hits) == {"p-copy", "p-original"}


def test_any_name_of_a_video_may_hold_it_out() -> None:
    corpus = recording("a", 10, 0)
    names = pd.concat([videos_of(corpus).assign(video=name) for name in ("x", "video41")])
    hits = leaks(
        corpus,
        names,
        no_index(),
        lambda _, video: ["bench/41"] if video == "video41" else [],
        SEARCH,
        VOTES,
    )
    assert hits["b_id"].tolist() == ["bench/41"]


def test_the_corpus_is_not_compared_with_itself_nor_the_benchmark() -> None:
    corpus = table([recording("a", 40, 1), recording("b", 40, 1)])
    cases = table([recording("x", 40, 2), recording("y", 40, 2)])
    index = index_of(cases, "bench", {"x": "val", "y": "test"})
    assert len(leaks(corpus, videos_of(corpus), index, nobody, SEARCH, VOTES)) == 0


def test_leaks_of_increments_are_those_of_the_whole() -> None:
    parts = [leaking("a", 0), leaking("b", 1), recording("c", 30, 9)]
    index = small_index("x", "y")

    def of(frames: pd.DataFrame) -> pd.DataFrame:
        return leaks(frames, videos_of(frames), index, nobody, SEARCH, VOTES)

    one_by_one = pd.concat([of(part) for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(of(table(parts)), one_by_one)


def test_a_video_without_a_row_or_procedure_or_with_two_rows_is_refused() -> None:
    corpus = table([recording("a", 5, 0), recording("b", 5, 1)])
    videos = videos_of(corpus)
    with pytest.raises(ValueError, match="b: has frames, but no row"):
        leaks(corpus, videos.iloc[:1], no_index(), nobody, SEARCH, VOTES)
    twice = pd.concat([videos, videos.iloc[:1].assign(procedure_id="p-other")])
    with pytest.raises(ValueError, match="a: of two procedures"):
        leaks(corpus, twice, no_index(), nobody, SEARCH, VOTES)
    with pytest.raises(ValueError, match="b: no procedure_id"):
        leaks(corpus, videos_of(corpus, {"b": ""}), no_index(), nobody, SEARCH, VOTES)


# ------------------------------------------------------------------ the index on record


def test_an_index_is_a_small_file_that_reads_back(tmp_path: Path) -> None:
    first = small_index("x", "y", seconds=600)
    second = first.assign(benchmark="more", video_id=first["video_id"].str.replace("bench", "more"))
    write_index(first, tmp_path / "bench.parquet")
    write_index(second, tmp_path / "more.parquet")
    assert (tmp_path / "bench.parquet").stat().st_size / len(first) < 50
    both = pd.concat([first, second], ignore_index=True)
    pd.testing.assert_frame_equal(read_indices(tmp_path), both)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.parquet", "more.parquet"]


def test_no_index_on_record_reads_as_the_empty_table(tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(read_indices(tmp_path), no_index())


def test_indices_that_disagree_or_lack_a_column_are_refused(tmp_path: Path) -> None:
    write_index(small_index("x"), tmp_path / "a.parquet")
    write_index(small_index("x"), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="two indices hold bench/x"):
        read_indices(tmp_path)
    write_index(small_index("y").drop(columns="part"), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet: no column part"):
        read_indices(tmp_path)


@pytest.mark.parametrize(
    "parts", [{"x": "test"}, {"x": "test", "y": "train"}, {"x": "val", "y": "val", "z": "val"}]
)
def test_an_index_holds_exactly_the_held_out_cases(parts: dict[str, str]) -> None:
    frames = table([recording("x", 5, 0), recording("y", 5, 1)])
    with pytest.raises(ValueError, match="every case needs frames, and val or test"):
        index_of(frames, "bench", parts)


# ------------------------------------------------------------------ what "clean" rests on


def test_only_a_benchmark_with_all_its_cases_on_record_is_checked() -> None:
    index = small_index("x", "y")
    expected = {"bench": ["x", "y"], "avos": ["1", "2"], "jigsaws": []}
    covered = coverage(expected, index, SEARCH, VOTES)
    assert {name: str(kind) for name, kind in covered.dtypes.items()} == COVERAGE_COLUMNS
    states = dict(zip(covered["benchmark"], covered["state"], strict=True))
    assert states == {"avos": "not checked", "bench": "checked", "jigsaws": "not checked"}
    (bench,) = covered[covered["benchmark"] == "bench"].to_dict("records")
    assert (bench["cases"], bench["seconds"], bench["frames_per_s"]) == (2, 120, 4.0)


def test_a_case_that_is_missing_or_too_short_to_be_found_is_named() -> None:
    index = pd.concat([small_index("x"), small_index("blink", seconds=3)])
    (row,) = coverage({"bench": ["x", "blink", "z"]}, index, SEARCH, VOTES).to_dict("records")
    assert row["state"] == "partly checked"
    assert (row["missing"], row["unsearchable"]) == ("bench/z", "bench/blink")


def test_where_the_cases_are_not_known_an_index_does_not_make_checked() -> None:
    (row,) = coverage({"bench": []}, small_index("x"), SEARCH, VOTES).to_dict("records")
    assert row["state"] == "partly checked"


def test_without_any_index_everything_was_not_checked() -> None:
    covered = coverage({"a": ["1"], "b": []}, no_index(), SEARCH, VOTES)
    assert set(covered["state"]) == {"not checked"}


def test_explain_tells_the_evidence_and_what_a_clean_answer_rests_on() -> None:
    corpus = table([leaking("film", 0), recording("other", 60, 9)])
    index = small_index("x")
    hits = leaks(corpus, videos_of(corpus), index, nobody, SEARCH, VOTES)
    covered = coverage({"bench": ["x"], "avos": ["1"]}, index, SEARCH, VOTES)
    said = explain("film", hits, covered)
    assert "film from 0.0 s shows bench/x (test) from 0.0 s for 40 s: 40 seconds agree" in said
    assert "3.0 of 64 bits differ; procedure p-film is removed" in said
    assert explain("bench/x", hits, covered).splitlines()[1] == said.splitlines()[1]
    silent = explain("other", hits, covered)
    assert "other: no hit" in silent
    assert "avos: not checked, which is not clean" in silent
    assert "bench: checked, 1 cases, 60 s at 4 frames a second" in silent


def test_names_that_tell_all_are_no_check_of_the_pictures() -> None:
    covered = coverage({"avos": ["1"], "bench": ["x"]}, no_index(), SEARCH, VOTES, named=["avos"])
    states = dict(zip(covered["benchmark"], covered["state"], strict=True))
    assert states == {"avos": "by name only", "bench": "not checked"}
    said = told_coverage(covered)
    assert "avos: by name only, pictures not checked" in said
    assert "`unisurg leaks index bench`" in said


def test_a_long_list_of_missing_cases_is_counted_in_words_and_whole_in_the_table() -> None:
    wanted = [f"case{number:02d}" for number in range(20)]
    covered = coverage({"bench": ["x", *wanted]}, small_index("x"), SEARCH, VOTES)
    assert len(covered["missing"][0].split()) == 20
    assert "missing: 20 (bench/case00, " in told_coverage(covered)
    assert "bench/case08" not in told_coverage(covered)


def test_explain_finds_the_hit_that_takes_a_video_along() -> None:
    corpus = table([leaking("cam1", 0), recording("cam2", 60, 7), recording("other", 60, 8)])
    procedures = {"cam1": "op1", "cam2": "op1", "other": "op2"}
    index = small_index("x")
    hits = leaks(corpus, videos_of(corpus, procedures), index, nobody, SEARCH, VOTES)
    covered = coverage({"bench": ["x"]}, index, SEARCH, VOTES)
    said = explain("cam2", hits, covered, procedures)
    assert "cam2: 1 hits" in said
    assert "it shows procedure op1, as the recording of the hit does" in said
    assert "cam1 from 0.0 s shows bench/x (test)" in said
    assert "other: no hit" in explain("other", hits, covered, procedures)
    assert "op1: 1 hits" in explain("op1", hits, covered, procedures)
