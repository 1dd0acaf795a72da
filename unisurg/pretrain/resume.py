"""The resumable state of a run: written whole or not at all, found again by what it depends on."""

from __future__ import annotations

import fcntl
import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from unisurg.models.checkpoints import write_atomically
from unisurg.settings import Model, Pretrain, digest

CHECKPOINT = "checkpoint.pt"
LOCK = "lock"


class RunLocked(RuntimeError):
    """Another process is training this very run."""


def run_key(
    settings: Pretrain, model: Model, seed: int, manifest: Path, start_digest: str | None
) -> str:
    """16 hexadecimal digits of all that decides a run: settings, data and first weights."""
    content = hashlib.sha256(manifest.read_bytes()).hexdigest()
    parts = [digest(settings), digest(model), str(seed), content, str(start_digest)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextmanager
def run_folder(scratch: Path, key: str) -> Iterator[Path]:
    """The run's own folder below `scratch`, held by this process alone until the block ends.

    Raises:
        RunLocked: another process holds it; the system frees it when that process dies.
    """
    folder = scratch / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{folder}: another process is training this run; wait for it or end it"
            ) from None
        yield folder


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Put a state in place of the last one, which stays until the new one is whole."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(folder / CHECKPOINT, buffer.getvalue())


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state saved last, or None for a run that has none. Refuses pickled code."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def forget(folder: Path) -> None:
    """Remove the state of a finished run, so that asking again trains again."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
