"""Rendered moving pictures, what copying does to them, and their frames tables, for the tests.

The motion is set so that hashes part as those of real footage do, or faster: a frame matches one
of its own video 0.25, 0.5 and 1 s away in 0.72, 0.46 and 0.29 of all places; 0.74, 0.56 and 0.41
were measured on real video (section 3.3 of the curation reference).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import pandas as pd

from unisurg.video.opencv import opencv

cv2 = opencv()

HEIGHT, WIDTH = 144, 256
TEXTURE_PX = 768
SHARES = {"phash_100": 1.0, "phash_92": 0.92, "phash_84": 0.84}
BOX_FRAMES, MOVING = 24, 3.0


class Footage:
    """An endless recording, a pure function of (seed, time): textured tissue, camera, tools."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._texture = _texture(rng)
        self._pan = _path(rng, 2, 170, (0.004, 0.16))
        self._view = _path(rng, 2, 1, (0.01, 0.12))
        self._tools = [_path(rng, 2, 70, (0.03, 0.35)) for _ in range(2)]
        self._grip = rng.uniform(0, 1, (2, 2)) * (WIDTH, HEIGHT)
        self._lull = rng.uniform(0, 2 * np.pi)

    def at(self, seconds: float) -> np.ndarray:
        """uint8 (HEIGHT, WIDTH, 3)."""
        seconds = self._own_time(seconds)
        turn, zoom = self._view(seconds)
        matrix = cv2.getRotationMatrix2D((0, 0), 12 * turn, 1.0 + 0.25 * zoom)
        centre = self._pan(seconds) + TEXTURE_PX / 2
        matrix[:, 2] = np.array([WIDTH, HEIGHT]) / 2 - matrix[:, :2] @ centre
        picture = cv2.warpAffine(
            self._texture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT_101
        )
        for path, (x, y) in zip(self._tools, self._grip, strict=True):
            tip = path(seconds) + np.array([WIDTH, HEIGHT]) / 2
            grip = (int(x), HEIGHT + 20) if y > HEIGHT / 2 else (-20, int(y))
            cv2.line(picture, grip, (int(tip[0]), int(tip[1])), (200, 205, 210), 11)
        return picture

    def _own_time(self, seconds: float) -> float:
        """Calm and busy stretches take turns: 0.1 to 3.5 times the ordinary speed."""
        pace = 2 * np.pi / 23
        return 1.8 * (seconds + 0.95 / pace * np.sin(pace * seconds + self._lull))

    def clip(self, start_s: float, seconds: float, fps: float = 1.0) -> np.ndarray:
        """uint8 (T, HEIGHT, WIDTH, 3)."""
        return np.stack([self.at(start_s + i / fps) for i in range(round(seconds * fps))])


def _texture(rng: np.random.Generator) -> np.ndarray:
    texture = np.zeros((TEXTURE_PX, TEXTURE_PX, 3), np.float32)
    for cells in (6, 12, 24, 48, 96, 192):
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        noise += 1.5 * noise[..., :1]
        texture += cv2.resize(noise, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_CUBIC) * (
            12 / cells**0.3
        )
    colour = np.array([150, 90, 80], np.float32) + rng.uniform(-25, 25, 3).astype(np.float32)
    return np.clip(texture * 2.2 + colour, 20, 235).astype(np.uint8)


def _path(
    rng: np.random.Generator, axes: int, reach: float, hertz: tuple[float, float]
) -> Callable[[float], np.ndarray]:
    """A smooth random curve through time, within about `reach` of the origin."""
    frequencies = np.exp(rng.uniform(*np.log(hertz), (axes, 6)))
    phases = rng.uniform(0, 2 * np.pi, (axes, 6))
    heights = rng.uniform(0.5, 1, (axes, 6)) / np.sqrt(frequencies)
    heights *= reach / heights.sum(axis=1, keepdims=True)
    return lambda t: (heights * np.sin(2 * np.pi * frequencies * t + phases)).sum(axis=1)


# What copying does: uint8 (T, H, W, 3) -> uint8 (T, H', W', 3).
Copying = Callable[[np.ndarray], np.ndarray]


def each(change: Callable[[np.ndarray], np.ndarray]) -> Copying:
    return lambda clip: np.stack([change(picture) for picture in clip])


def x264(crf: int) -> Copying:
    """Through a real encoder and back."""

    def copy(clip: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        height, width = (size // 2 * 2 for size in clip.shape[1:3])
        with av.open(buffer, "w", format="mp4") as container:
            stream: Any = container.add_stream("libx264", rate=1)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
            for picture in clip:
                frame = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(picture[:height, :width]), format="rgb24"
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        buffer.seek(0)
        with av.open(buffer) as container:
            return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])

    return copy


def resized(width: int, height: int) -> Copying:
    return each(lambda p: cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA))


def levels(change: Callable[[np.ndarray], np.ndarray]) -> Copying:
    """A change of values in 0..1, channel by channel."""
    changed = change(np.repeat(np.arange(256)[:, None] / 255, 3, axis=1))  # (256, 3)
    values = (np.clip(changed, 0, 1) * 255).astype(np.uint8)
    return lambda clip: np.stack([values[clip[..., c], c] for c in range(3)], axis=-1)


