"""Schedules, the target encoder's moving average and sampling: what a step is made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from unisurg.models._timm import timm_module
from unisurg.pretrain.sampler import draw_batch
from unisurg.pretrain.schedule import ema_decay, learning_rate
from unisurg.pretrain.teacher import make_teacher, update_teacher
from unisurg.settings import Settings

# --- schedules, teacher


def test_the_rate_warms_up_linearly_peaks_and_ends_at_its_last_value(settings: Settings) -> None:
    section = settings.pretrain.model_copy(
        update={"steps": 101, "warmup_steps": 10, "lr": 1.0, "lr_final": 0.1}
    )
    rates = [learning_rate(step, section) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.55, abs=0.01)


def test_the_cosine_is_timms(settings: Settings) -> None:
    scheduler = timm_module("scheduler").CosineLRScheduler
    section = settings.pretrain.model_copy(update={"steps": 60, "warmup_steps": 0})
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=section.lr)
    theirs = scheduler(optimiser, t_initial=59, lr_min=section.lr_final, t_in_epochs=False)
    for step in range(60):
        theirs.step_update(step)
        assert learning_rate(step, section) == pytest.approx(optimiser.param_groups[0]["lr"])


def test_a_plateau_stays_at_the_peak_until_its_cool_down_falls_straight(settings) -> None:
    section = settings.pretrain.model_copy(
        update={
            "steps": 40, "warmup_steps": 10, "cooldown_steps": 8, "schedule": "constant",
            "lr": 1.0, "lr_final": 0.2,
        }
    )  # fmt: skip
    rates = [learning_rate(step, section) for step in range(40)]
    assert rates[9:32] == [1.0] * 23
    assert rates[31:] == pytest.approx(np.linspace(1.0, 0.2, 9))


def test_a_cool_down_leaves_the_cosine_where_it_is_and_ends_at_the_same_rate(settings) -> None:
    plain = settings.pretrain.model_copy(update={"steps": 50, "warmup_steps": 5})
    cooled = plain.model_copy(update={"cooldown_steps": 10})
    for step in range(40):
        assert learning_rate(step, cooled) == learning_rate(step, plain)
    assert learning_rate(49, cooled) == pytest.approx(plain.lr_final)
    falls = np.diff([learning_rate(step, cooled) for step in range(39, 50)])
    assert falls == pytest.approx([falls[0]] * 10)


def test_the_targets_decay_rises_to_its_setting_and_stays(settings: Settings) -> None:
    decays = [ema_decay(step, settings.pretrain) for step in range(0, 100_000, 500)]
    assert decays == sorted(decays)
    assert decays[-1] == settings.pretrain.ema


def test_the_moving_average_has_its_limits() -> None:
    torch.manual_seed(0)
    student, first = nn.Linear(3, 3), nn.Linear(3, 3)
    for decay, expected in [(1.0, first.weight), (0.0, student.weight)]:
        teacher = make_teacher(first)
        update_teacher(teacher, student, decay)
        assert torch.equal(teacher.weight, expected)
    teacher = make_teacher(first)
    update_teacher(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, 0.9 * first.weight + 0.1 * student.weight)
    for _ in range(300):
        update_teacher(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, student.weight)


def test_a_teacher_takes_no_gradient_and_is_no_alias() -> None:
    student = nn.Linear(2, 2)
    teacher = make_teacher(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    assert teacher.weight.data_ptr() != student.weight.data_ptr()


# --- sampling


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    weights = np.array([0.5, 0.25, 0.25])

    def draws(seed: int, step: int) -> list[tuple[int, ...]]:
        batch = draw_batch(weights, [30, 5, 40], 16, 8, seed, step)
        return [(d.row, *d.frames.tolist()) for d in batch]

    assert draws(0, 3) == draws(0, 3)
    assert draws(0, 3) != draws(0, 4)
    assert draws(0, 3) != draws(1, 3)


def test_videos_are_drawn_as_often_as_their_weights_say() -> None:
    weights = np.array([0.6, 0.3, 0.1, 0.0])
    rows = [d.row for s in range(400) for d in draw_batch(weights, [20] * 4, 16, 10, 0, s)]
    share = np.bincount(rows, minlength=4) / len(rows)
    assert share == pytest.approx(weights, abs=0.03)
    assert share[3] == 0


def test_windows_stay_inside_their_video_and_short_ones_repeat_the_last_frame() -> None:
    for draw in draw_batch(np.ones(2), [16, 5], 16, 50, 0, 0):
        if draw.row == 1:
            assert draw.frames.tolist() == [0, 1, 2, 3, *[4] * 12]
        else:
            assert draw.frames.tolist() == list(range(16))


def test_weights_that_do_not_belong_to_the_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 videos"):
        draw_batch(np.ones(2), [5, 5, 5], 2, 1, 0, 0)
