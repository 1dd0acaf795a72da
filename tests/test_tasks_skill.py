"""The skill task: rows of a trial in, one rating, one level and a gesture a moment out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unisurg.evaluation import statistics
from unisurg.evaluation.store import TRIAL
from unisurg.tasks.skill import GESTURES, GRS, SkillTask

TASK = SkillTask(levels=3, depth=0, heads=2)
SHARES = 0  # column of the rating's logit


def trial(
    rating: int, level: int, gestures: list[int], exercise: str = "Suturing", cameras: int = 2
) -> np.ndarray:
    """Truth of a trial whose moments all cameras see."""
    rows = np.zeros((cameras, len(gestures)), TRIAL)
    rows["rating"], rows["level"], rows["exercise"] = rating, level, exercise
    rows["gesture"], rows["camera"] = gestures, np.arange(cameras)[:, None]
    return rows.ravel()


def logits_of(truth: np.ndarray, sure: float = 20.0) -> torch.Tensor:
    """Logits of a head that knows the truth."""
    found = torch.zeros(len(truth), TASK.outputs)
    share = (truth["rating"][0] - GRS[0]) / (GRS[1] - GRS[0])
    found[:, SHARES] = torch.logit(torch.tensor(share, dtype=torch.float32), eps=1e-7)
    rows = np.arange(len(truth))
    found[rows, 1 + truth["level"]] = sure
    found[rows, 1 + TASK.levels + np.maximum(truth["gesture"], 0)] = sure
    return found


TRUTHS = [
    trial(8, 0, [0, 0, 1, -1]),
    trial(29, 2, [1, 2, 2, 2], "Knot_Tying"),
    trial(15, 0, [0, 3, -1, 3]),
    trial(22, 1, [5, 5, 5, 1], "Knot_Tying"),
]


def test_a_head_that_knows_the_truth_has_no_error_and_loses_nothing() -> None:
    found = [TASK.predict(logits_of(truth), truth) for truth in TRUTHS]
    values = {name: statistics.value(table) for name, table in TASK.tables(TRUTHS, found).items()}
    assert values.pop("mae_grs_points_over_trials") == pytest.approx(0, abs=1e-4)
    assert values.pop("mae_grs_points_per_task") == pytest.approx(0, abs=1e-4)
    assert values == pytest.approx(dict.fromkeys(values, 1.0), abs=1e-5)
    assert len(values) == 8
    everything = np.ones((1, len(TRUTHS)))
    drawn = TASK.drawn(TRUTHS, found)
    assert {name: rho(everything)[0] for name, rho in drawn.items()} == pytest.approx(
        {"spearman_over_trials": 1.0, "spearman_per_task_fisher": 1.0}
    )
    targets = TASK.targets(TRUTHS)
    assert TASK.loss(targets)(torch.cat([logits_of(t) for t in TRUTHS]), targets) < 1e-4


def test_a_trial_has_one_rating_and_one_level_whatever_its_clips_say() -> None:
    truth = trial(12, 1, [0, 1, 2])
    found = TASK.predict(torch.randn(6, TASK.outputs), truth)
    assert len(np.unique(found["rating"])) == len(np.unique(found["level"])) == 1
    assert GRS[0] <= found["rating"][0] <= GRS[1]


def test_both_cameras_speak_for_the_gesture_of_a_moment() -> None:
    truth = trial(12, 1, [4, 4])
    logits = torch.zeros(4, TASK.outputs)
    gestures = logits[:, 1 + TASK.levels :]
    gestures[0, 7], gestures[2, 4] = 1.0, 3.0  # the first moment: one is less sure, and wrong
    gestures[1, 4], gestures[3, 7] = 1.0, 3.0
    assert TASK.predict(logits, truth)["gesture"].tolist() == [4, 7, 4, 7]


def test_a_moment_counts_once_however_many_cameras_see_it() -> None:
    wrong = [trial(12, 1, [1, 2, 3, 4], cameras=n) for n in (1, 2)]
    values = []
    for truth in wrong:
        found = TASK.predict(logits_of(truth), truth)
        found["gesture"][found["gesture"] == 4] = 0
        counts = TASK.tables([truth], [found])["f1_macro_gesture_over_moments"]
        values.append(counts.sum(axis=(0, 1)).tolist())
    assert values[0] == values[1]


def test_trials_that_nobody_transcribed_are_rated_and_have_no_metrics_of_gestures() -> None:
    untold = [trial(rating, 0, [-1, -1]) for rating in (9, 20)]
    found = [TASK.predict(logits_of(truth), truth) for truth in untold]
    tables = TASK.tables(untold, found)
    assert not [name for name in tables if "gesture" in name]
    assert statistics.value(tables["closeness_grs_over_trials"]) == pytest.approx(1, abs=1e-5)
    mixed = TASK.tables(
        [*untold, TRUTHS[1]], [*found, TASK.predict(logits_of(TRUTHS[1]), TRUTHS[1])]
    )
    assert statistics.value(mixed["accuracy_gesture_per_trial"]) == 1


def test_a_batch_without_a_gesture_has_a_finite_loss_that_teaches_no_gesture() -> None:
    targets = TASK.targets([trial(9, 0, [-1, -1])])
    logits = torch.randn(4, TASK.outputs, requires_grad=True)
    loss = TASK.loss(TASK.targets(TRUTHS))(logits, targets)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad[:, 1 + TASK.levels :].abs().max() == 0
    assert logits.grad[:, SHARES].abs().min() > 0


def test_a_rating_far_off_pulls_no_harder_than_one_that_is_off() -> None:
    targets = TASK.targets([trial(GRS[1], 2, [0])])[:1]
    of_trials, _ = TASK.losses(targets)

    def pull(share: float) -> float:
        """Slope of the loss by the predicted share of the scale."""
        logit = torch.logit(torch.tensor(share))
        logits = torch.zeros(1, TASK.outputs)
        logits[0, SHARES] = logit
        logits.requires_grad_()
        of_trials(logits, targets).backward()
        assert logits.grad is not None
        return float(logits.grad[0, SHARES]) / (share * (1 - share))

    assert [pull(0.2), pull(0.7)] == pytest.approx([-1, -1], rel=1e-5)
    assert pull(0.97) > -0.5


@pytest.mark.parametrize("name", ["closeness_grs_over_trials", "accuracy_gesture_per_trial"])
def test_one_table_is_the_same_as_among_all(name: str) -> None:
    found = [TASK.predict(torch.randn(len(t), TASK.outputs), t) for t in TRUTHS]
    np.testing.assert_equal(TASK.table(name, TRUTHS, found), TASK.tables(TRUTHS, found)[name])


def test_the_vocabulary_is_that_of_the_data_set() -> None:
    from unisurg.benchmarks import jigsaws

    assert len(jigsaws.GESTURES) == GESTURES
    assert GRS == jigsaws.GRS_RANGE


def test_a_level_weighs_by_its_trials_and_not_by_their_lengths() -> None:
    """A slow novice and a quick expert are one trial each, so that neither is weighed down."""
    novice, expert = trial(9, 0, [-1] * 20), trial(28, 2, [-1] * 2)
    targets = [TASK.targets([truth]) for truth in (novice, expert)]
    trials = torch.stack([rows[0] for rows in targets])
    of_trials, _ = TASK.losses(torch.cat(targets), trials)
    logits = torch.zeros(2, TASK.outputs, requires_grad=True)
    of_trials(logits, trials).backward()
    assert logits.grad is not None
    of_levels = logits.grad[:, 1 : 1 + TASK.levels]
    assert of_levels[0, 0].item() == pytest.approx(of_levels[1, 2].item())
    # Where the loss counts clips, levels are balanced over clips.
    of_clips = TASK.loss(torch.cat(targets))
    logits = torch.zeros(44, TASK.outputs, requires_grad=True)
    of_clips(logits, torch.cat(targets)).backward()
    assert logits.grad is not None
    assert logits.grad[:40, 1].sum().item() == pytest.approx(logits.grad[40:, 3].sum().item())
