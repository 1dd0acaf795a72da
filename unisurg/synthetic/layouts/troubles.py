"""Recordings that curation has to act on, one of each kind, so that a first run shows what it does.

    corpus/<source>/trouble-<kind>.mp4

Each is rendered from an operation of the theatre and then spoilt: copied, written on, edited,
interrupted. What should become of it stands in its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from unisurg.settings import Theatre
from unisurg.synthetic.encode import CRF, Encoding, write_video
from unisurg.synthetic.layouts import cholec80
from unisurg.synthetic.layouts.jobs import Job, seed_of
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer

Picture = np.ndarray
Spoil = Callable[[Iterator[Picture], int], Iterator[Picture]]
"""(pictures (H, W, 3) uint8, how many there are) -> as many."""

UNKNOWN_SOURCE = "hospital-without-a-row"
PERSONAL = ("MUELLER, HANS", "12.03.1961")
TITLE = ("AN EDITED", "RECORDING", "PART 1")


@dataclass(frozen=True)
class Trouble:
    """What is rendered, and how it is spoilt."""

    source: str
    kind: str
    operation: Callable[[Theatre, int], Operation]
    spoil: Spoil
    becomes: tuple[str, ...]
    """States of its seconds once curation has acted, see `unisurg.corpus.intervals.State`."""

    @property
    def path(self) -> str:
        return f"corpus/{self.source}/trouble-{self.kind}.mp4"


def _case(number: int, world: str) -> Callable[[Theatre, int], Operation]:
    """The operation of the corpus' recording of that number, or a new one beyond the last."""

    def made(settings: Theatre, seed: int) -> Operation:
        return Operation(world, seed_of(seed, "corpus", number), settings.corpus_seconds)

    return made


def _last_test_video(settings: Theatre, seed: int) -> Operation:
    return cholec80.operation(settings.phase_videos, seed)


def mirrored(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    """Left is right, and the margins are cut off."""
    for picture in pictures:
        rows, columns = (side // 16 for side in picture.shape[:2])
        yield np.ascontiguousarray(picture[rows:-rows, columns:-columns][:, ::-1])


def darker(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    for picture in pictures:
        yield picture // 8 * 7


def written_on(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    """A patient's data in the corner of every picture."""
    for picture in pictures:
        yield _with_lines(picture, PERSONAL, scale=max(picture.shape[0] // 128, 1), top=4)


def interrupted(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    """Black for a ninth of the time, later still for two ninths, then out of focus for one."""
    still = None
    for number, picture in enumerate(pictures):
        ninth = 9 * number // count
        still = picture if still is None or ninth not in (4, 5) else still
        if ninth == 1:
            yield np.zeros_like(picture)
        elif ninth in (4, 5):
            yield still
        elif ninth == 7:
            image = Image.fromarray(picture).filter(ImageFilter.BoxBlur(picture.shape[0] // 16))
            yield np.asarray(image)
        else:
            yield picture


def titled(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    """A title for a fifth of the time, and two cuts, to a view from the other side and back."""
    for number, picture in enumerate(pictures):
        tenth = 10 * number // count
        if tenth < 2:
            card = np.full_like(picture, 40)
            yield _with_lines(card, TITLE, scale=max(picture.shape[0] // 64, 1), top=None)
        elif tenth in (5, 6):
            yield np.ascontiguousarray(picture[::-1, ::-1])
        else:
            yield picture


def unchanged(pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
    yield from pictures


TROUBLES = (
    Trouble(
        "laparoscopy-b",
        "mirrored-copy",
        _case(0, "laparoscopy-a"),
        mirrored,
        ("duplicate",),
    ),
    Trouble(
        "laparoscopy-a",
        "test-video",
        _last_test_video,
        darker,
        ("leak",),
    ),
    Trouble(
        "colonoscopy",
        "patient-data",
        _case(9001, "colonoscopy"),
        written_on,
        ("keep",),
    ),
    Trouble(
        "arthroscopy",
        "interrupted",
        _case(9002, "arthroscopy"),
        interrupted,
        ("keep", "black", "keep", "frozen", "keep", "blur", "keep"),
    ),
    Trouble(
        "laparoscopy-a",
        "edited",
        _case(9003, "laparoscopy-a"),
        titled,
        ("nonsurgical", "keep", "keep", "keep"),
    ),
    Trouble(
        UNKNOWN_SOURCE,
        "nobody-vouches",
        _case(9004, "laparoscopy-b"),
        unchanged,
        ("refused",),
    ),
)


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    return [
        Job(root / trouble.path, _write, (root, trouble.kind, settings, seed))
        for trouble in TROUBLES
    ]


def _write(root: Path, kind: str, settings: Theatre, seed: int) -> None:
    (trouble,) = (one for one in TROUBLES if one.kind == kind)
    operation = trouble.operation(settings, seed)
    renderer = Renderer(operation, settings.side_px, settings.side_px)
    count = settings.corpus_seconds * settings.corpus_fps
    times = np.arange(count, dtype=np.int64) * 1000 // settings.corpus_fps
    states = operation.at(times)
    pictures = trouble.spoil((renderer.rgb(states[i]) for i in range(count)), count)
    encoding = Encoding(".mp4", "libx264", Fraction(settings.corpus_fps), CRF)
    write_video(root / trouble.path, pictures, times, encoding)


def _with_lines(picture: Picture, lines: tuple[str, ...], scale: int, top: int | None) -> Picture:
    """Lines of Pillow's bitmap letters, each pixel a square, on a black ground; in the middle where
    no top is given."""
    font = ImageFont.load_default_imagefont()
    width = max(font.getbbox(line)[2] for line in lines)
    ground = Image.new("L", (int(width) + 2, 12 * len(lines) + 2), 0)
    pen = ImageDraw.Draw(ground)
    for number, line in enumerate(lines):
        pen.text((1, 1 + 12 * number), line, fill=255, font=font)
    block = np.repeat(np.repeat(np.asarray(ground), scale, 0), scale, 1)
    height, width = (min(a, b) for a, b in zip(block.shape, picture.shape, strict=False))
    row = (picture.shape[0] - height) // 2 if top is None else min(top, picture.shape[0] - height)
    column = (picture.shape[1] - width) // 2
    picture = picture.copy()
    picture[row : row + height, column : column + width] = block[:height, :width, None]
    return picture
