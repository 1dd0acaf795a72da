"""Five sets of polyps as PraNet divides them: pictures of one polyp each, and their masks.

    polyps/{TrainDataset,TestDataset/SET}/{images,masks}

SET is Kvasir or CVC-ClinicDB, filmed as what is trained on; or CVC-300, CVC-ColonDB or
ETIS-LaribPolypDB, each in a world of its own that nothing is trained on. Edges of masks are hard,
soft, or grey as JPEG leaves them.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import encode_image, write_image
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.picture import STILL, polyp_picture

# World of each further test set, in the order in which their pictures are numbered.
OTHERS = {
    "CVC-ClinicDB": STILL,
    "CVC-300": "colonoscopy-pale",
    "CVC-ColonDB": "colonoscopy-brown",
    "ETIS-LaribPolypDB": "colonoscopy-violet",
}


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    parts = [
        ("TrainDataset", settings.polyp_train, STILL),
        ("TestDataset/Kvasir", settings.polyp_test, STILL),
        *((f"TestDataset/{name}", settings.polyp_others, world) for name, world in OTHERS.items()),
    ]
    jobs, number = [], 0
    for part, count, world in parts:
        for _ in range(count):
            number += 1
            folder, name = root / "polyps" / part, f"polyp{number:04d}"
            mask = folder / "masks" / f"{name}.png"
            arguments = (folder, name, world, seed_of(seed, "polyps", number))
            jobs.append(Job(mask, _write_polyp, arguments))
    return jobs


def _write_polyp(folder: Path, name: str, world: str, seed: int) -> None:
    """A picture (.jpg, one in twenty .png) and its mask, whose edge is hard, soft or JPEG's."""
    picture, cover = polyp_picture(seed, world)
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
    settings=("polyp_train", "polyp_test", "polyp_others"),
    jobs=jobs,
)
