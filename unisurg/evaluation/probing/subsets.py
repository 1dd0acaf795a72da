"""Nested subsets of training cases, for curves of how much labelled data an encoder needs.

Whole cases are taken, never single clips: the clips of one operation say much the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def nested_subset(cases: Sequence[str], fraction: float, seed: int) -> tuple[str, ...]:
    """A share of the cases, at least one, in the order they were given.

    For one seed a smaller fraction is contained in every larger one, and 1 is everything. The
    choice depends on the names alone, not on their order, the machine or the version of a library,
    and a case that is added later changes no two others' order.

    Args:
        cases: names of the training cases.
        fraction: in (0, 1]; the number of cases is rounded to the nearest, halves to even.
        seed: another seed draws another series of subsets.

    Raises:
        ValueError: no cases, a name that occurs twice, or a fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of {fraction} of the training cases; it must be in (0, 1]")
    if not cases:
        raise ValueError("there are no training cases to choose from; check the split")
    if len(set(cases)) < len(cases):
        twice = next(case for case in cases if cases.count(case) > 1)
        raise ValueError(f"training case {twice!r} occurs twice; names must be unique")
    order = sorted(cases, key=lambda case: sha256(f"{seed}/{case}".encode()).digest())
    chosen = set(order[: subset_size(len(cases), fraction)])
    return tuple(case for case in cases if case in chosen)


def subset_size(cases: int, fraction: float) -> int:
    """How many of the cases a share is: rounded to the nearest, halves to even, at least one."""
    return max(1, round(fraction * cases))
