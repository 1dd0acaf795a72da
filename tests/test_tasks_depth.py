"""Depth: its loss knows metric, shape and edges; predictions are drawn when they are read."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from unisurg.evaluation.store import pictured
from unisurg.tasks import depth_metrics
from unisurg.tasks.dense import Resized
from unisurg.tasks.depth import MIDDLE_MM, DepthTask, millimetres, reduced
from unisurg.tasks.depth_loss import aligned_error, depth_loss, edge_error
from unisurg.tasks.heads import DenseDecoder


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


EVERYWHERE = torch.ones(2, 16, 16, dtype=torch.bool)


# --- the loss -----------------------------------------------------------------------------------


def test_the_loss_is_nothing_at_the_truth_and_rises_with_every_kind_of_error() -> None:
    wanted = maps(2, 16, 16)
    assert depth_loss(wanted, wanted, EVERYWHERE) < 0.01
    for wrong in (wanted + 0.5, 1.5 * wanted, wanted + 0.5 * maps(2, 16, 16, seed=1)):
        assert depth_loss(wrong, wanted, EVERYWHERE) > 0.1


def test_scale_and_shift_of_a_picture_leave_no_error_of_its_shape() -> None:
    wanted = 2 * maps(2, 16, 16)
    scaled = torch.stack([3 * wanted[0] + 5, 0.5 * wanted[1] - 1])
    assert aligned_error(scaled, wanted, EVERYWHERE).abs().max() < 0.1
    assert aligned_error(maps(2, 16, 16, seed=1), wanted, EVERYWHERE).abs().mean() > 1


def test_a_shift_has_no_edges_and_a_step_has_one_on_every_scale() -> None:
    flat = torch.full((1, 16, 16), 0.7)
    step = flat.clone()
    step[..., 8:] += 1
    known = torch.ones_like(flat, dtype=torch.bool)
    assert edge_error(flat, known) == 0
    # One of 15, 7, 3 and 1 differences along a row is 1, and none along a column.
    expected = (1 / 15 + 1 / 7 + 1 / 3 + 1) / 4
    assert edge_error(step, known).item() == pytest.approx(expected)


def test_what_is_not_known_is_in_neither_the_loss_nor_its_gradient() -> None:
    wanted, known = maps(2, 16, 16), maps(2, 16, 16, seed=2) > 0
    one = maps(2, 16, 16, seed=1).requires_grad_()
    other = torch.where(known, one.detach(), 1e6).requires_grad_()
    losses = [depth_loss(found, wanted, known) for found in (one, other)]
    assert losses[0].item() == losses[1].item()
    losses[0].backward()
    assert one.grad is not None
    assert not one.grad[~known].any()


def test_a_batch_without_any_truth_has_a_loss_of_nothing() -> None:
    found = maps(1, 8, 8).requires_grad_()
    loss = depth_loss(found, maps(1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert found.grad is not None
    assert found.grad.isfinite().all()


# --- targets and predictions --------------------------------------------------------------------


def test_a_target_is_the_mean_of_the_known_depths_and_unknown_where_few_are() -> None:
    frame = np.array([[10, 20, 0, 0], [30, 0, 0, 8]], np.float32)
    assert reduced(frame, (1, 2)).tolist() == [[20.0, 0.0]]


def test_a_head_that_says_nothing_says_the_middle_and_never_more_than_can_be_seen() -> None:
    found = millimetres(torch.tensor([0.0, math.log(2), 99.0, -99.0]))
    assert found.tolist() == pytest.approx([MIDDLE_MM, 2 * MIDDLE_MM, 1000, 0.1])


def test_the_newest_step_of_a_clip_tells_the_depth() -> None:
    torch.manual_seed(0)
    head = DepthTask(32).head(8, (2, 3, 5))
    assert isinstance(head, DenseDecoder)
    tokens = torch.randn(4, 2, 15, 8)
    other = torch.stack([torch.randn(4, 15, 8), tokens[:, 1]], dim=1)
    assert head(tokens.flatten(1, 2)).shape == (4, 6, 10)
    assert torch.equal(head(tokens.flatten(1, 2)), head(other.flatten(1, 2)))


def test_every_frame_of_a_case_is_predicted_at_the_size_of_its_truth() -> None:
    task, truth = DepthTask(32), [np.full((9, 13), 5.0)] * 3
    found = task.predict(torch.zeros(3, 4, 4), truth)
    assert [np.asarray(frame).shape for frame in found] == [(9, 13)] * 3
    assert np.allclose(np.asarray(found[1]), MIDDLE_MM)
    assert pictured("depth", found) is found[1]


def test_a_single_metric_is_the_one_among_all() -> None:
    rng = np.random.default_rng(0)
    task, truths = DepthTask(32), [rng.uniform(2, 60, (2, 9, 13)), rng.uniform(2, 60, (3, 9, 13))]
    found = [task.predict(maps(len(t), 4, 4), t) for t in truths]
    tables = task.tables(truths, found)
    assert list(tables) == depth_metrics.names()
    for name in ("delta_1.1_ratio_unscaled", "rmse_mm_ppsnet_scaled"):
        assert np.array_equal(task.table(name, truths, found), tables[name])


def test_a_prediction_is_drawn_only_when_it_is_read() -> None:
    drawn = []

    def finish(planes: torch.Tensor) -> torch.Tensor:
        drawn.append(planes.shape)
        return planes

    found = Resized(np.zeros((2, 2), np.float32), (5, 7), finish)
    assert (found.shape, drawn) == ((5, 7), [])
    assert np.asarray(found).shape == (5, 7)
    assert drawn == [(1, 5, 7)]


def test_training_finds_the_metric_depth_of_a_made_up_wall() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    nearness = rng.uniform(0, 1, (24, 4, 4))
    truths = [8 * 5 ** np.kron(frame, np.ones((1, 8, 8))) for frame in nearness[:, None]]
    tokens = torch.from_numpy(nearness).float().reshape(24, 16, 1) * torch.ones(8)
    tokens = tokens + 0.1 * torch.randn(24, 16, 8)
    task = DepthTask(32)
    head, targets = task.head(8, (1, 4, 4)), task.targets(truths)
    loss = task.loss(targets)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss(head(tokens), targets).backward()
        optimiser.step()
    found = [
        task.predict(head(t[None]).detach(), truth) for t, truth in zip(tokens, truths, strict=True)
    ]
    unlearnt = [task.predict(torch.zeros(1, 8, 8), truth) for truth in truths]
    name = "abs_rel_unscaled"
    assert task.table(name, truths, found).mean() < 0.5 * task.table(name, truths, unlearnt).mean()


# `getrusage` would answer with the peak of the tests' own process, from which this one is started.
MEASURE = """
import numpy as np, torch
from unisurg.tasks.depth import DepthTask
rng = np.random.default_rng(0)
truth = rng.uniform(1, 99, (1, 1080, 1350)).astype(np.float32)
task = DepthTask(1072)
head = task.head(1024, (1, 67, 84)).eval()
with torch.inference_mode():
    logits = torch.cat([head(torch.randn(1, 67 * 84, 1024)) for _ in truth])
task.tables([truth], [task.predict(logits, truth)])
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) / 2**20 for line in status if line.startswith("VmHWM")))
"""


def test_decoding_and_measuring_a_full_frame_stays_under_2_gib() -> None:
    """Tokens of a giant encoder at a patch of 16 pixels, a frame of 1350 x 1080."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    assert 0 < float(done.stdout) < 2
