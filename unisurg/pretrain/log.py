"""What a run leaves for the reader: one row per step, and pictures of masks and motion."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Row = dict[str, float]

COLUMNS = (
    "step",
    "loss",
    "motion",
    "affinity",
    "diversity",
    "lr",
    "ema",
    "grad_norm",
    "clips_per_s",
    "seconds",
    "rank_me",
    "feature_std",
    "token_cosine",
    "temporal_cosine",
)


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """`history.csv`: a row per step; a value that was not measured at a step is left blank."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in row.items()} for row in rows)


def write_pictures(folder: Path, pictures: Mapping[str, NDArray]) -> None:
    """`pictures.npz`: `clip` uint8 (P, T, H, W, 3), `mask` bool and `motion` float (P, t, h, w)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "pictures.npz", allow_pickle=False, **pictures)


def _short(value: float) -> float | int:
    return int(value) if float(value).is_integer() and abs(value) < 1e9 else float(f"{value:.6g}")
