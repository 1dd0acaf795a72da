"""Kvasir-SEG as PraNet divides it: pictures of one polyp each, and their masks.

    polyps/{TrainDataset,TestDataset/Kvasir}/{images,masks}

Edges of masks are hard, soft, or grey as JPEG leaves them.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import encode_image, write_image
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.picture import polyp_picture


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    parts = [("TrainDataset", settings.polyp_train), ("TestDataset/Kvasir", settings.polyp_test)]
    jobs, number = [], 0
    for part, count in parts:
        for _ in range(count):
            number += 1
            folder, name = root / "polyps" / part, f"polyp{number:04d}"
            mask = folder / "masks" / f"{name}.png"
            jobs.append(Job(mask, _write_polyp, (folder, name, seed_of(seed, "polyps", number))))
    return jobs


def _write_polyp(folder: Path, name: str, seed: int) -> None:
    """A picture (.jpg, one in twenty .png) and its mask, whose edge is hard, soft or JPEG's."""
    picture, cover = polyp_picture(seed)
    suffix = ".png" if seed % 20 == 0 else ".jpg"
    write_image(folder / "images" / f"{name}{suffix}", Image.fromarray(picture))
    edges = (_hard_edge, Image.fromarray, _jpeg_edge)
    write_image(folder / "masks" / f"{name}.png", edges[seed % 3](cover))


def _hard_edge(cover: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(cover > 128, 255, 0).astype(np.uint8))


def _jpeg_edge(cover: np.ndarray) -> Image.Image:
    """As in Kvasir, whose masks went through JPEG and are grey about their edges."""
    return Image.open(io.BytesIO(encode_image(_hard_edge(cover), ".jpg")))


POLYPS = Layout(
    name="polyps",
    edition=2,
    settings=("polyp_train", "polyp_test"),
    jobs=jobs,
)
