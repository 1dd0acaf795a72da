"""Splits by a hash: the part of a group follows from its name alone.

Whatever else a copy holds, a group falls into the same part on every machine and in every copy; a
list that grows or loses videos moves nothing from train to test. The hash is sha256, because
Python's own `hash` of a string differs from process to process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from unisurg.benchmarks.findings import Findings
from unisurg.benchmarks.splits import PARTS, Part


def position(name: str) -> float:
    """Where a name falls in [0, 1): the first 48 bits of its sha256 as a binary fraction."""
    digest = hashlib.sha256(name.encode("utf-8")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True)
class HashSplit:
    """A split by shares of [0, 1): first train, then val, the rest test."""

    note: str
    train: float
    val: float
    refit: bool = False

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        parts = {name: self._part(position(name)) for name in stated}
        for part in PARTS:
            if part not in parts.values():
                findings.error(
                    findings.root,
                    f"none of the {len(parts)} groups falls into {part}",
                    "a split by hash needs more groups: complete the copy or choose another split",
                )
                return {}
        return parts

    def _part(self, place: float) -> Part:
        return "train" if place < self.train else "val" if place < self.train + self.val else "test"


@dataclass(frozen=True)
class HashedValidation:
    """The train and test that the copy states; a share `val` of its training groups becomes val."""

    note: str
    val: float
    refit: bool = False

    def assign(self, stated: Mapping[str, Part | None], findings: Findings) -> dict[str, Part]:
        train = [name for name, part in stated.items() if part == "train"]
        val = {name for name in train if position(name) < self.val}
        if not 0 < len(val) < len(train):
            findings.error(
                findings.root,
                f"{len(val)} of {len(train)} training groups fall into val",
                "a split by hash needs more groups: complete the copy",
            )
            return {}
        return {
            name: "val" if name in val else part
            for name, part in stated.items()
            if part is not None
        }
