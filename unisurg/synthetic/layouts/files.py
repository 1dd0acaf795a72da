"""Files that are complete or absent: written aside first, then renamed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

JPEG_QUALITY = 85
WINDOWS = "\r\n"


def encode_image(image: Image.Image, suffix: str, quality: int = JPEG_QUALITY) -> bytes:
    """The bytes of a .png, or for any other suffix of a JPEG."""
    buffer = io.BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_image(path: Path, image: Image.Image, quality: int = JPEG_QUALITY) -> None:
    write_bytes(path, encode_image(image, path.suffix, quality))


def write_rows(path: Path, rows: Sequence[str], end: str = "\n") -> None:
    """A text file of these lines, each with its end."""
    write_text(path, end.join(rows) + end)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)
