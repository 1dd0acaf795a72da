"""predictions.npz: what the report draws of a probe or a fine-tuning, from its first seed.

`task`, `classes`; for every test case `truth/CASE` and `ENCODER/CASE`, by family of tasks:

phase          labels (S,), and `moments/CASE` in seconds
action         labels (S,), the class of the highest score
triplet        truth (S, C) of 0 and 1, predictions (S, C) in 0..1, and `moments/CASE`
skill          rows (S,) as in `unisurg.tasks.skill`, and `moments/CASE`
segmentation   of the first pictures: `image/CASE`, truth (H, W) bool, predictions (H, W) in 0..1
depth          of the middle frame of the first sequences: `image/CASE`, truth and predictions
               (H, W) in mm, a truth of 0 being none
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from unisurg.evaluation.store import DENSE, pictured

# Tasks whose clips have moments in a recording.
TIMED = frozenset({"phase", "skill", "triplet"})


class Tested(Protocol):
    """A test case, of a folder of features or of the data set itself."""

    @property
    def case(self) -> str: ...

    def truth(self) -> np.ndarray: ...

    def image(self) -> np.ndarray: ...


C = TypeVar("C", bound=Tested)


def write_predictions(
    path: Path,
    task: str,
    classes: Sequence[str],
    cases: Sequence[C],
    moments: Callable[[C], np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray]],
    most_pictures: int,
) -> None:
    """Write the predictions of each encoder, one per case; equal content gives equal bytes.

    Args:
        moments: seconds (S,) at which the clips of a case are labelled.
        most_pictures: of a benchmark of pictures the first so many are kept.
    """
    pictures = task in DENSE
    arrays = {"task": np.array(task), "classes": np.array(classes)}
    for i, case in enumerate(cases[:most_pictures] if pictures else cases):
        arrays[f"truth/{case.case}"] = pictured(task, case.truth())
        for encoder, found in predictions.items():
            seen = pictured(task, found[i])
            arrays[f"{encoder}/{case.case}"] = seen.argmax(1) if task == "action" else seen
        if task in TIMED:
            arrays[f"moments/{case.case}"] = moments(case)
        if pictures:
            arrays[f"image/{case.case}"] = case.image()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)
