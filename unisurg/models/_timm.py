"""The one door to timm, which also opens on a machine whose torch has no CUDA.

The wheel of torchvision on PyPI is built for CUDA. With a CPU build of torch its compiled part
cannot load, so two operators that its Python part refers to at import are unknown, and timm,
which imports torchvision, fails with it. Declaring their schemas is enough: none is called here.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def timm_module(name: str) -> ModuleType:
    """Import `timm.<name>` (`layers`, `optim`, `scheduler`, ...), which takes seconds at first.

    Raises:
        ImportError: timm is not installed.
    """
    _import_torchvision()
    return importlib.import_module(f"timm.{name}")


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        # Only now: on a matching build the compiled part has declared them already.
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", _SCHEMA)
        importlib.import_module("torchvision")
