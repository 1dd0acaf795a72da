"""The state of an unfinished run: never half written, never taken up by another run.

Each run has a folder named by the digest of all that decides it. There are `run.json` (those
things), `history.csv` (a row per step), `step_000200.pt`, ... (the newest few) and `best.pt`. The
folder is removed when the run has ended well.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from unisurg.models.writing import held, replacing
from unisurg.pretrain.world import World
from unisurg.settings import Model, Pretrain

RUN = "run.json"
BEST = "best.pt"
BEST_SCORE = "best.json"
# What may change between a run and its continuation: it moves no weight, or by rounding alone.
FREE = ("workers", "prefetch", "cache_mib", "checkpoint_every", "keep_checkpoints", "parallel")

Identity = dict[str, Any]


class OtherRun(ValueError):
    """The folder holds an unfinished run that was made with other settings or data."""


def identity(settings: Pretrain, model: Model, seed: int, data: str, start: str | None) -> Identity:
    """All that decides a run, flat: settings, the digests of its data and of its first weights."""
    own = settings.model_dump(mode="json", exclude=set(FREE))
    return {
        **_flat({"pretrain": own, "model": model.model_dump(mode="json")}),
        "seed": seed,
        "data": data,
        "start_from": start,
    }


@contextmanager
def run_folder(
    scratch: Path, wanted: Identity, start_from: Path | None, world: World
) -> Iterator[Path]:
    """The run's own folder in `scratch`, held by this run alone until the block ends.

    Args:
        start_from: the weights the run starts from; where they are those of an unfinished run in
            `scratch`, that run may be there.

    Raises:
        RunLocked: another run holds it; the system frees it when that process dies.
        OtherRun: another run is unfinished in `scratch`; names every setting that differs.
        CannotSave: nothing can be written there.
    """
    folder = scratch / _key(wanted)
    _refuse_others(scratch, folder, wanted, start_from)
    with held(folder, "training this run") if world.first else nullcontext():
        if world.first:
            with replacing(folder / RUN) as file:
                file.write(json.dumps(wanted, indent=1, sort_keys=True).encode())
        world.wait()
        yield folder


def save(folder: Path, step: int, state: Mapping[str, Any], keep: int) -> Path:
    """Write the state after `step` steps, then drop all but the newest `keep`.

    Raises:
        CannotSave: the disk is full or read-only; earlier checkpoints are untouched.
    """
    path = folder / f"step_{step:06d}.pt"
    with replacing(path) as file:
        torch.save(dict(state), file)
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def mark_best(folder: Path, path: Path, measure: str, value: float) -> None:
    """Keep `path` as `best.pt` if `value` is at least that of the best so far.

    Of equals the newest is kept: a probe that is always right says nothing, and more steps help. A
    value of another measure than the best so far replaces it.
    """
    with suppress(FileNotFoundError, ValueError, KeyError):
        best = json.loads((folder / BEST_SCORE).read_text(encoding="utf-8"))
        if best["measure"] == measure and best["value"] > value:
            return
    aside = folder / f"{BEST}.part"
    aside.unlink(missing_ok=True)
    os.link(path, aside)
    aside.replace(folder / BEST)
    score = {"measure": measure, "value": value, "checkpoint": path.name}
    with replacing(folder / BEST_SCORE) as file:
        file.write(json.dumps(score).encode())


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state that can be read, or None for a run that has none. Refuses pickled code."""
    for path in reversed(checkpoints(folder)):
        try:
            return read_state(path, device)
        except Exception as error:  # whatever a damaged file makes torch say
            print(
                f"WARNING: {path}: damaged ({error}); going back to the one before it",
                file=sys.stderr,
            )
    return None


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """One checkpoint. Refuses pickled code."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one of a run's own, and not published weights."""
    return path.name == BEST or path.match("step_*.pt")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints by step, the newest last."""
    return sorted(folder.glob("step_*.pt"))


def forget(folder: Path, start_from: Path | None) -> None:
    """Remove a finished run, and the unfinished one that it went on from."""
    for run in _runs(folder.parent):
        if run == folder or _lies_in(start_from, run):
            shutil.rmtree(run)


def _refuse_others(scratch: Path, own: Path, wanted: Identity, start_from: Path | None) -> None:
    """A run that has begun goes on; a new one begins where no other waits to be gone on with."""
    if checkpoints(own):
        return
    for run in _runs(scratch):
        if checkpoints(run) and not _lies_in(start_from, run):
            raise OtherRun(_differences(run, wanted))


def _runs(scratch: Path) -> list[Path]:
    return sorted(path.parent for path in scratch.glob(f"*/{RUN}"))


def _lies_in(path: Path | None, folder: Path) -> bool:
    return path is not None and path.resolve().is_relative_to(folder.resolve())


def _key(wanted: Identity) -> str:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


def _differences(folder: Path, wanted: Identity) -> str:
    found = json.loads((folder / RUN).read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps(wanted))
    lines = [
        f"  {key}: {found.get(key, 'absent')} -> {wanted.get(key, 'absent')}"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key, folder) != wanted.get(key, folder)
    ]
    last = checkpoints(folder)[-1]
    return (
        f"{folder}: an unfinished run stands at {last.stem}, made with other settings:\n"
        + "\n".join(lines)
        + "\nPut them back to go on with it; begin a new run from its weights with"
        f" --start-from {last}; or remove {folder} to begin at random weights"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
