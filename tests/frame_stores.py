"""Stores of frames for tests, importable by a worker: pictures in memory, and readers that die."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from unisurg.video.store import FrameStore, Video, check_frames

LENGTHS = (150, 3, 64, 65)
HEIGHT, WIDTH = 48, 80


class MemoryStore:
    """Smooth pictures; frame f of video r is like no other."""

    def __init__(self, lengths: tuple[int, ...] = LENGTHS) -> None:
        self.videos = [
            Video(f"video-{row}", f"source-{row % 2}", "surgery", n, 1.0, WIDTH, HEIGHT)
            for row, n in enumerate(lengths)
        ]
        self.digest = "memory"

    def read(self, row: int, frames: np.ndarray) -> np.ndarray:
        return np.stack([picture(row, int(f)) for f in check_frames(self.videos[row], frames)])


def picture(row: int, frame: int) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): waves whose phase is the frame's."""
    y, x, channel = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    wave = np.sin(x / 9 + 0.37 * frame + channel) + np.cos(y / 7 - 0.61 * frame + row)
    return (127.5 + 60 * wave).astype(np.uint8)


class SlowStore(MemoryStore):
    """Takes its time, so that its writer can be killed on the way."""

    def read(self, row: int, frames: np.ndarray) -> np.ndarray:
        time.sleep(0.1)
        return super().read(row, frames)


@dataclass(frozen=True)
class Deed:
    """What a worker does with a task: `kill` its own process, `stop` it, or answer `number`.

    With a `note`, a file, only the first that gets the task does it.
    """

    number: int
    kind: str = "answer"
    note: Path | None = None

    def __str__(self) -> str:
        return f"clip {self.number}"


def answer(offset: int, task: Deed) -> int:
    first = task.note is None or not task.note.exists()
    if task.note is not None:
        task.note.touch()
    if first and task.kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if first and task.kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if first and task.kind == "fail":
        raise ValueError(f"no {task}")
    return offset + task.number


def assert_reading_costs_no_memory(store: FrameStore, row: int, starts: int) -> None:
    """500 windows of 16 frames of a video, of which the first 50 may fill what is to be filled."""
    rng = np.random.default_rng(0)

    def read(times: int) -> None:
        for start in rng.integers(0, starts, times):
            store.read(row, np.arange(start, start + 16))

    process = psutil.Process()
    read(50)
    before = process.memory_info().rss, process.num_fds()
    read(450)
    assert process.memory_info().rss - before[0] < 20 << 20
    assert process.num_fds() <= before[1]
