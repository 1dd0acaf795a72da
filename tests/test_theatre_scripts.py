"""Scripts: every step gets its share, and what is written is what is played."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from unisurg.synthetic.exact import ONE, stream
from unisurg.synthetic.motifs import MOTIFS, REPERTOIRE, Motion, motif
from unisurg.synthetic.operation import Operation, Script
from unisurg.synthetic.scripts import SHOWN, fill, in_turn, usual_order


def test_the_repertoire_is_every_pair_of_motions_once_and_begins_with_the_seven() -> None:
    pairs = {(row.main, row.assistant) for row in REPERTOIRE}
    mains = {Motion.STILL, Motion.CLOCKWISE, Motion.JUMP, Motion.AWAY}
    assistants = {Motion.STILL, Motion.COUNTER, Motion.JUMP, Motion.AWAY}
    assert pairs == {(main, other) for main in mains for other in assistants}
    assert len(REPERTOIRE) == len({row.name for row in REPERTOIRE}) == 16
    assert REPERTOIRE[:7] == MOTIFS


@pytest.mark.parametrize("steps", [5, 7, 8, 9])
def test_every_step_is_left_out_equally_often(steps: int) -> None:
    shown: Counter[int] = Counter()
    for number in range(steps):
        order = usual_order(stream(number), number, steps)
        assert len(set(order)) == len(order) == SHOWN
        shown.update(order)
    assert set(shown.values()) == {SHOWN}


def test_half_of_the_operations_take_two_neighbours_in_the_other_order() -> None:
    orders = [usual_order(stream(number), 0, 7) for number in range(200)]
    turned = [int((np.diff(order) < 0).sum()) for order in orders]
    assert set(turned) == {0, 1}
    assert 0.35 < np.mean(turned) < 0.65


def test_a_script_fills_its_time_and_what_is_around_it_is_short() -> None:
    for seed in range(20):
        script = fill(stream(seed), [1, 2, 3], 60_000, before=[8], after=[9])
        assert script.motifs.tolist() == [8, 1, 2, 3, 9]
        lengths = np.diff([*script.starts_ms, 60_000])
        assert script.starts_ms[0] == 0
        assert lengths[1:4].max() < 2 * lengths[1:4].min()
        assert max(lengths[0], lengths[4]) < lengths[1:4].min()


def test_motifs_in_turn_begin_when_those_before_them_end() -> None:
    script = in_turn([4, 5, 6], [1000, 2000, 3000], lead_ms=400)
    assert script.starts_ms.tolist() == [0, 1400, 3400]


def test_an_operation_plays_its_script_and_is_otherwise_its_seeds() -> None:
    script = Script(np.array([0, 7000, 15_000]), np.array([motif("Marking"), 3, 0]))
    operation = Operation("pelvis", 5, 25, script=script)
    ms = np.array([0, 6999, 7000, 14_999, 15_000, 25_000])
    assert operation.at(ms).phase.tolist() == [motif("Marking")] * 2 + [3, 3, 0, 0]
    other = Operation("pelvis", 5, 25).at(ms)
    assert np.array_equal(operation.at(ms).camera, other.camera)


def test_a_hand_that_is_away_is_not_in_the_picture() -> None:
    outside, still = motif("Outside"), motif("Inspection")
    script = Script(np.array([0, 6000, 12_000, 18_000]), np.array([outside, 0, still, outside]))
    for seed in range(10):
        operation = Operation("pelvis", seed, 24, script=script)
        states = operation.at(np.arange(0, 24_001, 100))
        assistant = 1 - operation.main
        assert not states.inserted[:60].any()
        assert not states.inserted[(states.ms >= 18_900)].any()
        assert not states.inserted[(states.ms >= 12_900) & (states.ms < 18_000), assistant].any()
        together = (states.ms >= 6900) & (states.ms < 12_000)
        assert (states.inserted[together] == ONE).all()
        assert (states.inserted[(states.ms >= 12_000) & (states.ms < 18_000), operation.main]).all()
