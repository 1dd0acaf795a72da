"""One process or many: who this one is, and the few things that all must do together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """`size` processes, this one is number `rank`, its tensors live on `device`."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks: one of all does."""
        return self.rank == 0

    @property
    def group(self) -> dist.ProcessGroup | None:
        """All processes, for those who sum over them; None where there is one."""
        return dist.group.WORLD if self.size > 1 else None

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return self._reduced(values, dist.ReduceOp.SUM) / self.size if self.size > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether any process says yes, so that all of them do the same."""
        if self.size == 1:
            return flag
        return bool(self._reduced(torch.tensor(float(flag)), dist.ReduceOp.MAX))

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            self.any(False)

    def _reduced(self, values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        total = values.detach().to(self.device, copy=True)
        dist.all_reduce(total, operation)
        return total


def alone() -> World:
    """A process by itself, on the accelerator if there is one."""
    return World(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def join() -> Iterator[World]:
    """The processes that `torchrun` has started, or this one by itself.

    On CUDA they talk by NCCL and each takes the device of its number on the machine, else by Gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield alone()
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
