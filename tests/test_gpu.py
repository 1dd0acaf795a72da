"""On an accelerator: the numbers of the CPU, in float32, bfloat16 and compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pretrain_corpus import small_settings

from unisurg.pretrain.learner import make_learner
from unisurg.pretrain.step import train_step
from unisurg.pretrain.world import World
from unisurg.settings import Pretrain, Settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def losses(device: str, section: Pretrain, settings: Settings, folder: Path) -> list[float]:
    """Of three steps on the same clips from the same weights."""
    world = World(0, 1, torch.device(device))
    learner = make_learner(section, settings.model, 0, None, world)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(255, (2, 4, 48, 48, 3), dtype=torch.uint8, generator=draw).to(device)
    return [
        train_step(learner, pixels, step, section, 0, world, folder)["loss"] for step in range(3)
    ]


@pytest.mark.parametrize("preset", ["dense", "vjepa", "videomae"])
def test_steps_on_a_gpu_are_those_on_the_cpu(settings, preset, tmp_path: Path) -> None:
    changes = {"objective": settings.objectives[preset]}
    section = small_settings(settings).model_copy(update=changes)
    on_cpu, on_gpu = (losses(device, section, settings, tmp_path) for device in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_bfloat16_on_a_gpu_is_near_float32(settings, compiled, tmp_path: Path) -> None:
    exact = small_settings(settings)
    rough = exact.model_copy(update={"precision": "bfloat16", "compile": compiled})
    expected, found = (losses("cuda", s, settings, tmp_path) for s in (exact, rough))
    assert found == pytest.approx(expected, rel=0.05)
