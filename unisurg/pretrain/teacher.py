"""The target encoder: an exponential moving average of the trained one, never trained itself."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

M = TypeVar("M", bound=nn.Module)


def make_teacher(student: M) -> M:
    """A copy in evaluation mode whose parameters take no gradient."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """`teacher <- decay * teacher + (1 - decay) * student`, all parameters in one pass.

    `decay` 1 leaves the teacher as it is, 0 makes it the student. Where both are split over
    processes alike, each process moves its own part.
    """
    torch._foreach_lerp_(_local(teacher), _local(student), 1.0 - decay)


def _local(module: nn.Module) -> list[Tensor]:
    return [p.to_local() if isinstance(p, DTensor) else p.data for p in module.parameters()]
