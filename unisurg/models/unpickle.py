"""Reading a `.pt` file of somebody else without running what is in it.

A pickle is a program. PyTorch's restricted reader runs the few instructions that tensors and plain
containers need and refuses the rest; no other reader is used, and there is no switch.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from unisurg.models.checkpoints import CheckpointError


def read_pickle(path: Path) -> Any:
    """The content of a file of `torch.save`, tensors on the CPU, read from disk as they are used.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors, numbers and text.
    """
    try:
        # Only the container of PyTorch 1.6 and later can be mapped into memory.
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {found[1]}" if found else "it has unknown instructions"
        raise CheckpointError(
            f"{path}: not read: {reason}, and a file that holds more than tensors, numbers and text"
            " could run code. Where you trust it, load it elsewhere and save its state dicts alone"
        ) from None
    except Exception as error:  # whatever a reader of instructions meets in a damaged file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: damaged, or not a file of torch.save ({type(error).__name__}: {reason})"
        ) from None
