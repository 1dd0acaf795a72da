"""What the training store buys: `python perf/data_path.py` against random access in ordinary video.

A 5 min recording (854 x 480, 25 fps, H.264 at 3 Mb/s, a key frame every 250) is rendered, and its
seconds are stored as `unisurg shards` does, short side 256. Then clips of 16 frames at 1 fps are
read from both, cropped to 224 and left as uint8: in pairs, one thread, counted in processor time,
so that a busy machine blurs no figure. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from unisurg.progress import track
from unisurg.settings import load
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer
from unisurg.video.decode import DecordReader
from unisurg.video.opencv import opencv
from unisurg.video.shard_writer import write_shards
from unisurg.video.shards import Facts, ShardStore
from unisurg.video.store import Video
from unisurg.video.transforms import random_resized_crop

WIDTH, HEIGHT, FPS, SECONDS, GOP, BITS_PER_S = 854, 480, 25, 300, 250, 3_000_000
SCENE_S = 12  # rendered
STORED = (456, 256)  # width, height
FRAMES, CROP_PX = 16, 224
PAIRS, SHARD_CLIPS = 9, 20  # pairs of measurements; clips from shards in one of them
CLIPS_PER_S, TIMES_AS_CHEAP, MB_PER_HOUR = 80.0, 80.0, 120.0

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


def seconds_per_clip(read: Read, scale: tuple[float, float], clips: int, seed: int) -> float:
    """Processor seconds to read, crop and resize a clip, mean over `clips` random ones."""
    rng = np.random.default_rng(seed)
    start = time.process_time()
    for _ in range(clips):
        small = random_resized_crop(read(rng), CROP_PX, scale, False, rng)
        assert small.shape == (FRAMES, CROP_PX, CROP_PX, 3)
    return (time.process_time() - start) / clips


def compare(path: Path, folder: Path, scale: tuple[float, float]) -> NDArray[np.float64]:
    """Processor seconds per clip `(PAIRS, 2)`: from the recording, from shards."""
    store = ShardStore(folder)

    def from_shards(rng: np.random.Generator) -> NDArray[np.uint8]:
        return store.read(0, int(rng.integers(SECONDS - FRAMES)) + np.arange(FRAMES))

    def pair(seed: int) -> tuple[float, float]:
        # Opened outside the count, and closed so that no thread of its runs into the other's.
        with DecordReader(path) as reader:

            def from_video(rng: np.random.Generator) -> NDArray[np.uint8]:
                first = int(rng.integers((SECONDS - FRAMES) * FPS))
                return reader.read(first + FPS * np.arange(FRAMES))

            video = seconds_per_clip(from_video, scale, 1, seed)
        return video, seconds_per_clip(from_shards, scale, SHARD_CLIPS, seed)

    pair(PAIRS)  # caches, libraries
    return np.array([pair(seed) for seed in track(range(PAIRS), "pairs")])


def told(name: str, values: NDArray[np.float64], bound: str) -> None:
    low, median, high = np.quantile(values, (0, 0.5, 1))
    print(f"{name:<34} {median:9.2f}  ({low:.2f} - {high:.2f})  {bound}")


def report(seconds: NDArray[np.float64], facts: Facts) -> bool:
    """Print the figures; whether all bounds are met."""
    video, shards = seconds.T
    told("recording, ms a clip", 1000 * video, "")
    told("shards, ms a clip", 1000 * shards, "")
    told("shards, clips/s a core", 1 / shards, f"at least {CLIPS_PER_S:.0f}")
    told("times as cheap as the recording", video / shards, f"at least {TIMES_AS_CHEAP:.0f}")
    print(f"{'MB per hour of source':<34} {facts.mb_per_hour:9.2f}  at most {MB_PER_HOUR:.0f}")
    print(f"{'PSNR of JPEG, dB':<34} {facts.psnr_db:9.2f}  at quality {facts.quality}")
    return bool(
        np.median(1 / shards) >= CLIPS_PER_S
        and np.median(video / shards) >= TIMES_AS_CHEAP
        and facts.mb_per_hour <= MB_PER_HOUR
    )


def main() -> int:
    settings = load("params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch) / "film.mp4", Path(scratch) / "shards"
        film(path)
        print(f"recording: {path.stat().st_size * 8 / SECONDS / 1e6:.2f} Mb/s")
        facts = write_shards(
            Seconds(path), folder, settings.shards.quality, settings.shards.shard_mib
        )
        seconds = compare(path, folder, settings.pretrain.crop_scale)
        return 0 if report(seconds, facts) else 1


if __name__ == "__main__":
    sys.exit(main())
