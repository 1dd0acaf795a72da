"""What triplets are made of: instrument, verb and target, as their names say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unisurg.tasks.base import TaskError
from unisurg.tasks.triplet_metrics import Components

NULL_VERB = "null_verb"


@dataclass(frozen=True, eq=False)
class TripletParts:
    """`of` (C, 3) int64 numbers instrument, verb and target of each of C triplets.

    A part's numbers are in the order in which the triplets first name it. The last `nulls` triplets
    are an instrument that does nothing.
    """

    of: np.ndarray
    nulls: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many instruments, verbs and targets there are."""
        i, v, t = (self.of.max(0) + 1).tolist()
        return i, v, t

    @property
    def components(self) -> Components:
        """Class (C,) of each triplet in `i`, `v`, `t`, `iv`, `it` and `ivt`."""
        i, v, t = self.of.T
        _, verbs, targets = self.sizes
        pairs = {"iv": i * verbs + v, "it": i * targets + t}
        return {"i": i, "v": v, "t": t, **pairs, "ivt": np.arange(len(self.of))}


def parts_of(names: Sequence[str]) -> TripletParts:
    """Parts of triplets that are called `instrument,verb,target`.

    Raises:
        TaskError: a name has other than three parts, or one that does nothing is not among the
            last.
    """
    parts = [tuple(name.split(",")) for name in names]
    for name, of_name in zip(names, parts, strict=True):
        if len(of_name) != 3:
            raise TaskError(f"class {name!r} is no triplet; name it instrument,verb,target")
    nothing = [verb == NULL_VERB for _, verb, _ in parts]
    nulls = sum(nothing)
    if not all(nothing[len(names) - nulls :]):
        raise TaskError(f"triplets of {NULL_VERB} must be the last classes; list them so")
    columns = [_numbered(column) for column in zip(*parts, strict=True)]
    return TripletParts(np.stack(columns, axis=1), nulls)


def _numbered(names: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])
