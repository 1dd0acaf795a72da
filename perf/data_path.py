"""What the training store buys: `python perf/data_path.py` against random access in ordinary video.

A 5 min recording (854 x 480, 25 fps, H.264 at 3 Mb/s, a key frame every 250) is rendered, and its
seconds are stored as `unisurg curate` does, as clean video at 1 fps, and as `unisurg shards` does,
short side 256. Then clips of 16 frames at 1 fps are read from all three, cropped to 224 and left as
uint8: side by side, one thread, counted in processor time, so that a busy machine blurs no figure.
Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.encode import write_clip
from unisurg.progress import track
from unisurg.settings import load
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer
from unisurg.video.clips import ClipStore
from unisurg.video.decode import DecordReader
from unisurg.video.opencv import opencv
from unisurg.video.shard_writer import write_shards
from unisurg.video.shards import Facts, ShardStore
from unisurg.video.store import FrameStore, Video
from unisurg.video.transforms import random_resized_crop

WIDTH, HEIGHT, FPS, SECONDS, GOP, BITS_PER_S = 854, 480, 25, 300, 250, 3_000_000
SCENE_S = 12  # rendered
STORED = (456, 256)  # width, height
FRAMES, CROP_PX = 16, 224
ROUNDS, CLIPS = 9, {"clean video": 5, "shards": 20}  # of measurements; clips in one of them
CLIPS_PER_S, MB_PER_HOUR = 80.0, 120.0
TIMES_AS_CHEAP = {"clean video": 8.0, "shards": 80.0}

Read = Callable[[np.random.Generator], NDArray[np.uint8]]


def film(path: Path) -> None:
    """The recording: a scene of some seconds there and back, with a camera's noise on top.

    Without the noise its pictures would be easier to keep than real ones.
    """
    scene = pictures()
    there_and_back = [*range(len(scene)), *range(len(scene) - 1, -1, -1)]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2, (16, HEIGHT, WIDTH, 3)).round().astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.thread_count = BITS_PER_S, 1
        stream.options = {"preset": "veryfast", "g": str(GOP), "keyint_min": str(GOP)}
        stream.options |= {"sc_threshold": "0"}
        for number in track(range(SECONDS * FPS), "film"):
            shown = scene[there_and_back[number % len(there_and_back)]]
            seen = opencv().add(shown, noise[rng.integers(len(noise))], dtype=0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        container.mux(stream.encode())


def pictures() -> list[NDArray[np.uint8]]:
    """`SCENE_S` seconds of an operation, uint8 RGB."""
    operation = Operation("laparoscopy-a", 1, SECONDS)
    renderer = Renderer(operation, HEIGHT, WIDTH)
    states = operation.at(np.arange(SCENE_S * FPS) * 1000 // FPS)
    return [renderer.rgb(states[i]) for i in track(range(SCENE_S * FPS), "pictures")]


class Seconds:
    """`FrameStore` over the seconds of the recording, at the size that curation keeps."""

    def __init__(self, path: Path) -> None:
        self.videos = [Video("film", "film", "film", SECONDS, 1.0, *STORED)]
        self.digest = "film"
        self._path = path

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        cv2 = opencv()
        with DecordReader(self._path) as reader:
            large = reader.read(frames * FPS)
        return np.stack([cv2.resize(f, STORED, interpolation=cv2.INTER_AREA) for f in large])


def clean_video(seconds: Seconds, out: Path, crf: int) -> ClipStore:
    """The seconds as a curated corpus has them, in a clip that is opened anew for every read."""

    def frames() -> Iterator[av.VideoFrame]:
        for start in range(0, SECONDS, FRAMES):
            numbers = np.arange(start, min(start + FRAMES, SECONDS))
            for picture in seconds.read(0, numbers):
                shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
                yield shown.reformat(
                    format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG"
                )

    write_clip(frames(), out, Fraction(1), crf)
    return ClipStore(seconds.videos, [out], "film")


def seconds_per_clip(read: Read, scale: tuple[float, float], clips: int, seed: int) -> float:
    """Processor seconds to read, crop and resize a clip, mean over `clips` random ones."""
    rng = np.random.default_rng(seed)
    start = time.process_time()
    for _ in range(clips):
        small = random_resized_crop(read(rng), CROP_PX, scale, False, rng)
        assert small.shape == (FRAMES, CROP_PX, CROP_PX, 3)
    return (time.process_time() - start) / clips


def compare(
    path: Path, stores: dict[str, FrameStore], scale: tuple[float, float]
) -> dict[str, NDArray[np.float64]]:
    """Processor seconds per clip `(ROUNDS,)` from the recording and from each store."""

    def from_store(store: FrameStore) -> Read:
        return lambda rng: store.read(0, int(rng.integers(SECONDS - FRAMES)) + np.arange(FRAMES))

    def measured(seed: int) -> dict[str, float]:
        # Opened outside the count, and closed so that no thread of its runs into the others'.
        with DecordReader(path) as reader:

            def from_video(rng: np.random.Generator) -> NDArray[np.uint8]:
                first = int(rng.integers((SECONDS - FRAMES) * FPS))
                return reader.read(first + FPS * np.arange(FRAMES))

            video = seconds_per_clip(from_video, scale, 1, seed)
        others = {
            name: seconds_per_clip(from_store(store), scale, CLIPS[name], seed)
            for name, store in stores.items()
        }
        return {"recording": video, **others}

    measured(ROUNDS)  # caches, libraries
    rounds = [measured(seed) for seed in track(range(ROUNDS), "rounds")]
    return {name: np.array([one[name] for one in rounds]) for name in rounds[0]}


def told(name: str, values: NDArray[np.float64], bound: str) -> None:
    low, median, high = np.quantile(values, (0, 0.5, 1))
    print(f"{name:<34} {median:9.2f}  ({low:.2f} - {high:.2f})  {bound}")


def report(seconds: dict[str, NDArray[np.float64]], facts: Facts) -> bool:
    """Print the figures; whether all bounds are met."""
    for name, values in seconds.items():
        told(f"{name}, ms a clip", 1000 * values, "")
    cheap = {name: seconds["recording"] / seconds[name] for name in TIMES_AS_CHEAP}
    for name, times in cheap.items():
        bound = f"at least {TIMES_AS_CHEAP[name]:.0f}"
        told(f"{name}, times as cheap", times, bound)
    told("shards, clips/s a core", 1 / seconds["shards"], f"at least {CLIPS_PER_S:.0f}")
    print(f"{'MB per hour of source':<34} {facts.mb_per_hour:9.2f}  at most {MB_PER_HOUR:.0f}")
    print(f"{'PSNR of JPEG, dB':<34} {facts.psnr_db:9.2f}  at quality {facts.quality}")
    return bool(
        all(np.median(times) >= TIMES_AS_CHEAP[name] for name, times in cheap.items())
        and np.median(1 / seconds["shards"]) >= CLIPS_PER_S
        and facts.mb_per_hour <= MB_PER_HOUR
    )


def main() -> int:
    settings = load("params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch) / "film.mp4", Path(scratch) / "shards"
        film(path)
        print(f"recording: {path.stat().st_size * 8 / SECONDS / 1e6:.2f} Mb/s")
        seconds = Seconds(path)
        clean = clean_video(seconds, Path(scratch) / "clean.mp4", settings.curate.quality_crf)
        facts = write_shards(seconds, folder, settings.shards.quality, settings.shards.shard_mib)
        stores: dict[str, FrameStore] = {"clean video": clean, "shards": ShardStore(folder)}
        measured = compare(path, stores, settings.pretrain.crop_scale)
        return 0 if report(measured, facts) else 1


if __name__ == "__main__":
    sys.exit(main())
