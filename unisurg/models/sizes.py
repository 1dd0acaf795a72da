"""Network sizes as data: a new size is one row.

The published rows are those of V-JEPA 2 (arXiv 2506.09985) and of the usual ViT family; `nano` is
ours, for two cores and no accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """A transformer: `dim` features, `depth` blocks, `heads` of `dim // heads` features each."""

    dim: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


ENCODERS: dict[str, Size] = {
    "nano": Size(dim=128, depth=6, heads=4),
    "tiny": Size(dim=192, depth=12, heads=3),
    "small": Size(dim=384, depth=12, heads=6),
    "base": Size(dim=768, depth=12, heads=12),
    "large": Size(dim=1024, depth=24, heads=16),
    "huge": Size(dim=1280, depth=32, heads=16),
    "giant": Size(dim=1408, depth=40, heads=22, mlp_ratio=48 / 11),
}

PREDICTORS: dict[str, Size] = {
    "nano": Size(dim=96, depth=3, heads=4),
    "vjepa": Size(dim=384, depth=12, heads=12),
}


def encoder_size(name: str) -> Size:
    """The encoder's row of that name; ValueError lists the names there are."""
    return _row(ENCODERS, name, "model.encoder")


def predictor_size(name: str) -> Size:
    """The predictor's row of that name; ValueError lists the names there are."""
    return _row(PREDICTORS, name, "model.predictor")


def _row(table: dict[str, Size], name: str, key: str) -> Size:
    try:
        return table[name]
    except KeyError:
        names = ", ".join(table)
        raise ValueError(f"{key}: no size named {name!r}; choose one of {names}") from None
