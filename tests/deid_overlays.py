"""Pictures without text, and text planted into them as recorders and editors burn it in.

Text does not move while the picture behind it does. Blending commutes with the median over time
and scales the deviation, so planting into a median and its deviation is exact:
median(a c + (1 - a) x) = a c + (1 - a) median(x), deviation likewise without the constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSans-Oblique.ttf",
)
NAMES = ("Anna Schmidt", "O'Brien, Sean", "Lefebvre Marie", "GARCIA LOPEZ JUAN", "Nguyen Thi Mai")
WORDS = (
    "White balance",
    "Zoom x1.5",
    "KARL STORZ",
    "Gain +2",
    "REC",
    "Irrigation 40 mmHg",
    "30 deg",
)
COLOURS = ((255, 255, 255), (255, 255, 0), (0, 255, 0), (0, 255, 255), (200, 200, 200))
STYLES = ("plain", "shadow", "outline", "boxed", "faint")


@dataclass(frozen=True)
class Scene:
    """What a minute without text leaves behind."""

    median: np.ndarray  # uint8 (h, w, 3)
    spread: np.ndarray  # float32 (h, w), standard deviation of luma over time


@dataclass(frozen=True)
class Planted:
    scene: Scene
    ink: np.ndarray  # bool (h, w), pixels that the text's strokes change
    text: str
    personal: bool
    style: str


def scene_of(frames: np.ndarray) -> Scene:
    """The scene of frames (N, h, w, 3) uint8."""
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return Scene(np.median(frames, axis=0).astype(np.uint8), luma.std(0, dtype=np.float32))


def theatre(world: str, minutes: int, height: int, width: int, n_frames: int = 9) -> list[Scene]:
    """Successive minutes of the embedded theatre, `n_frames` standing for each."""
    from unisurg.synthetic.operation import Operation
    from unisurg.synthetic.render import Renderer

    operation = Operation(world, seed=5, seconds=60 * minutes)
    renderer = Renderer(operation, height, width)
    times_ms = np.linspace(0, 60_000 * minutes - 1, n_frames * minutes).astype(np.int64)
    states = operation.at(times_ms)
    frames = np.stack([renderer.rgb(states[i]) for i in range(len(times_ms))])
    return [scene_of(part) for part in np.split(frames, minutes)]


def line(rng: np.random.Generator) -> tuple[str, bool]:
    """(one line of text, whether it is personal data)."""
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1935, 2025)
    number = int(rng.integers(100_000, 99_999_999))
    name = str(rng.choice(NAMES))
    personal = (
        f"Patient: {name}",
        f"{name} {day:02d}.{month:02d}.{year}",
        f"DOB {year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year} {rng.integers(24):02d}:{rng.integers(60):02d}",
        f"ID {number}",
        f"MRN: {number}",
        "St. Mary Hospital",
        "Universitätsklinikum Bonn",
        f"Dr. {name.split()[0]}",
    )
    if rng.random() < 0.7:
        return str(rng.choice(personal)), True
    return str(rng.choice(WORDS)), False


def plant(scene: Scene, rng: np.random.Generator, heights: tuple[float, float]) -> Planted:
    """Burn one line into a scene, letters `heights` (least, most) of the short side high."""
    height, width = scene.median.shape[:2]
    text, personal = line(rng)
    style = str(rng.choice(STYLES))
    letter_px = max(6.0, float(rng.uniform(*heights)) * min(height, width))
    strokes = _strokes(text, letter_px, rng)
    shrink = min(1.0, 0.9 * width / strokes.shape[1])
    if shrink < 1:
        strokes = cv2.resize(strokes, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    alpha = np.zeros((height, width), np.float32)
    top, left = _place(rng, (height, width), strokes.shape)
    alpha[top : top + strokes.shape[0], left : left + strokes.shape[1]] = strokes
    return Planted(_burnt(scene, alpha, style, rng), alpha > 0.5, text, personal, style)


def covered(planted: Planted, rectangles_px: np.ndarray) -> float:
    """Share of the text's strokes below rectangles (R, 4) of x0, y0, x1, y1 pixels."""
    bare = planted.ink.copy()
    for x0, y0, x1, y1 in rectangles_px:
        bare[y0:y1, x0:x1] = False
    return 1 - float(bare.sum() / planted.ink.sum())


def _strokes(text: str, letter_px: float, rng: np.random.Generator) -> np.ndarray:
    """Cover 0..1 of a line with capitals about `letter_px` high, cropped to its ink and a rim."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(folder / str(rng.choice(FONTS))), round(letter_px / 0.73))
    left, top, right, bottom = font.getbbox(text)
    rim = max(3, round(letter_px / 3))
    size = int(right - left) + 2 * rim, int(bottom - top) + 2 * rim
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).text((rim - left, rim - top), text, fill=255, font=font)
    return np.asarray(picture, np.float32) / 255


def _place(
    rng: np.random.Generator, picture: tuple[int, int], text: tuple[int, ...]
) -> tuple[int, int]:
    """Mostly near an edge, as recorders do it; sometimes anywhere."""
    free = picture[0] - text[0], picture[1] - text[1]
    if rng.random() < 0.3:
        return int(rng.integers(free[0] + 1)), int(rng.integers(free[1] + 1))
    inset = rng.uniform(0.0, 0.05, 2) * free
    far = rng.random(2) < 0.5
    top, left = (int(f - i) if end else int(i) for f, i, end in zip(free, inset, far, strict=True))
    return top, left


def _burnt(scene: Scene, alpha: np.ndarray, style: str, rng: np.random.Generator) -> Scene:
    median, spread = scene.median.astype(np.float32), scene.spread.copy()
    colour = np.asarray(COLOURS[int(rng.integers(len(COLOURS)))], np.float32)
    grow = max(1, round(min(alpha.shape) / 300))
    ink = alpha > 0.05
    dark = np.zeros_like(alpha)
    if style == "shadow":
        dark = np.roll(alpha, (grow, grow), (0, 1)) * 0.8
    elif style == "outline":
        dark = cv2.dilate(alpha, np.ones((2 * grow + 1, 2 * grow + 1)))
    elif style == "boxed":
        rows, columns = np.nonzero(ink)
        pad = 3 * grow
        box = [rows.min() - pad, rows.max() + pad, columns.min() - pad, columns.max() + pad]
        y0, y1, x0, x1 = (max(0, int(side)) for side in box)
        dark[y0:y1, x0:x1] = 1.0 if rng.random() < 0.5 else 0.6
    elif style == "faint":
        colour = np.full(3, 255.0, np.float32)
        alpha = alpha * float(rng.uniform(0.55, 0.75))
    for cover, tone in ((dark, np.zeros(3, np.float32)), (alpha, colour)):
        median += cover[..., None] * (tone - median)
        spread *= 1 - cover
    quality = [cv2.IMWRITE_JPEG_QUALITY, 80]
    coded = cv2.imencode(".jpg", np.round(median).astype(np.uint8)[..., ::-1], quality)[1]
    return Scene(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1], spread)
