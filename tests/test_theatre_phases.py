"""The choreography: a phase shows in time, and in nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from unisurg.synthetic.exact import ONE, SUB, VIEW
from unisurg.synthetic.motifs import DWELL_MS, MOTIFS, PERIOD_MS, PHASE_NAMES
from unisurg.synthetic.operation import PHASE_MS, Operation, Skill, States
from unisurg.synthetic.render import Renderer

WINDOW = 16
SECONDS = 140


def watch(seed: int) -> States:
    """An operation as curation keeps it: one state per second."""
    return Operation("laparoscopy-a", seed, SECONDS).at(np.arange(SECONDS) * 1000)


def one_frame(states: States) -> np.ndarray:
    """Everything that one instant holds, (S, F)."""
    tools = [states.tip.reshape(len(states), -1), states.jaw, states.grip, states.inserted]
    rest = [states.wrist, states.kind, states.camera]
    scalars = np.stack([states.smoke, states.fluid, states.level, states.breath, states.roll], 1)
    return np.concatenate([*tools, *rest, scalars], axis=1)


def many_frames(states: States) -> np.ndarray:
    """Tip positions alone over a causal window: speeds, spreads and turning, (S, F)."""
    tips = states.tip / (VIEW * SUB)
    second = np.arange(len(tips))[:, None]
    window = tips[np.maximum(second - np.arange(WINDOW)[::-1], 0)]
    middle = window.mean(axis=1, keepdims=True)
    features = []
    for length in (5, 8, WINDOW):
        recent = window[:, -length:]
        out, step = recent - middle, np.diff(recent, axis=1)
        speed = np.hypot(step[..., 0], step[..., 1])
        turn = out[:, :-1, :, 0] * out[:, 1:, :, 1] - out[:, :-1, :, 1] * out[:, 1:, :, 0]
        spread = recent.std(axis=1).reshape(len(tips), -1)
        lull = np.sort(speed, axis=1)[:, length // 3]
        features += [speed.mean(1), speed.std(1), lull, turn.mean(1), abs(turn).mean(1), spread]
    return np.concatenate(features, axis=1)


def macro_f1(train: list[np.ndarray], test: list[np.ndarray], trained: int) -> float:
    """Score of a forest that learnt from the first operations and is asked about later ones."""
    operations = [watch(seed) for seed in range(trained + len(test))]
    truth = [states.phase for states in operations]
    forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=0)
    forest.fit(np.concatenate(train), np.concatenate(truth[:trained]))
    predicted = forest.predict(np.concatenate(test))
    return f1_score(np.concatenate(truth[trained:]), predicted, average="macro")


def test_one_frame_of_exact_state_cannot_tell_the_phase_and_sixteen_seconds_can() -> None:
    trained, tested = 60, 25
    operations = [watch(seed) for seed in range(trained + tested)]
    scores = {}
    for view in (one_frame, many_frames):
        seen = [view(states) for states in operations]
        scores[view] = macro_f1(seen[:trained], seen[trained:], trained)
    assert scores[one_frame] < 0.3
    assert scores[many_frames] > 0.75


def test_one_picture_cannot_tell_the_phase() -> None:
    trained, tested = 20, 10
    seen = []
    for seed in range(trained + tested):
        operation = Operation("laparoscopy-a", seed, SECONDS)
        renderer, states = Renderer(operation, 64, 64), watch(seed)
        pictures = np.stack([renderer.rgb(states[second]) for second in range(SECONDS)])
        seen.append(
            pictures.reshape(SECONDS, 16, 4, 16, 4, 3).mean(axis=(2, 4)).reshape(SECONDS, -1)
        )
    assert macro_f1(seen[:trained], seen[trained:], trained) < 0.3


def test_the_clock_alone_does_not_tell_the_phase() -> None:
    trained, tested = 60, 25
    seen = [np.arange(SECONDS, dtype=float)[:, None]] * (trained + tested)
    assert macro_f1(seen[:trained], seen[trained:], trained) < 0.45


def test_the_same_tools_in_the_same_places_are_seen_in_every_phase() -> None:
    operations = [watch(seed) for seed in range(700)]
    phase = np.concatenate([states.phase for states in operations])
    tip = np.concatenate([states.tip for states in operations]) / SUB
    present = np.concatenate([states.inserted for states in operations]) == ONE
    for index in range(len(MOTIFS)):
        here = phase == index
        for hand in range(2):
            seen = tip[here & present[:, hand], hand]
            everywhere = tip[present[:, hand], hand]
            assert np.abs(seen.mean(0) - everywhere.mean(0)).max() < 6  # of a 256-pixel view
            assert np.abs(seen.std(0) - everywhere.std(0)).max() < 6
        assert abs(present[here].mean() - present.mean()) < 0.08


def test_no_two_phases_share_their_pair_of_motions() -> None:
    pairs = {(motif.main, motif.assistant) for motif in MOTIFS}
    assert len(pairs) == len(MOTIFS) == 7


def test_every_motif_is_slow_enough_for_one_frame_per_second() -> None:
    assert min(PERIOD_MS) > 2 * 2000
    assert min(DWELL_MS) > 1000


def test_operations_follow_the_usual_order_with_exceptions() -> None:
    operations = [Operation("laparoscopy-a", seed, SECONDS) for seed in range(200)]
    steps = np.concatenate([np.diff(operation.phases) for operation in operations])
    assert 0.5 < (steps == 1).mean() < 0.8
    assert (steps < 0).mean() > 0.1
    starts = {int(operation.phases[0]) for operation in operations}
    assert len(starts) > 1
    lengths = np.concatenate([np.diff(operation.starts_ms) for operation in operations])
    assert lengths.min() >= PHASE_MS[0]
    assert lengths.max() < PHASE_MS[1]
    counts = np.bincount(np.concatenate([operation.phases for operation in operations]))
    assert counts.min() > 0.08 * counts.sum()
    assert len(counts) == len(PHASE_NAMES)


def test_a_novice_trembles_and_wanders_where_an_expert_does_not() -> None:
    def path_px(skill: Skill) -> float:
        operation = Operation("arthroscopy", 3, 60, skill)
        states = operation.at(np.arange(600) * 100)
        inside = (states.inserted == ONE).all(axis=1)
        steps = np.abs(np.diff(states.tip, axis=0)).max(axis=-1)[inside[1:]]
        return float(steps.mean()) / SUB

    expert, shaky, astray = (path_px(Skill(*s)) for s in [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
    assert shaky > 1.3 * expert
    assert astray > 1.1 * expert
    assert Skill(1.0, 1.0).grs == 30
    assert Skill(0.0, 0.0).grs == 6


def test_a_state_depends_on_its_time_alone() -> None:
    operation = Operation("laparoscopy-b", 5, 40)
    together = operation.at(np.arange(0, 40_000, 137))
    for index in (0, 17, 200):
        alone = operation.at(together.ms[index : index + 1])[0]
        for name, value in vars(alone).items():
            assert np.array_equal(value, getattr(together[index], name)), name


def test_a_wrong_world_or_time_is_named() -> None:
    with pytest.raises(ValueError, match="'stomach' is not one of laparoscopy-a"):
        Operation("stomach", 0, 10)
    with pytest.raises(ValueError, match=r"0\.\.10000 ms"):
        Operation("arthroscopy", 0, 10).at(np.array([10_001]))
