"""Triplets: parts by their names, a head that ties them together, a loss that hears the rare."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unisurg.benchmarks.cholect50 import INSTRUMENTS, MAP, TRIPLETS
from unisurg.tasks.base import TaskError
from unisurg.tasks.families import Facts, make_task
from unisurg.tasks.losses import MOST_WEIGHT, balanced_bce, positive_weights
from unisurg.tasks.triplet import TripletTask
from unisurg.tasks.triplet_head import TRIPLET_PRIOR, TripletHead, plain_head
from unisurg.tasks.triplet_parts import TripletParts, parts_of

DIM, HEADS, STEPS = 16, 2, 2
# Both instruments may do both things: the parts of a moment do not say who does what.
FOUR = ("hook,cut,duct", "hook,clip,duct", "clipper,cut,duct", "clipper,clip,duct")


@pytest.fixture(scope="module")
def official() -> TripletParts:
    return parts_of(TRIPLETS)


def head(parts: TripletParts, depth: int = 0) -> TripletHead:
    torch.manual_seed(0)
    return TripletHead(DIM, parts, STEPS, depth, HEADS)


# --- parts --------------------------------------------------------------------------------------


def test_names_say_the_same_parts_as_the_owners_map(official: TripletParts) -> None:
    assert official.nulls == len(INSTRUMENTS)
    assert official.sizes == (6, 10, 15)
    assert list(official.components) == ["i", "v", "t", "iv", "it", "ivt"]
    for name, column in zip(("ivt", "i", "v", "t", "iv", "it"), MAP.T, strict=True):
        ours, theirs = (row[:, None] == row for row in (official.components[name], column))
        assert np.array_equal(ours, theirs)


def test_a_class_that_is_no_triplet_is_an_error_that_names_it() -> None:
    with pytest.raises(TaskError, match="'hook,cut' is no triplet"):
        parts_of(["hook,cut,duct", "hook,cut"])
    with pytest.raises(TaskError, match="must be the last"):
        parts_of(["hook,null_verb,null_target", "hook,cut,duct"])


# --- the head -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1])
def test_a_triplet_is_a_soft_and_of_its_parts_plus_what_ties_them(
    official: TripletParts, depth: int
) -> None:
    module, tokens = head(official, depth), torch.randn(3, 8, DIM)
    kinds = [100, *official.sizes]
    tied, *parts = module(tokens).split(kinds, dim=1)
    both = sum(F.logsigmoid(z)[:, of] for z, of in zip(parts, official.of.T, strict=True))
    assert not torch.allclose(tied, both + module.triplet_bias, atol=1e-3)
    for rows in (module.own, *(associate.weight for associate in module.associate)):
        torch.nn.init.zeros_(rows)
    untied, *_ = module(tokens).split(kinds, dim=1)
    assert torch.allclose(untied, both + module.triplet_bias, atol=1e-5)


def test_the_head_can_tell_the_labelled_step_from_the_ones_before(official: TripletParts) -> None:
    module, tokens = head(official), torch.randn(2, 8, DIM)
    turned = tokens.unflatten(1, (STEPS, -1)).flip(1).flatten(1, 2)
    assert not torch.allclose(module(tokens), module(turned), atol=1e-5)
    torch.nn.init.zeros_(module.steps)
    assert torch.allclose(module(tokens), module(turned), atol=1e-5)


def test_without_its_instrument_no_triplet_is_likely(official: TripletParts) -> None:
    module, hook = head(official), TRIPLETS.index("hook,dissect,gallbladder")
    number = official.of[hook, 0]
    with torch.no_grad():
        module.bias[number] = -1e4
    scores = module(torch.randn(4, 8, DIM))[:, :100].sigmoid()
    of_hook = torch.as_tensor(official.of[:, 0] == number)
    assert (scores[:, of_hook] < 1e-6).all()
    assert (scores[:, ~of_hook] > 1e-4).all()


def test_both_heads_start_where_a_triplet_is_as_rare_as_it_is(official: TripletParts) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(20, 8, DIM)
    for module in (head(official), plain_head(DIM, 100, 0, HEADS)):
        logits = module(tokens)[:, :100]
        prior = math.log(TRIPLET_PRIOR / (1 - TRIPLET_PRIOR))
        assert logits.mean().item() == pytest.approx(prior, abs=0.3)


def test_the_head_learns_who_does_what_where_the_parts_are_always_the_same() -> None:
    """Moments show `hook cuts, clipper clips` or the other way round: the parts are equal."""
    task = TripletTask(parts_of(FOUR), depth=0, heads=HEADS)
    truth = np.array([[1, 0, 0, 1], [0, 1, 1, 0]] * 8, np.int8)
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randn(16, 4, DIM, generator=rng)
    tokens[:, :, 0] += 3 * torch.as_tensor(truth[:, :1]).float()
    targets = task.targets([truth])
    assert (targets[:, 4:] == 1).all()
    torch.manual_seed(0)
    module, loss = task.head(DIM, (1, 2, 2)), task.loss(targets)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss(module(tokens), targets).backward()
        optimiser.step()
    scores = task.predict(module(tokens).detach(), truth)
    assert np.array_equal(scores > 0.5, truth == 1)


# --- targets, loss, prediction ------------------------------------------------------------------


def test_a_part_is_seen_where_one_of_its_triplets_is(official: TripletParts) -> None:
    rng = np.random.default_rng(0)
    truths = [(rng.random((n, 100)) < 0.02).astype(np.int8) for n in (3, 5)]
    task = TripletTask(official, 0, HEADS)
    found = task.targets(truths).numpy()
    assert np.array_equal(found[:, :100], np.concatenate(truths))
    for row in found:
        seen = official.of[row[:100] == 1]
        for kind, columns in enumerate(np.split(row[100:], [6, 16])):
            assert set(np.flatnonzero(columns)) == set(seen[:, kind])
    assert np.array_equal(task.plain.targets(truths).numpy(), np.concatenate(truths))


def test_a_class_that_is_rarer_weighs_more_up_to_a_bound_and_an_absent_one_nothing_extra() -> None:
    targets = torch.zeros(1000, 4)
    targets[:500, 0], targets[:100, 1], targets[:1, 2] = 1, 1, 1
    assert positive_weights(targets).tolist() == [1, 3, MOST_WEIGHT, 1]


def test_the_loss_is_the_sum_of_a_mean_over_triplets_and_one_per_kind_of_part() -> None:
    task = TripletTask(parts_of(FOUR), 0, HEADS)
    targets = task.targets([np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], np.int8)])
    logits, weights = torch.randn(3, 4 + 2 + 2 + 1), positive_weights(targets)
    expected = sum(
        balanced_bce(logits[:, kind], targets[:, kind], weights[kind])
        for kind in (slice(0, 4), slice(4, 6), slice(6, 8), slice(8, 9))
    )
    assert torch.isclose(task.loss(targets)(logits, targets), expected)
    plain = task.plain.loss(targets[:, :4])(logits[:, :4], targets[:, :4])
    assert torch.isclose(plain, balanced_bce(logits[:, :4], targets[:, :4], weights[:4]))


def test_scores_are_shares_of_the_triplets_alone_and_equal_for_both_heads() -> None:
    task = TripletTask(parts_of(FOUR), 0, HEADS)
    logits = torch.randn(5, 9)
    scores = task.predict(logits, np.zeros((5, 4), np.int8))
    assert scores.shape == (5, 4)
    assert np.allclose(scores, torch.sigmoid(logits[:, :4]).numpy())
    assert np.array_equal(task.plain.predict(logits[:, :4], np.zeros((5, 4), np.int8)), scores)


def test_one_table_is_the_same_alone_and_among_all(settings) -> None:
    task = make_task(Facts("triplet", "cholect50", 100, 96, 1.0, TRIPLETS), settings.probe)
    assert isinstance(task, TripletTask)
    rng = np.random.default_rng(0)
    truths = [(rng.random((9, 100)) < 0.05).astype(np.int8) for _ in range(3)]
    scores = [rng.random((9, 100)) for _ in truths]
    tables = task.tables(truths, scores)
    assert {"ap_ivt_videowise", "ap_ivt_videowise_without_null"} <= set(tables)
    for name, table in tables.items():
        assert np.array_equal(task.table(name, truths, scores), table, equal_nan=True)
    assert set(task.drawn(truths, scores)) == {
        *(f"ap_{name}_global" for name in task.parts.components),
        "ap_ivt_global_without_null",
    }


def test_triplets_without_a_null_among_them_are_all_kept() -> None:
    task = TripletTask(parts_of(FOUR), 0, HEADS)
    rng = np.random.default_rng(0)
    truths = [(rng.random((9, 4)) < 0.4).astype(np.int8) for _ in range(3)]
    scores = [rng.random((9, 4)) for _ in truths]
    once, found, whole = np.ones((1, 3)), task.drawn(truths, scores), task.tables(truths, scores)
    assert found["ap_ivt_global_without_null"](once) == found["ap_ivt_global"](once)
    assert np.array_equal(
        whole["ap_ivt_videowise_without_null"], whole["ap_ivt_videowise"], equal_nan=True
    )
