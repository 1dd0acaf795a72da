"""Network sizes as data: a new size is one row.

The published rows are those of V-JEPA 2 (arXiv 2506.09985), of VideoMAE's decoder (arXiv
2203.12602) and of the usual ViT family; `nano` is ours, for two cores and no accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """A transformer: `dim` features, `depth` blocks, `heads` of `dim // heads` features each.

    `mask_tokens` is how many different tokens a predictor has for hidden places; an encoder has
    none to place and leaves it at 1.
    """

    dim: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    mask_tokens: int = 1

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def hidden(self) -> int:
        """Features inside the MLP; rounded, because 48/11 cut to a few digits falls just short."""
        return round(self.dim * self.mlp_ratio)

    def __str__(self) -> str:
        return f"{self.dim} wide, {self.depth} deep, {self.heads} heads"


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
    "vjepa": Size(dim=384, depth=12, heads=12, mask_tokens=10),
}

DECODERS: dict[str, Size] = {
    "nano": Size(dim=96, depth=2, heads=4),
    "videomae": Size(dim=384, depth=4, heads=6),
}


def encoder_size(name: str) -> Size:
    """The encoder's row of that name; ValueError lists the names there are."""
    return _row(ENCODERS, name, "model.encoder")


def predictor_size(name: str) -> Size:
    """The predictor's row of that name; ValueError lists the names there are."""
    return _row(PREDICTORS, name, "model.predictor")


def decoder_size(name: str) -> Size:
    """The pixel decoder's row of that name; ValueError lists the names there are."""
    return _row(DECODERS, name, "model.decoder")


def size_name(table: dict[str, Size], size: Size) -> str | None:
    """The name of a row in a table, None where it has none."""
    return next((name for name, row in table.items() if row == size), None)


def _row(table: dict[str, Size], name: str, key: str) -> Size:
    try:
        return table[name]
    except KeyError:
        names = ", ".join(table)
        raise ValueError(f"{key}: no size named {name!r}; choose one of {names}") from None
