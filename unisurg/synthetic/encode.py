"""Writing video files: pictures in, a finished file out, or none.

One encoder thread and no dates or random identifiers make the bytes repeatable on one machine, up
to x264 itself, which may encode the same pictures differently: seldom at 256 pixels, often at 32.
The renderer pins the pixels; the repository pins the encoded bytes by their hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi"}
PRESET = "medium"
CRF = 31  # of the theatre's videos
MPEG4_BITS_PER_S = 100_000
AUDIO_HZ = 16_000
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Encoding:
    """How a recording is stored."""

    suffix: str
    codec: str
    rate: Fraction
    crf: int
    audio: bool = False
    variable: bool = False  # a variable frame rate: frames are stamped in milliseconds

    @property
    def tick(self) -> Fraction:
        """Seconds per unit of a presentation time."""
        return MILLISECOND if self.variable else 1 / self.rate


def write_video(
    path: Path, pictures: Iterable[np.ndarray], times_ms: np.ndarray, encoding: Encoding
) -> None:
    """Encode (H, W, 3) uint8 pictures, shown at `times_ms`; aside first, then renamed to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    options = {"fflags": "+bitexact"}  # no random identifiers, no date
    kind = CONTAINERS[encoding.suffix]
    with av.open(str(aside), "w", format=kind, container_options=options) as container:
        _encode(container, pictures, times_ms, encoding)
    aside.replace(path)


def _encode(
    container: av.container.OutputContainer,
    pictures: Iterable[np.ndarray],
    times_ms: np.ndarray,
    encoding: Encoding,
) -> None:
    stream = None
    sound = _open_audio(container) if encoding.audio else None
    for number, picture in enumerate(pictures):
        if stream is None:
            stream = _open_video(container, picture.shape, encoding)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = int(times_ms[number]) if encoding.variable else number
        frame.time_base = encoding.tick
        container.mux(stream.encode(frame))
    if stream is not None:
        container.mux(stream.encode())
    if sound is not None:
        _write_silence(container, sound, int(times_ms[-1]))


def _open_video(
    container: av.container.OutputContainer, shape: tuple[int, ...], encoding: Encoding
) -> av.VideoStream:
    options = {"crf": str(encoding.crf), "preset": PRESET} if encoding.codec == "libx264" else {}
    stream = container.add_stream(encoding.codec, rate=encoding.rate, options=options)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = encoding.tick
    stream.codec_context.thread_count = 1
    if encoding.codec == "mpeg4":
        stream.codec_context.bit_rate = MPEG4_BITS_PER_S
    return stream


def _open_audio(container: av.container.OutputContainer) -> av.AudioStream:
    stream = container.add_stream("aac", rate=AUDIO_HZ, layout="mono")
    stream.codec_context.thread_count = 1
    return stream


def _write_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, length_ms: int
) -> None:
    size = 1024
    for start in range(0, length_ms * AUDIO_HZ // 1000, size):
        silence = np.zeros((1, size), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, start, Fraction(1, AUDIO_HZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
