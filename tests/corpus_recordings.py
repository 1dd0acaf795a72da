"""Small recordings whose frames show their own number, healthy and broken, made for the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

BITS = 10
WIDTH, HEIGHT = 160, 96


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 (H, W, 3): `number` as BITS upright bars, black for 0 and white for 1."""
    edges = np.linspace(0, width, BITS + 1).astype(int)
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            picture[:, edges[bit] : edges[bit + 1]] = 255
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that `numbered` drew, whatever the size of the picture (H, W, 3)."""
    edges = np.linspace(0, picture.shape[1], BITS + 1)
    centres = ((edges[:-1] + edges[1:]) / 2).astype(int)
    bars = picture[:, centres].mean(axis=(0, 2)) > 127
    return int(sum(1 << bit for bit in range(BITS) if bars[bit]))


def write_video(
    path: Path,
    stamps: Sequence[int],
    time_base: Fraction,
    *,
    rate: Fraction = Fraction(25),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "libx264",
    aspect: Fraction | None = None,
    rotation: int = 0,
    sound: bool = False,
    title: str = "",
    options: dict[str, str] | None = None,
    faststart: bool = True,
) -> Path:
    """Write a video whose i-th frame shows the number i at time stamps[i] * time_base."""
    path.parent.mkdir(parents=True, exist_ok=True)
    muxing = {"movflags": "+faststart"} if faststart and path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=muxing) as container:
        container.metadata.update({"title": title} if title else {})
        stream = container.add_stream(codec, rate=rate, options=options or {"g": "12"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        audio: Any = container.add_stream("aac", rate=16000) if sound else None
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            frame.pts, frame.time_base = stamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _write_silence(container, audio, seconds=float(stamps[-1] * time_base))
    return path


def constant(path: Path, fps: float, n_frames: int, **how: Any) -> Path:
    """A video of constant rate; 29.97 stands for 30000/1001."""
    rate = Fraction(30000, 1001) if fps == 29.97 else Fraction(str(fps))
    return write_video(path, range(n_frames), 1 / rate, rate=rate, **how)


def sound_only(path: Path, seconds: float = 3.0) -> Path:
    with av.open(str(path), "w") as container:
        _write_silence(container, container.add_stream("aac", rate=16000), seconds)
    return path


def write_pictures(
    folder: Path, names: Sequence[str], size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """Pictures that show 0, 1, 2, ... in the order of `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(numbered(number, *size)).save(folder / name)
    return folder


def cut(source: Path, target: Path, share: float) -> Path:
    """The first `share` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def flip_bits(source: Path, target: Path, flips: int, seed: int = 0) -> Path:
    """The file with single bits turned over, in its second half: behind header and index."""
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(len(data) // 2, len(data), flips):
        data[place] ^= 1 << int(rng.integers(8))
    target.write_bytes(data)
    return target


def _write_silence(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, int(16000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


# What a decoder can do to its process. They run in children, which import this module.


def add(a: int, b: int) -> int:
    return a + b


def fail(text: str) -> None:
    raise ValueError(text)


def fail_strangely() -> None:
    class Local(Exception):
        pass

    raise Local("does not pickle")


def hang() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    while True:
        time.sleep(60)


def die_by(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(status: int) -> None:
    os.write(2, b"last words\n")
    os._exit(status)


def swallow_memory() -> int:
    return len(bytearray(8 << 30))


def own_pid_then_hang(note: Path) -> None:
    note.write_text(str(os.getpid()))
    hang()


def hanging_listing(**how: Any) -> None:
    hang()


def greedy_listing(**how: Any) -> int:
    return swallow_memory()


def troubled_read_video(raw: Path, **how: Any) -> Any:
    """`read_video`, but a recording called hang, crash or greedy does just that."""
    from unisurg.corpus.normalise import read_video

    if raw.stem == "hang":
        hang()
    if raw.stem == "crash":
        die_by(signal.SIGSEGV)
    if raw.stem == "greedy":
        swallow_memory()
    return read_video(raw=raw, **how)
