"""Scenes for the tests of scanning: textures that a camera wanders over, cut, masked, framed."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from unisurg.corpus.scan.scan import ScanKnobs

WIDTH, HEIGHT = 320, 192
KNOBS = ScanKnobs(
    fps=1.0,
    cut_ratio=3.0,
    cut_content=15.0,
    min_shot_s=0.5,
    box_samples=24,
    box_std=1.5,
    median_every_s=60,
    median_frames=24,
    median_short_side_px=540,
)


def texture(seed: int, width: int = 2 * WIDTH, height: int = 2 * HEIGHT) -> np.ndarray:
    """uint8 RGB `(height, width, 3)` with detail at all scales, a colour of its own per seed."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24, 48, 96, 192):
        coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    tint = rng.uniform(80, 170, 3)
    return np.clip(tint + 70 * picture / picture.std(), 0, 255).astype(np.uint8)


def pan(
    seed: int, n_frames: int, every: int = 1, width: int = WIDTH, height: int = HEIGHT
) -> list[np.ndarray]:
    """A camera that wanders over a texture, 4 px a frame at most; of its frames every so manyth."""
    large = texture(seed, 2 * width, 2 * height)
    turns = np.arange(0, n_frames, every) / 240 * 2 * np.pi
    x = ((0.5 + 0.49 * np.sin(turns)) * width).astype(int)
    y = ((0.5 + 0.49 * np.sin(turns / 1.618 + 1)) * height).astype(int)
    return [large[t : t + height, s : s + width] for s, t in zip(x, y, strict=True)]


def letterboxed(frames: Iterable[np.ndarray], bar: int, text: str = "") -> list[np.ndarray]:
    """Frames shrunk to between black bars of `bar` px above and below, text on the upper one."""
    framed = []
    for frame in frames:
        height, width = frame.shape[:2]
        canvas = np.zeros_like(frame)
        canvas[bar : height - bar] = cv2.resize(frame, (width, height - 2 * bar))
        if text:
            cv2.putText(canvas, text, (8, bar - 6), 0, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        framed.append(canvas)
    return framed


def masked(frames: Iterable[np.ndarray], cx: float, cy: float, r: float) -> list[np.ndarray]:
    """Frames seen through a round endoscope."""
    result = []
    for frame in frames:
        mask = np.zeros(frame.shape[:2], np.uint8)
        cv2.circle(mask, (round(cx * 16), round(cy * 16)), round(r * 16), 1, -1, shift=4)
        result.append(frame * mask[..., None])
    return result


def film(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: Fraction = Fraction(25),
    stamps: Iterable[int] | None = None,
    time_base: Fraction | None = None,
    crf: int = 20,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
) -> Path:
    """Write frames, the i-th at stamps[i] * time_base, else at i / rate."""
    muxing = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=muxing) as container:
        stream = None
        for frame, stamp in zip(frames, stamps or range(1 << 30), strict=False):
            if stream is None:
                options = {"crf": str(crf), "g": "50", "preset": "ultrafast"}
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt, stream.thread_count = pix_fmt, 1
                stream.codec_context.time_base = time_base or 1 / rate
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = stamp, time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def by_the_second(path: Path, frames: Iterable[np.ndarray], **how: Any) -> Path:
    """One frame a second, where what happens between them is of no interest."""
    return film(path, frames, rate=Fraction(1), **how)
