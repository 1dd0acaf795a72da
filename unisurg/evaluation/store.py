"""The folder of frozen features of one benchmark: all that a probe needs, without the raw data.

    index.json                  facts of the benchmark and a row per case
    truth/CASE.npz              `labels` (S,) int64, or `mask` (H, W) bool and, for tests, `image`
    VARIANT/CASE.npy            tokens (S, t, h, w, D) of S clips, a variant per encoder

Variants are `pretrained` and `random-K`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import Part

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class StoredCase:
    """One case in the folder `root`."""

    root: Path
    case: str
    split: Part

    def tokens(self, variant: str) -> np.ndarray:
        """Tokens (S, t, h, w, D), mapped from disk, of the encoder `variant`."""
        return np.load(tokens_path(self.root, variant, self.case), mmap_mode="r")

    def truth(self) -> np.ndarray:
        """Labels (S,) int64 of a video, mask (H, W) bool of a picture."""
        with np.load(truth_path(self.root, self.case)) as arrays:
            return arrays["labels"] if "labels" in arrays else arrays["mask"]

    def image(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a test picture."""
        with np.load(truth_path(self.root, self.case)) as arrays:
            return arrays["image"]


@dataclass(frozen=True)
class Index:
    """What `index.json` says about the benchmark; `encoders` maps each variant to its digest."""

    benchmark: str
    task: str
    split: str
    refit: bool
    unit: str
    main: str
    classes: tuple[str, ...]
    size_px: int
    encoders: dict[str, str]


@dataclass(frozen=True)
class Store:
    index: Index
    _cases: tuple[StoredCase, ...]

    def cases(self, part: Part) -> list[StoredCase]:
        """Cases of one part of the split, in the order of the benchmark."""
        return [case for case in self._cases if case.split == part]


def read(root: Path) -> Store:
    """Open a folder of features.

    Raises:
        FileNotFoundError: the folder is missing or the extraction did not finish.
    """
    path = root / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no finished features here; run the stage `features`")
    facts = json.loads(path.read_text(encoding="utf-8"))
    rows = facts.pop("cases")
    index = Index(**{**facts, "classes": tuple(facts["classes"])})
    cases = (StoredCase(root, row["case"], row["split"]) for row in rows)
    return Store(index, tuple(cases))


def write_index(root: Path, index: Index, cases: Sequence[StoredCase]) -> None:
    """Write `index.json`; equal content gives equal bytes."""
    rows = [{"case": case.case, "split": case.split} for case in cases]
    text = json.dumps({**asdict(index), "cases": rows}, indent=1)
    (root / "index.json").write_text(text + "\n", encoding="utf-8")


def write_truth(root: Path, case: str, **arrays: np.ndarray) -> None:
    """Write the truth of a case; equal content gives equal bytes."""
    path = truth_path(root, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def tokens_path(root: Path, variant: str, case: str) -> Path:
    return root / variant / f"{case}.npy"


def truth_path(root: Path, case: str) -> Path:
    return root / "truth" / f"{case}.npz"
