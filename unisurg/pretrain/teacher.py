"""The target encoder: an exponential moving average of the trained one, never trained itself."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def make_teacher(student: M) -> M:
    """A copy in evaluation mode whose parameters take no gradient."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """`teacher <- decay * teacher + (1 - decay) * student`, all parameters in one pass.

    `decay` 1 leaves the teacher as it is, 0 makes it the student.
    """
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1.0 - decay)
