"""The step that ours is measured against computes what ours computes."""

from __future__ import annotations

import copy

import pytest
import torch
from pretrain_pair import DECAY, Options, Ours, Plain, Shape, gradient_errors, step_settings
from pretrain_step import PROXY, model_flops

from unisurg.models.sizes import Size
from unisurg.pretrain.schedule import ema_decay

# 12 features a head: 4 for each axis, all turned; 22 a head in the predictor: 4 are not turned.
TOY = Shape(Size(48, 2, 4), Size(44, 2, 2, mask_tokens=2), batch=2, frames=4, side=64)
CPU = torch.device("cpu")


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_plain_step_has_our_loss_and_our_gradients(checkpointing):
    plain, ours = Plain(TOY, Options(checkpointing=checkpointing), CPU), Ours(TOY, Options(), CPU)
    ours.take_weights(plain)
    pixels = TOY.pixels(CPU)
    for number in (1, 2):
        loss, reference = plain.gradients(pixels, number)
        our_loss, gradients = ours.gradients(pixels, number)
        assert our_loss == pytest.approx(loss, rel=1e-5)
        errors = gradient_errors(gradients, reference)
        assert max(errors.values()) <= 1e-5, errors


def test_both_mask_rows_are_predicted_with_tokens_of_their_own():
    ours = Ours(TOY, Options(), CPU)
    _, gradients = ours.gradients(TOY.pixels(CPU), 1)
    assert (gradients["predictor.mask_tokens"].norm(dim=1) > 0).all()


@pytest.mark.parametrize("make", [Plain, Ours])
def test_a_step_changes_every_parameter_and_the_target_encoder_follows_at_its_decay(make):
    arm = make(TOY, Options(), CPU)
    if isinstance(arm, Plain):
        networks, encoder, target = arm.networks, arm.learner.encoder, arm.learner.target
    else:
        networks, encoder, target = arm.learner.networks, arm.learner.encoder, arm.learner.teacher
    before = copy.deepcopy(networks)
    start = copy.deepcopy(target)
    arm.step(TOY.pixels(CPU), 1)
    decay = DECAY if isinstance(arm, Plain) else ema_decay(1, arm.settings.pretrain)
    for old, new in zip(before.parameters(), networks.parameters(), strict=True):
        assert not old.equal(new)
    slow = zip(start.parameters(), encoder.parameters(), target.parameters(), strict=True)
    for old, fast, now in slow:
        torch.testing.assert_close(now, decay * old + (1 - decay) * fast)


def test_the_measured_step_of_ours_is_the_published_objective():
    settings = step_settings(TOY, Options()).pretrain
    assert settings.objective.name == "vjepa"
    assert (settings.masks.kind, settings.masks.ratio) == ("multiblock", None)
    assert [row.count for row in settings.masks.blocks] == [8, 2]


def test_operations_of_a_step_are_those_counted_by_hand():
    shape = Shape(Size(48, 1, 4), Size(12, 1, 2), batch=3, frames=2, side=32)
    target = 24 * 48**2 * 4 + 4 * 48 * 4**2 + 2 * 1536 * 48 * 4
    context = 24 * 48**2 * 1 + 4 * 48 * 1**2 + 2 * 1536 * 48 * 1
    predictor = 24 * 12**2 * 4 + 4 * 12 * 4**2 + 2 * 48 * 12 * 4
    assert model_flops(shape, [(1, 3)]) == 3 * (target + 3 * (context + predictor))


def test_the_proxy_keeps_the_proportions_of_vit_large_and_its_predictor():
    assert PROXY.encoder.depth / PROXY.predictor.depth == 24 / 12
    assert PROXY.encoder.dim / PROXY.predictor.dim == 1024 / 384
    assert (PROXY.encoder.head_dim, PROXY.predictor.head_dim) == (64, 32)
