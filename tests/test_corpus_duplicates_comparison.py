"""Videos come, leave, come back and change; each pair is compared once, and the tables are those of
a full rebuild (goals G6, G7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from curating import Here
from hash_tables import SEARCH, VOTES, corpus, dup_pairs, pairs_between, recording
from killed import kill, points, steps_of

from unisurg.corpus import tables
from unisurg.corpus.duplicates import mapped
from unisurg.corpus.duplicates.comparison import ComparisonError, comparing
from unisurg.corpus.duplicates.search import SearchRules, prints
from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.mapping import Failed, Outcomes, Processes, Runner, runner_of


@dataclass
class Watched(Here):
    """Does the work here, and remembers which videos were held against how many others."""

    done: list[int] = field(default_factory=list)

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        for number, outcome in super().outcomes(function, items):
            bits = np.unpackbits(np.frombuffer(items[number].others, np.uint8))
            self.done.append(int(bits.sum()))
            yield number, outcome


def within(
    scratch: Path,
    frames: pd.DataFrame,
    runner: Runner,
    search: SearchRules = SEARCH,
    votes: VoteRules = VOTES,
) -> pd.DataFrame:
    with comparing(scratch, [prints(frames, search)], search, votes, runner) as comparison:
        return comparison.within()


def between(scratch: Path, left: pd.DataFrame, right: pd.DataFrame, runner: Runner) -> pd.DataFrame:
    spoken = [prints(left, SEARCH), prints(right, SEARCH)]
    with comparing(scratch, spoken, SEARCH, VOTES, runner) as comparison:
        return comparison.between(left["video_id"], right["video_id"])


def some(frames: pd.DataFrame, videos: Sequence[str]) -> pd.DataFrame:
    return frames[frames["video_id"].isin(videos)]


def bytes_of(folder: Path, pairs: pd.DataFrame) -> bytes:
    tables.put(folder, "dup_pairs", pairs)
    return (folder / "dup_pairs.parquet").read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_increments_of_any_size_in_any_order_give_the_tables_of_the_full_rebuild(
    seed: int, tmp_path: Path
) -> None:
    frames = corpus(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(frames["video_id"].unique())
    cuts = np.sort(rng.choice(np.arange(1, len(order)), 3, replace=False)).tolist()
    runner = Watched()
    for n in [*cuts, len(order)]:
        present = some(frames, order[:n]).sample(frac=1, random_state=seed)
        found = within(tmp_path / "scratch", present, runner)
        full = dup_pairs(some(frames, order[:n]), SEARCH, VOTES)
        assert bytes_of(tmp_path, found) == bytes_of(tmp_path, full)
    assert len(full) > 5
    assert sum(runner.done) == len(order) * (len(order) - 1) // 2, "each pair once"


def test_a_new_video_alone_is_held_against_all_others(tmp_path: Path) -> None:
    frames = corpus(0)
    names = sorted(frames["video_id"].unique())
    for new in (names[0], names[7], names[-1]):
        scratch, runner = tmp_path / new, Watched()
        within(scratch, frames[frames["video_id"] != new], Here())
        within(scratch, frames, runner)
        assert runner.done == [len(names) - 1]
        within(scratch, frames, runner)
        assert runner.done == [len(names) - 1], "then there is nothing to do"


def test_a_video_that_leaves_and_comes_back_costs_only_what_was_never_compared(
    tmp_path: Path,
) -> None:
    frames = corpus(1)
    names = frames["video_id"].unique().tolist()
    leaves, late = names[3], names[-2:]
    runner = Watched()
    steps = [
        (names[:-2], 66),  # 12 of them
        ([name for name in names[:-2] if name != leaves], 0),
        ([name for name in names if name != leaves], 11 + 11 + 1),
        (names, 2),
    ]
    for present, compared in steps:
        runner.done.clear()
        found = within(tmp_path, some(frames, present), runner)
        full = dup_pairs(some(frames, present), SEARCH, VOTES)
        pd.testing.assert_frame_equal(found, full, check_exact=True)
        assert sum(runner.done) == compared
    assert set(late) < set(names)


def test_a_video_of_which_other_frames_are_kept_is_compared_anew_and_it_alone(
    tmp_path: Path,
) -> None:
    frames, runner = corpus(2), Watched()
    within(tmp_path, frames, Here())
    changed = frames[(frames["video_id"] != "v03") | (frames["k"] >= 5)]
    found = within(tmp_path, changed, runner)
    assert runner.done == [frames["video_id"].nunique() - 1]
    pd.testing.assert_frame_equal(found, dup_pairs(changed, SEARCH, VOTES), check_exact=True)
    within(tmp_path, frames, runner)
    assert len(runner.done) == 1, "what it said before is still known"


@pytest.mark.parametrize(
    ("search", "votes", "known"),
    [
        (replace(SEARCH, max_bits=8), VOTES, False),
        (SEARCH, replace(VOTES, min_votes=9), False),
        (replace(SEARCH, block_frames=50), VOTES, True),
    ],
)
def test_what_was_found_by_other_rules_does_not_count_but_for_the_size_of_blocks(
    search: SearchRules, votes: VoteRules, known: bool, tmp_path: Path
) -> None:
    frames, runner = corpus(3, videos=6), Watched()
    within(tmp_path, frames, Here())
    found = within(tmp_path, frames, runner, search, votes)
    assert sum(runner.done) == (0 if known else 15)
    pd.testing.assert_frame_equal(found, dup_pairs(frames, search, votes), check_exact=True)


def test_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    frames, runner = corpus(4, videos=6), Watched()
    found = within(tmp_path, frames, Here())
    entries = sorted((tmp_path / "pairs").glob("*.npz"))
    entries[0].write_bytes(entries[0].read_bytes()[:-9])
    pd.testing.assert_frame_equal(within(tmp_path, frames, runner), found, check_exact=True)
    assert len(runner.done) == 1


def test_across_two_sets_whichever_grows_only_new_pairs_are_compared(tmp_path: Path) -> None:
    frames = corpus(5)
    names = frames["video_id"].unique().tolist()
    left, right = names[:8], names[8:]
    runner, before = Watched(), 0
    for lefts, rights in [(3, 2), (3, 6), (4, 6), (8, 4), (8, 6)]:
        one, other = some(frames, left[:lefts]), some(frames, right[:rights])
        found = between(tmp_path, one, other, runner)
        full = pairs_between(one, other, SEARCH, VOTES)
        pd.testing.assert_frame_equal(found, full, check_exact=True)
    assert len(full) > 1
    assert sum(runner.done) == 8 * 6 + before


def test_the_side_that_a_video_stands_on_counts(tmp_path: Path) -> None:
    frames = corpus(5)
    names = frames["video_id"].unique().tolist()
    one, other = some(frames, names[:7]), some(frames, names[7:])
    for left, right in [(one, other), (other, one)]:
        found = between(tmp_path, left, right, Here())
        assert len(found)
        full = pairs_between(left, right, SEARCH, VOTES)
        pd.testing.assert_frame_equal(found, full, check_exact=True)


@pytest.mark.parametrize(
    "kind",
    [
        "processes",
        pytest.param("dask", marks=pytest.mark.slow),
        pytest.param("ray", marks=pytest.mark.slow),
    ],
)
def test_any_runner_gives_the_same_pairs(kind: str, tmp_path: Path) -> None:
    frames = corpus(6, videos=8)
    found = within(tmp_path, frames, runner_of(kind, 2))
    assert len(found)
    pd.testing.assert_frame_equal(found, dup_pairs(frames, SEARCH, VOTES), check_exact=True)


def search_all(scratch: Path, done: Path) -> None:
    """Compare all videos, and note how many others each was held against once that is kept."""

    class Noted(Here):
        def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
            for number, outcome in super().outcomes(function, items):
                with done.open("a") as file:
                    file.write(f"{items[number].node}\n")
                yield number, outcome

    bytes_of(scratch.parent, within(scratch, corpus(7, videos=8), Noted()))


@pytest.mark.parametrize("number", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_points_of_the_search_a_rerun_gives_the_same_and_repeats_nothing(
    number: int, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / "done"
    steps = steps_of(search_all, tmp_path / "whole" / "scratch", whole)
    nodes = whole.read_text().split()
    assert len(nodes) == len(set(nodes)) == 7
    table = (tmp_path / "whole" / "dup_pairs.parquet").read_bytes()
    for step in points(steps, number):
        top = tmp_path / str(step)
        top.mkdir()
        kill(step, search_all, top / "scratch", top / "done")
        search_all(top / "scratch", top / "done")
        assert (top / "dup_pairs.parquet").read_bytes() == table
        noted = (top / "done").read_text().split()
        assert len(noted) == len(set(noted)), "nothing is done twice"
        assert len(set(nodes) - set(noted)) <= 1, "killed between keeping it and noting it"
        assert not (top / "scratch" / "prints").exists()


class Failing(Watched):
    """One video fails."""

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        for number, item in enumerate(items):
            failed = Failed(item, MemoryError("no room"))
            yield number, failed if item.node == 2 else function(item)


def test_a_comparison_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    frames, runner = corpus(8, videos=6), Watched()
    with pytest.raises(ComparisonError, match=r"v02 could not be compared .* no room; .* again"):
        within(tmp_path, frames, Failing())
    found = within(tmp_path, frames, runner)
    assert len(runner.done) == 1
    pd.testing.assert_frame_equal(found, dup_pairs(frames, SEARCH, VOTES), check_exact=True)


def test_two_runs_do_not_use_one_scratch_at_once(tmp_path: Path) -> None:
    spoken = [prints(recording("a", 9, seed=0), SEARCH)]
    with (
        comparing(tmp_path, spoken, SEARCH, VOTES, Here()),
        pytest.raises(ComparisonError, match="another run is at work in it; wait"),
        comparing(tmp_path, spoken, SEARCH, VOTES, Here()),
    ):
        pass
    with comparing(tmp_path, spoken, SEARCH, VOTES, Processes(1)) as comparison:
        assert comparison.videos() == ["a"]


def as_scanned(frames: pd.DataFrame) -> pd.DataFrame:
    rest = {"luma_mean": 90.0, "lap_var": 50.0, "shot_id": 0}
    return frames.assign(**rest)


@pytest.mark.parametrize("at_once", [1, 7, 100, 1 << 17])
def test_a_frames_table_read_in_pieces_says_what_it_says_as_a_whole(
    at_once: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frames = corpus(9, videos=5)
    monkeypatch.setattr(tables, "ROW_GROUP", at_once)
    tables.put(tmp_path, "frames", as_scanned(frames))

    def late(part: pd.DataFrame) -> np.ndarray:
        return (part["k"] >= 2).to_numpy()

    for kept, said in ((None, frames), (late, frames[frames["k"] >= 2])):
        (tmp_path / "prints").mkdir(exist_ok=True)
        path = tmp_path / "frames.parquet"
        mapped.write(tmp_path / "prints", mapped.read_frames(path, SEARCH, kept))
        got, wanted = mapped.read(tmp_path / "prints"), prints(said, SEARCH)
        for name in vars(wanted):
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), name)


def test_a_frames_table_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(tables.TableError, match=r"frames\.parquet: no such file"):
        list(mapped.read_frames(tmp_path / "frames.parquet", SEARCH))


def test_without_any_frame_there_is_no_video_and_no_pair(tmp_path: Path) -> None:
    tables.put(tmp_path, "frames", as_scanned(recording("a", 3, seed=0)).iloc[:0])
    spoken = mapped.read_frames(tmp_path / "frames.parquet", SEARCH)
    with comparing(tmp_path / "scratch", spoken, SEARCH, VOTES, Here()) as comparison:
        assert comparison.videos() == []
        assert len(comparison.within()) == 0
        assert len(comparison.between([], [])) == 0
