"""The search: it finds what is planted, loses nothing, and stops what is not worth its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from surrogates import PLANTED, broken, doubled, endless, killed, objective, planted, search_in

from unisurg.settings import Settings, SettingsError, laid_over
from unisurg.tuning.best import Again, Found, NothingFound, chosen
from unisurg.tuning.space import SpaceError, default_point, space_of, values_of
from unisurg.tuning.study import Attempt, Outcome, Refused, Row
from unisurg.tuning.workers import SearchStopped, together

SURROGATES = Path(__file__).parent / "surrogates.py"


def started(folder: Path, trials: int, dies_in: int = -1) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SURROGATES), str(folder), str(trials), str(dies_in)]
    return subprocess.Popen(command, cwd=SURROGATES.parent.parent)


def test_a_planted_optimum_is_found(tmp_path: Path, settings: Settings) -> None:
    search = search_in(tmp_path, settings)
    search.work(objective, 35)
    _, best = chosen(search.rows())
    assert planted(search.default) < 0.8
    assert best > 0.98
    important = search.importances()
    assert sum(important[name] for name in PLANTED) > 0.8


def test_the_settings_in_use_are_tried_first(tmp_path: Path, settings: Settings) -> None:
    search = search_in(tmp_path, settings)
    search.work(objective, 2)
    first, second = search.rows()
    assert (first.number, first.default, first.point) == (0, True, dict(search.default))
    assert not second.default


def test_more_trials_are_those_beyond_what_was_done(tmp_path: Path, settings: Settings) -> None:
    search_in(tmp_path, settings).work(objective, 4)
    before = search_in(tmp_path, settings).rows()
    called = list[int]()

    def counted(attempt: Attempt) -> Outcome:
        called.append(attempt.number)
        return objective(attempt)

    search_in(tmp_path, settings).work(counted, 7)
    assert called == [4, 5, 6]
    assert search_in(tmp_path, settings).rows()[:4] == before


def test_a_search_that_goes_on_draws_no_point_twice(tmp_path: Path, settings: Settings) -> None:
    for trials in range(1, 9):
        search_in(tmp_path, settings).work(objective, trials)
    points = [tuple(row.point.values()) for row in search_in(tmp_path, settings).rows()]
    assert len(set(points)) == 8


def test_a_trial_of_a_killed_process_is_done_again_and_nothing_else(
    tmp_path: Path, settings: Settings
) -> None:
    killed = started(tmp_path, trials=5, dies_in=2)
    assert killed.wait(60) == -9
    search = search_in(tmp_path, settings)
    assert [row.state for row in search.rows()] == ["complete", "complete", "running"]
    half_done, called = search.rows()[2].point, list[int]()

    def counted(attempt: Attempt) -> Outcome:
        called.append(attempt.number)
        return objective(attempt)

    search.work(counted, 5)
    rows = search.rows()
    assert called == [2, 3, 4]
    assert [row.state for row in rows] == ["complete"] * 5
    assert rows[2].point == half_done


def test_a_killed_default_is_done_again_as_the_default(tmp_path: Path, settings: Settings) -> None:
    assert started(tmp_path, trials=2, dies_in=0).wait(60) == -9
    search = search_in(tmp_path, settings)
    search.work(objective, 2)
    assert [row.default for row in search.rows()] == [True, False]


def test_two_processes_share_one_journal(tmp_path: Path, settings: Settings) -> None:
    both = [started(tmp_path, trials=12) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    rows = search_in(tmp_path, settings).rows()
    assert [row.number for row in rows] == list(range(12))
    assert {row.state for row in rows} == {"complete"}
    assert len({row.facts["process"] for row in rows}) == 2
    assert [row.number for row in rows if row.default] == [0]


def test_a_database_serves_as_well(tmp_path: Path, settings: Settings) -> None:
    search = search_in(tmp_path, settings, storage=f"sqlite:///{tmp_path / 'study.db'}")
    search.work(objective, 3)
    assert [row.state for row in search.rows()] == ["complete"] * 3


def test_a_refused_trial_counts_with_its_reason_and_is_never_the_best(
    tmp_path: Path, settings: Settings
) -> None:
    def collapsing(attempt: Attempt) -> Outcome:
        if attempt.number == 1:
            raise Refused("target features have collapsed to rank 1.20")
        return objective(attempt)

    search = search_in(tmp_path, settings)
    search.work(collapsing, 3)
    stopped = search.rows()[1]
    assert (stopped.state, stopped.score) == ("stopped", None)
    assert "rank 1.20" in stopped.reason
    assert chosen(search.rows())[0].number != 1


def test_a_trial_far_behind_is_stopped_on_its_way_but_never_the_default(
    tmp_path: Path, settings: Settings
) -> None:
    ended = list[int]()

    def hopeless_later(attempt: Attempt) -> Outcome:
        bad = attempt.default or attempt.number >= 11
        attempt.report(10, 0.0 if bad else 0.5 + attempt.number / 100)
        ended.append(attempt.number)
        return Outcome(0.0 if bad else 1.0, 1.0)

    search = search_in(tmp_path, settings)
    search.work(hopeless_later, 13)
    assert ended == list(range(11))
    assert "pruned at step 10: 0.0000" in search.rows()[12].reason


def test_an_error_is_told_and_its_trial_is_done_again(tmp_path: Path, settings: Settings) -> None:
    def fails(attempt: Attempt) -> Outcome:
        raise OSError("no space left")

    search = search_in(tmp_path, settings)
    with pytest.raises(OSError, match="no space left"):
        search.work(fails, 2)
    search.work(objective, 2)
    assert [(row.number, row.state) for row in search.rows()] == [(0, "complete"), (1, "complete")]


def test_a_front_of_score_and_seconds_has_what_nothing_beats(
    tmp_path: Path, settings: Settings
) -> None:
    def traded(attempt: Attempt) -> Outcome:
        attempt.report(1, -1.0)  # as bad as can be, but nothing is pruned
        share = attempt.point["ratio_low"]
        return Outcome(score=1 - share + attempt.point["gamma"] / 100, seconds=10 * (1 - share))

    search = search_in(tmp_path, settings, multi=True)
    search.work(traded, 16)
    rows, front = search.rows(), search.front()
    assert {row.state for row in rows} == {"complete"}

    def beaten(row: Row) -> bool:
        mine = (row.score, -row.seconds)
        others = [(other.score, -other.seconds) for other in rows if other is not row]
        return any(o != mine and o[0] >= mine[0] and o[1] >= mine[1] for o in others)

    assert front == [row.number for row in rows if not beaten(row)]
    assert len(front) > 1


def test_work_that_is_shared_out_comes_back_in_its_order() -> None:
    assert together([(doubled, number) for number in range(5)], 2) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("job", "error", "said"),
    [((broken, 3), ValueError, "planned 3"), ((killed,), SearchStopped, "does its trial again")],
)
def test_where_one_process_ends_badly_the_others_stop(
    job: tuple[object, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        together([job, (endless,)], 2)


def test_the_default_point_is_the_settings_themselves(settings: Settings) -> None:
    point = default_point(settings)
    values = values_of({name: point[name] for name in space_of(settings)}, settings)
    assert laid_over(settings, values) == settings


def test_every_point_is_a_setting_that_can_be_used(tmp_path: Path, settings: Settings) -> None:
    used = list[Settings]()

    def tried(attempt: Attempt) -> Outcome:
        used.append(laid_over(settings, values_of(attempt.point, settings)))
        return Outcome(0.0, 1.0)

    search_in(tmp_path, settings).work(tried, 20)
    low, high = zip(*(s.pretrain.masks.ratio for s in used if s.pretrain.masks.ratio), strict=True)
    assert min(low) < 0.6 < max(low)
    assert all(a < b <= 0.98 for a, b in zip(low, high, strict=True))
    assert {s.pretrain.objective.top_k for s in used} != {3}
    assert len({s.pretrain.masks.blocks[0].temporal for s in used}) > 10


def test_what_the_settings_have_no_room_for_is_not_searched(settings: Settings) -> None:
    tubes = laid_over(settings, {"pretrain.masks.kind": "tube"})
    assert "count_0" not in space_of(tubes)
    assert "ratio_low" not in space_of(laid_over(settings, {"pretrain.masks.ratio": None}))
    assert "temporal" not in space_of(laid_over(settings, {"objectives.dense.span": "clip"}))
    silent = {"objectives.dense.motion_weight": 0.0}
    assert "gamma" not in space_of(laid_over(settings, silent))


def test_a_default_outside_of_its_range_is_refused_by_name(settings: Settings) -> None:
    outside = laid_over(settings, {"tune.space.gamma": [3.0, 4.0]})
    with pytest.raises(SpaceError, match=r"gamma is 2 in the settings in use, outside of 3 to 4"):
        space_of(outside)


def test_a_range_that_is_upside_down_is_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"tune\.space\.scale: the smaller number comes first"):
        laid_over(settings, {"tune.space.scale": [0.9, 0.1]})


def row(number: int, score: float | None, default: bool = False) -> Row:
    state = "stopped" if score is None else "complete"
    return Row(number, state, score, 1.0, default, {}, "planned", {}, {})


@pytest.mark.parametrize(
    ("best", "default", "again", "said"),
    [
        (row(3, 0.3), 0.2, Again((1, 2), (0.3, 0.1), (0.2, 0.2)), "ahead in 1 of 2"),
        (row(3, 0.3), 0.2, Again(), "As the best of many it looks better than it is"),
        (row(0, 0.2, default=True), 0.2, Again(), "No trial beats the default"),
        (row(3, 0.3), None, Again(), "which did not come to its end"),
    ],
)
def test_the_verdict_says_whether_the_best_beats_the_default(
    best: Row, default: float | None, again: Again, said: str
) -> None:
    score = best.score or 0.0
    assert said in Found("f1", {}, best, score, default, again, ()).verdict


def test_of_equal_trials_the_first_is_the_best() -> None:
    assert chosen([row(0, 0.5, default=True), row(1, 0.5)])[0].number == 0


def test_a_search_in_which_nothing_came_to_its_end_says_why() -> None:
    with pytest.raises(NothingFound, match=r"trial 0: planned; trial 1: planned"):
        chosen([row(0, None), row(1, None)])