def barred(top: int, side: int) -> Copying:
    return lambda clip: np.pad(clip, ((0, 0), (top, top), (side, side), (0, 0)))


def cropped(share: float) -> Copying:
    """`share` of either side is lost."""

    def copy(clip: np.ndarray) -> np.ndarray:
        height, width = clip.shape[1:3]
        y, x = round(height * share / 2), round(width * share / 2)
        return clip[:, y : height - y, x : width - x]

    return copy


def round_mask(clip: np.ndarray) -> np.ndarray:
    height, width = clip.shape[1:3]
    mask = np.zeros((height, width, 1), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), round(0.45 * width), 1, -1)
    return clip * mask


def with_text(clip: np.ndarray) -> np.ndarray:
    def write(picture: np.ndarray) -> np.ndarray:
        written, height = picture.copy(), picture.shape[0]
        for text, y in (("HOSPITAL 2019-04-01", 16), ("OR 3  SMITH", height - 8)):
            cv2.putText(written, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        return written

    return each(write)(clip)


def mirrored(clip: np.ndarray) -> np.ndarray:
    return clip[:, :, ::-1]


def one_after_another(*steps: Copying) -> Copying:
    def copy(clip: np.ndarray) -> np.ndarray:
        for step in steps:
            clip = step(clip)
        return clip

    return copy


COPYINGS: dict[str, Copying] = {
    "x264 crf 28": x264(28),
    "x264 crf 36": x264(36),
    "resize": resized(160, 90),
    "anamorphic": resized(192, 144),
    "colour shift": levels(lambda v: v * (1.15, 0.95, 0.85)),
    "blur": each(lambda p: cv2.GaussianBlur(p, (0, 0), 2.0)),
    "brightness": levels(lambda v: v * 1.2),
    "gamma 0.6": levels(lambda v: v**0.6),
    "gamma 1.6": levels(lambda v: v**1.6),
    "letterbox": barred(24, 0),
    "pillarbox": barred(0, 40),
    "crop 5 %": cropped(0.05),
    "crop 10 %": cropped(0.10),
    "crop 20 %": cropped(0.20),
    "round mask": round_mask,
    "text": with_text,
    "mirror": mirrored,
    "letterbox, text, crf 30": one_after_another(barred(24, 0), with_text, x264(30)),
    "mirror, crop 10 %, crf 28": one_after_another(mirrored, cropped(0.10), x264(28)),
    "crop, gamma, resize, crf 30": one_after_another(
        cropped(0.10), levels(lambda v: v**0.8), resized(192, 108), x264(30)
    ),
}


# A clip's rows of the frames table: what the scan of a recording measures, in its simplest form.


@dataclass(frozen=True)
class Box:
    x: int
    y: int
    w: int
    h: int


def content_box(clip: np.ndarray) -> Box:
    """Where the picture moves: bars and burned-in text have no deviation over time."""
    sample = np.linspace(0, len(clip) - 1, min(BOX_FRAMES, len(clip))).astype(int)
    luma = np.stack([cv2.cvtColor(clip[i], cv2.COLOR_RGB2GRAY) for i in sample])
    moving = luma.std(axis=0) > MOVING
    (rows,) = np.nonzero(moving.mean(axis=1) > 0.1)
    (columns,) = np.nonzero(moving.mean(axis=0) > 0.1)
    if len(rows) == 0 or len(columns) == 0:
        return Box(0, 0, clip.shape[2], clip.shape[1])
    return Box(
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    )


def phash(luma: np.ndarray) -> int:
    """64 bits: the 8 x 8 lowest frequencies of 32 x 32 luma, above their median; no DC."""
    small = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = np.asarray(cv2.dct(small))[:8, :8].ravel()
    bits = low > np.sort(low[1:])[31]  # the median, without its overhead
    bits[0] = False
    return int(np.packbits(bits).view(">u8")[0])


def frames_of(video_id: str, clip: np.ndarray, fps: float = 1.0, start_s: float = 0.0) -> Any:
    """The frames table of one clip uint8 (T, H, W, 3)."""
    box, rows = content_box(clip), []
    before: np.ndarray | None = None
    for k, picture in enumerate(clip):
        whole = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY))
        luma = whole[box.y : box.y + box.h, box.x : box.x + box.w]
        histogram = np.bincount(luma.ravel(), minlength=256) / luma.size
        filled = histogram[histogram > 0]
        rows.append(
            {
                "video_id": video_id,
                "k": k,
                "pts_s": start_s + k / fps,
                **{name: phash(_central(luma, share)) for name, share in SHARES.items()},
                "phash_mirror": phash(np.ascontiguousarray(luma[:, ::-1])),
                "luma_mean": float(luma.mean()),
                "dark_frac": float((luma < 16).mean()),
                "entropy_bits": float(-(filled * np.log2(filled)).sum()),
                "diff_prev": np.nan if before is None else float(cv2.absdiff(luma, before).mean()),
            }
        )
        before = luma
    hashes = dict.fromkeys([*SHARES, "phash_mirror"], "uint64")
    return pd.DataFrame(rows).astype({"k": "int32", **hashes})


def table(parts: Sequence[Any]) -> Any:
    return pd.concat(list(parts), ignore_index=True)


def _central(luma: np.ndarray, share: float) -> np.ndarray:
    height, width = luma.shape
    y, x = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return luma[y : height - y, x : width - x]
