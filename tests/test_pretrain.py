"""Masks, motion scores, objectives, schedules, teacher, health: the parts of pretraining."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unisurg.pretrain import health
from unisurg.pretrain.draws import generator
from unisurg.pretrain.masks import batch_masks, block_mask, masked_positions, token_indices
from unisurg.pretrain.motion import SATURATION, motion_scores, standardised
from unisurg.pretrain.objectives import (
    affinity_distillation_loss,
    feature_diversity_loss,
    motion_guided_loss,
    total_loss,
)
from unisurg.pretrain.sampler import draw_batch
from unisurg.pretrain.schedule import ema_decay, learning_rate
from unisurg.pretrain.teacher import make_teacher, update_teacher
from unisurg.settings import BlockRow, Settings

AREAS = [(6, 6), (14, 14), (7, 12), (3, 3)]


# --- masks


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("row", [0, 1])
def test_every_mask_of_a_batch_hides_the_same_share_within_the_ratio(settings, area, row) -> None:
    masks = settings.pretrain.masks
    for step in range(30):
        counts = batch_masks(masks, row, 0, step, 4, area).sum(axis=(1, 2))
        assert len(set(counts)) == 1
        assert masks.ratio[0] <= counts[0] / math.prod(area) <= masks.ratio[1]


def test_visible_and_hidden_tokens_partition_the_clip_and_neither_is_empty(settings) -> None:
    mask = batch_masks(settings.pretrain.masks, 0, 0, 0, 5, (6, 6))
    keep, hidden = token_indices(mask, time_steps=4)
    both = torch.cat([keep, hidden], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(4 * 36).expand(5, -1))
    assert keep.shape[1] > 0
    assert hidden.shape[1] > 0


def test_a_tube_is_hidden_at_every_time_step_or_at_none(settings) -> None:
    mask = batch_masks(settings.pretrain.masks, 1, 0, 0, 3, (6, 6))
    _, hidden = token_indices(mask, time_steps=4)
    dense = torch.zeros(3, 4 * 36, dtype=torch.bool).scatter(1, hidden, True).view(3, 4, 6, 6)
    assert torch.equal(dense, torch.from_numpy(mask).unsqueeze(1).expand(-1, 4, -1, -1))


def test_no_time_step_is_supervised_less_than_another(settings) -> None:
    """V-JEPA's cut to the shortest mask starves the last frames 6 to 8 fold."""
    hidden = torch.cat(
        [
            token_indices(batch_masks(settings.pretrain.masks, 0, 0, step, 8, (6, 6)), 8)[1].ravel()
            for step in range(10)
        ]
    )
    assert len(set(torch.bincount(hidden // 36, minlength=8).tolist())) == 1


def test_a_mask_depends_on_seed_step_row_and_sample_alone(settings) -> None:
    masks = settings.pretrain.masks

    def mask(row: int, seed: int, step: int, batch: int) -> np.ndarray:
        return batch_masks(masks, row, seed, step, batch, (14, 14))

    assert np.array_equal(mask(0, 1, 2, 4), mask(0, 1, 2, 4))
    assert np.array_equal(mask(0, 1, 2, 4), mask(0, 1, 2, 8)[:4])
    for other in (mask(1, 1, 2, 4), mask(0, 3, 2, 4), mask(0, 1, 3, 4)):
        assert not np.array_equal(mask(0, 1, 2, 4), other)
    assert len({m.tobytes() for m in mask(0, 1, 2, 4)}) == 4


def test_blocks_are_compact_where_scattered_positions_would_not_be() -> None:
    """Neighbours are hidden together far more often than chance would have it."""
    row = BlockRow(count=2, scale=0.3, aspect=(0.75, 1.5))
    together = []
    for step in range(50):
        mask = block_mask(row, 98, generator(0, "test", step), (14, 14))
        assert mask.sum() == 98
        together.append((mask[:, 1:] & mask[:, :-1]).mean())
    assert np.mean(together) > 0.35  # scattered: 0.5 * 0.5


def test_the_masked_share_covers_the_whole_range() -> None:
    drawn = {masked_positions((0.75, 0.95), generator(0, "t", i), (6, 6)) for i in range(300)}
    assert drawn == set(range(27, 35))


def test_a_ratio_that_no_number_of_positions_meets_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"masks\.ratio.*widen the range"):
        masked_positions((0.76, 0.95), generator(0, "t"), (2, 2))


# --- motion


def test_scores_are_the_formula_worked_by_hand() -> None:
    """Two patches of one pixel, two frames: 0.0 -> 0.6 on the left, always 0.2 on the right."""
    clip = torch.tensor([[0.0, 0.2], [0.6, 0.2]]).view(1, 1, 2, 1, 2)
    left = 0.6 + (0.2 + 0.4) / 2
    right = 0.0 + (0.2 + 0.4) / 2
    expected = torch.tensor([left, right]).view(1, 1, 1, 2)
    torch.testing.assert_close(motion_scores(clip, (2, 1, 1)), expected)


def test_the_formula_agrees_with_its_sums_written_out() -> None:
    clip = torch.rand(1, 3, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    scores = motion_scores(clip, (2, 2, 2))

    def patch(t: int, i: int, j: int) -> torch.Tensor:
        return clip[0, :, t, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]

    for step, i, j in [(0, 0, 0), (1, 1, 2), (0, 2, 3)]:
        frames = (2 * step, 2 * step + 1)
        in_time = (patch(frames[1], i, j) - patch(frames[0], i, j)).abs().mean()
        near = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        near = [(a, b) for a, b in near if 0 <= a < 3 and 0 <= b < 4]
        in_space = sum(
            (patch(t, i, j) - patch(t, *n)).abs().mean() for t in frames for n in near
        ) / (2 * len(near))
        assert float(scores[0, step, i, j]) == pytest.approx(float(in_time + in_space), abs=1e-5)


@pytest.mark.parametrize("compensate", [False, True])
def test_the_patch_that_moves_has_the_highest_score(compensate: bool) -> None:
    noise = torch.rand(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    clip = 0.4 + 0.1 * noise.expand(-1, -1, 4, -1, -1).clone()
    clip[:, :, 1::2, 16:32, 32:48] += 0.3
    scores = motion_scores(clip, (2, 16, 16), compensate_camera=compensate)
    assert scores.flatten(2).argmax(dim=2).tolist() == [[4 + 2, 4 + 2]]


def test_over_the_clip_every_time_step_has_the_same_score() -> None:
    clip = torch.rand(2, 3, 8, 32, 32)
    scores = motion_scores(clip, (2, 16, 16), span="clip")
    assert scores.shape == (2, 4, 2, 2)
    assert torch.equal(scores, scores[:, :1].expand(-1, 4, -1, -1))
    in_time = (clip[:, :, 1:] - clip[:, :, :-1]).abs()[..., :16, :16].mean(dim=(1, 2, 3, 4))
    still = clip[:, :, :1].expand_as(clip)
    moving_part = scores[:, 0, 0, 0] - motion_scores(still, span="clip")[:, 0, 0, 0]
    assert (moving_part > 0).all()
    assert (scores[:, 0, 0, 0] > in_time).all()


def test_a_flash_of_the_whole_picture_is_no_motion_once_compensated() -> None:
    noise = torch.rand(1, 3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    still = (0.3 + 0.2 * noise).expand(-1, -1, 2, -1, -1)
    flash = still + torch.tensor([0.0, 0.4]).view(2, 1, 1)
    literal = motion_scores(flash) - motion_scores(still)
    torch.testing.assert_close(literal, torch.full_like(literal, 0.4))
    compensated = motion_scores(flash, compensate_camera=True)
    torch.testing.assert_close(compensated, motion_scores(still, compensate_camera=True))


def test_compensated_scores_saturate_and_skip_patches_without_texture() -> None:
    clip = torch.zeros(1, 3, 2, 64, 64)
    clip[:, :, 1, :16, :16] = 1.0  # a flat patch that flashes
    clip[:, :, 1, 32:48, 32:48] = torch.rand(16, 16)
    scores = motion_scores(clip, compensate_camera=True)
    assert scores[0, 0, 0, 0] == 0
    assert 0 < scores[0, 0, 2, 2] <= 2 * SATURATION + 1e-6


def test_standardised_scores_have_mean_zero_and_deviation_one_and_survive_a_still_clip() -> None:
    scores = standardised(torch.rand(2, 4, 3, 3))
    torch.testing.assert_close(scores.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.flatten(1).std(dim=1, correction=0), torch.ones(2))
    assert torch.equal(standardised(torch.full((1, 2, 3, 3), 7.0)), torch.zeros(1, 2, 3, 3))


def test_a_clip_that_the_tubelet_does_not_divide_has_no_scores() -> None:
    with pytest.raises(ValueError, match=r"divisible by the tubelet \(2, 16, 16\)"):
        motion_scores(torch.zeros(1, 3, 3, 32, 32))


# --- objectives

SHAPE = (3, 7, 5)


@pytest.fixture
def latents() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, *SHAPE, generator=draw, dtype=torch.float64)
    return prediction.requires_grad_(), target, torch.rand(*SHAPE[:2], generator=draw)


def test_motion_guided_loss_worked_by_hand() -> None:
    """Errors 1, 2, 4 and scores 0, ln 2, ln 4 with gamma 1: the weights are 1/3 and 2/3."""
    prediction = torch.tensor([[[1.0, -1.0], [2.0, 2.0], [4.0, -4.0]]])
    scores = torch.tensor([[0.0, math.log(2), math.log(4)]])

    def loss(**options) -> float:
        zero = torch.zeros_like(prediction)
        return float(motion_guided_loss(prediction, zero, scores, top_k=2, gamma=1.0, **options))

    literal = (1 + 1 / 3) * 2 + (1 + 2 / 3) * 4
    assert loss() == pytest.approx(literal)
    assert loss(base_weight=0.5) == pytest.approx(literal + 0.5 * 1)
    assert loss(reduce="sum") == pytest.approx(2 * literal)
    assert loss(tokens="mean") == pytest.approx(literal / 3)
    assert loss(tokens="mean", base_weight=1.0) == pytest.approx((literal + 1) / 4)


def test_without_motion_weights_the_dense_mean_is_nearly_v_jepas_loss(latents) -> None:
    prediction, target, scores = latents
    dense = motion_guided_loss(
        prediction, target, scores, top_k=7, gamma=0.0, base_weight=1.0, tokens="mean"
    )
    torch.testing.assert_close(dense, F.l1_loss(prediction, target))


def test_only_the_tokens_that_move_most_are_taught_when_read_literally(latents) -> None:
    prediction, target, scores = latents
    motion_guided_loss(prediction, target, scores).backward()
    taught = prediction.grad.abs().sum(dim=-1) > 0
    highest = torch.zeros(SHAPE[:2], dtype=torch.bool).scatter(1, scores.topk(3).indices, True)
    assert torch.equal(taught, highest)


def test_motion_weights_survive_scores_that_would_overflow(latents) -> None:
    prediction, target, scores = latents
    assert torch.isfinite(motion_guided_loss(prediction, target, scores * 1e4, gamma=10.0))


def test_affinity_loss_is_the_divergence_written_out(latents) -> None:
    prediction, target, _ = latents
    expected = 0.0
    for guess, truth in zip(prediction.detach().numpy(), target.numpy(), strict=True):
        rows = []
        for x in (truth, guess):
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            a = np.exp(unit @ unit.T / 0.1)
            rows.append(a / a.sum(axis=1, keepdims=True))
        expected += (rows[0] * np.log(rows[0] / rows[1])).sum() / SHAPE[1] / SHAPE[0]
    assert affinity_distillation_loss(prediction, target).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_equal_affinities_cost_nothing_and_a_common_rotation_is_equal(latents) -> None:
    _, target, _ = latents
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    for same in (target, 3 * target, target @ rotation):
        assert float(affinity_distillation_loss(same, target)) == pytest.approx(0, abs=1e-12)
    assert float(affinity_distillation_loss(target.flip(1), target)) > 0


def test_affinity_in_slices_is_affinity_at_once(monkeypatch, latents) -> None:
    prediction, target, _ = latents
    whole = affinity_distillation_loss(prediction, target)
    (gradient,) = torch.autograd.grad(whole, prediction)
    monkeypatch.setattr("unisurg.pretrain.objectives.AFFINITY_ROWS", 3)
    sliced = affinity_distillation_loss(prediction, target)
    torch.testing.assert_close(sliced, whole)
    torch.testing.assert_close(torch.autograd.grad(sliced, prediction)[0], gradient)


def test_diversity_loss_worked_by_hand() -> None:
    """Deviations (n - 1) of the three features: 0, sqrt(2), 2 against a floor of 1.5."""
    prediction = torch.tensor([[[5.0, 0.0, -2.0], [5.0, 2.0, 0.0], [5.0, 2.0, 2.0]]])
    deviations = prediction[0].std(dim=0)
    expected = sum(max(0.0, 1.5 - float(d)) for d in deviations) / 3
    assert float(feature_diversity_loss(prediction, 1.5)) == pytest.approx(expected, abs=1e-5)
    assert float(feature_diversity_loss(prediction, 0.0)) == 0


def test_a_collapsed_prediction_costs_the_floor_and_has_a_finite_gradient() -> None:
    prediction = torch.ones(2, 3, 4, requires_grad=True)
    loss = feature_diversity_loss(prediction, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("span", ["tubelet", "clip"])
def test_gradients_of_the_whole_objective_are_those_of_finite_differences(
    settings, span: str
) -> None:
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 2, 6, 3, generator=draw, dtype=torch.float64)
    scores = torch.rand(2, 6, generator=draw)
    objective = settings.pretrain.objective.model_copy(
        update={"span": span, "diversity_floor": 5.0, "top_k": 2}
    )
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: total_loss(x, target, scores, objective, time_steps=2)["loss"], [prediction]
    )


def test_the_target_never_receives_a_gradient(settings, latents) -> None:
    prediction, target, scores = latents
    target.requires_grad_()
    total_loss(prediction, target, scores, settings.pretrain.objective, 1)["loss"].backward()
    assert target.grad is None
    assert prediction.grad is not None


def test_the_total_is_the_weighted_sum_of_its_addends(settings, latents) -> None:
    objective = settings.pretrain.objective
    terms = total_loss(*latents, objective, 1)
    expected = (
        objective.motion_weight * terms["motion"]
        + objective.affinity_weight * terms["affinity"]
        + objective.diversity_weight * terms["diversity"]
    )
    torch.testing.assert_close(terms["loss"], expected)


def test_a_tube_through_the_clip_is_weighted_as_one() -> None:
    """Two positions, three times: the moving position's error counts 1 + 1, the other's nothing."""
    draw = torch.Generator().manual_seed(0)
    error = torch.rand(1, 3, 2, 4, generator=draw)
    scores = torch.tensor([0.1, 0.9]).expand(1, 3, 2)
    from unisurg import settings as module

    objective = module.Objective(
        motion_weight=1.0,
        affinity_weight=0.0,
        diversity_weight=0.0,
        top_k=1,
        gamma=2.0,
        base_weight=0.0,
        span="clip",
        normalise_scores=False,
        reduce="mean",
        tokens="sum",
        compensate_camera=False,
        temperature=0.1,
        diversity_floor=1.0,
    )
    flat = error.flatten(1, 2)
    loss = total_loss(flat, torch.zeros_like(flat), scores.flatten(1), objective, 3)["loss"]
    torch.testing.assert_close(loss, 2 * error[:, :, 1].mean())


@pytest.mark.parametrize("name", ["prediction", "scores"])
def test_shapes_that_do_not_belong_together_are_refused(name: str) -> None:
    good = torch.zeros(2, 4, 3)
    prediction = good[:, :3] if name == "prediction" else good
    with pytest.raises(ValueError, match=name):
        motion_guided_loss(prediction, good, torch.zeros(2, 5))


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


# --- health


def healthy() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(4, 20, 16, generator=draw), torch.randn(4, 32, 16, generator=draw)


def test_healthy_features_raise_no_alarm() -> None:
    meters = health.measure(*healthy(), time_steps=4)
    assert meters.keys() == {"rank_me", "feature_std", "token_cosine", "temporal_cosine"}
    assert health.alarms(meters) == []


def test_a_planted_collapse_raises_an_alarm_for_each_meter() -> None:
    prediction, target = healthy()
    one = torch.randn(1, 1, 16)
    meters = health.measure(one.expand_as(prediction), one.expand_as(target), time_steps=4)
    assert len(health.alarms(meters)) == 4


def test_rank_is_the_number_of_equal_directions() -> None:
    for rank in (1, 4, 16):
        rows = torch.eye(16)[:rank].repeat(8, 1)
        assert health.rank_me(rows) == pytest.approx(rank, rel=1e-3)


def test_token_cosine_is_the_mean_over_pairs_of_different_tokens() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert health.token_cosine(rows) == pytest.approx(1 / 3)


def test_a_clip_of_one_time_step_has_no_temporal_cosine() -> None:
    assert "temporal_cosine" not in health.measure(*healthy(), time_steps=1)
