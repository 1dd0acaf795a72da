"""The bill of probing: formulas that PyTorch's own counter agrees with, and bounds that hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from probing import BOUNDS, CHOLEC80_TEST, CHOLEC80_TRAIN
from probing_bill import (
    CHECKPOINTED,
    Counts,
    Prices,
    Shape,
    encoder_flops,
    head_flops,
    official,
    official_prices,
    our_prices,
    ours,
    widths,
    windows_over,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from unisurg.models.encoder import VisionTransformer
from unisurg.models.sizes import ENCODERS, Size
from unisurg.settings import Protocol, Settings, load
from unisurg.tasks.heads import AttentiveProbe

TOY = Shape(Size(48, 2, 4), frames=8, height=64, width=32, classes=5)
LARGE = Shape(ENCODERS["large"], frames=64, height=256, width=256, classes=7)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(Path(__file__).parent.parent / "params.yaml")


def counted(compute: Callable[[], object]) -> int:
    """FLOPs by PyTorch's counter, which sees attention only as plain matrix products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops()


def test_the_encoders_formula_is_what_pytorch_counts() -> None:
    encoder = VisionTransformer(TOY.encoder, TOY.tubelet, 0.0).eval()
    clip = torch.zeros(1, 3, TOY.frames, TOY.height, TOY.width)
    with torch.no_grad():
        assert counted(lambda: encoder(clip)) == encoder_flops(TOY)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_heads_formula_is_what_pytorch_counts_forward_trained_and_checkpointed(
    depth: int,
) -> None:
    head = AttentiveProbe(48, TOY.classes, depth, heads=4)
    tokens = torch.zeros(1, 24, 48)
    once = head_flops(48, 24, depth, TOY.classes)
    assert counted(lambda: head(tokens)) == once
    assert counted(lambda: head(tokens).sum().backward()) == 3 * once
    again = counted(lambda: checkpoint(head, tokens, use_reentrant=False).sum().backward())
    assert again == pytest.approx(CHECKPOINTED * once, rel=0.01)


def test_the_official_bill_is_the_published_measurement() -> None:
    """TFLOP a clip and FLOPs of a run as in the analysis of the released code."""
    prices = official_prices(LARGE)
    assert prices.encoder == pytest.approx(11.57e12, rel=2e-3)
    assert prices.tested[1024] == pytest.approx(29.6e12, rel=2e-3)
    assert prices.trained[1024] == pytest.approx(118e12, rel=4e-3)
    counts = Counts(CHOLEC80_TRAIN, CHOLEC80_TEST, fit=0, val=0, windows=0, refit=True)
    bill = official(counts, prices)
    assert bill.total == pytest.approx(1.52e19, rel=5e-3)
    assert (bill.training + bill.testing) / bill.total == pytest.approx(0.86, abs=0.01)


def test_our_bill_is_that_of_a_grid_worked_out_by_hand(settings: Settings) -> None:
    """Six heads, three wide: 1 epoch of 6, 1 of 3, 4 of 1; refit 6 epochs of the widest."""
    probe = settings.probe.model_copy(
        update={"view": ("tokens", "change"), "lr": (1e-3, 2e-3, 3e-3), "weight_decay": (0.1,),
                "halving": (0.17, 0.34)}
    )  # fmt: skip
    assert widths(probe, 1) == [2, 2, 2, 1, 1, 1]
    prices = Prices(1000.0, {1: 3.0, 2: 6.0}, {1: 1.0, 2: 2.0})
    counts = Counts(train=90, test=50, fit=20, val=10, windows=7, refit=True)
    dense = ours(counts, prices, probe, 1, 6, "dense")
    fitting = 20 * (27 + 18 + 4 * 6)
    judging = 10 * (9 + 6 + 2)
    assert dense.encoder == 1000 * 80
    assert dense.training == fitting + judging + 6 * 30 * 6
    assert dense.testing == 50 * 2
    fast = ours(counts, prices, probe, 1, 6, "fast")
    assert fast.encoder == 1000 * 7
    assert (fast.training, fast.testing) == (dense.training, dense.testing)


def test_windows_overlap_by_half_and_cover_every_frame() -> None:
    shape = Shape(ENCODERS["nano"], frames=16, height=96, width=96, classes=7)
    assert windows_over([80.0], shape, fps=1.0) == 10
    assert windows_over([81.0, 3.0], shape, fps=1.0) == 11 + 1


@pytest.mark.parametrize("protocol", BOUNDS)
def test_the_bounds_hold_for_vit_large_on_the_official_pictures(
    settings: Settings, protocol: Protocol
) -> None:
    every_s = settings.features.fit_every_s
    seconds = [(CHOLEC80_TRAIN + CHOLEC80_TEST) / 80] * 80
    counts = Counts(
        CHOLEC80_TRAIN, CHOLEC80_TEST, 4 * CHOLEC80_TRAIN // every_s // 5,
        CHOLEC80_TRAIN // every_s // 5, windows_over(seconds, LARGE, 1.0), refit=True,
    )  # fmt: skip
    prices = our_prices(LARGE, settings.probe, settings.features.grid)
    bill = ours(counts, prices, settings.probe, 1024, settings.probe.epochs.phase, protocol)
    assert bill.total <= BOUNDS[protocol] * official(counts, official_prices(LARGE)).total
