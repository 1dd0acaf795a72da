"""Copies of benchmarks, a few seconds long, in the layouts that their owners ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from unisurg.benchmarks import cholec80 as cholec80_module
from unisurg.benchmarks import m2cai16 as m2cai16_module
from unisurg.benchmarks import pitvis as pitvis_module


def film(path: Path, seconds: int = 1, fps: int = 25) -> Path:
    """A grey video of 16 x 16 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        picture = np.full((16, 16, 3), 128, np.uint8)
        for _ in range(seconds * fps):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def empty(path: Path) -> Path:
    """A video where only its being there counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def text(path: Path, rows: Sequence[str], end: str = "\n", start: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((start + end.join(rows) + end).encode("utf-8"))
    return path


def frame_phases(
    path: Path, phases: Sequence[object], first: int = 0, delimiter: str = "\t", end: str = "\n"
) -> Path:
    """A file of `Frame Phase` rows, a row per phase, frames from `first`."""
    rows = [f"{frame}{delimiter}{phase}" for frame, phase in enumerate(phases, start=first)]
    return text(path, [f"Frame{delimiter}Phase", *rows], end)


def spread(phases: Sequence[str], frames: int) -> list[str]:
    """Every phase in turn, `frames` rows in all."""
    return [phases[frame * len(phases) // frames] for frame in range(frames)]


def cholec80(root: Path, videos: int, frames: int = 60, filmed: bool = False) -> Path:
    for number in range(1, videos + 1):
        phases = spread(cholec80_module.PHASES, frames)
        frame_phases(root / f"phase_annotations/video{number:02d}-phase.txt", phases)
        (film if filmed else empty)(root / f"videos/video{number:02d}.mp4")
    return root


def autolaparo(root: Path, videos: int = 21, base: int = 1, first: int = 1) -> Path:
    """Seven seconds per video, a phase each, numbered from `base`."""
    for number in range(1, videos + 1):
        labels = root / f"task1/labels/label_{number:02d}.txt"
        frame_phases(labels, range(base, base + 7), first, delimiter="  ")
        empty(root / f"task1/videos/{number:02d}.mp4")
    return root


def m2cai16(root: Path, train: int = 27, test: int = 14, flat: bool = False) -> Path:
    for folder, kind, count in (("train_dataset", "", train), ("test_dataset", "test_", test)):
        place = root if flat else root / folder
        for number in range(1, count + 1):
            name = f"{kind}workflow_video_{number:02d}"
            frame_phases(place / f"{name}.txt", spread(m2cai16_module.PHASES, 60), first=1)
            empty(place / f"{name}.mp4")
    return root


def pitvis(root: Path, numbers: Sequence[int] = tuple(range(1, 26))) -> Path:
    """One second per step in its order, then -1."""
    for number in numbers:
        steps = [*pitvis_module.STEPS, -1]
        rows = [f"{number},{time},{step},16,-2" for time, step in enumerate(steps)]
        header = ",".join(pitvis_module.COLUMNS)
        text(root / f"annotations_{number:02d}.csv", [header, *rows], end="\r\n")
        empty(root / f"video_{number:02d}.mp4")
    names = [f"{step},{name.replace('_', ' ')} " for step, name in pitvis_module.STEPS.items()]
    background = ["-1,operation_ended", "-1,operation_not_started", "-1,out_of_patient"]
    text(root / "map_steps.csv", ["int_step,str_step", *background, *names])
    return root


def own(root: Path, rows: Sequence[str], header: str = "video,start_s,end_s,label,split") -> Path:
    """A labels.csv, and a video of 4 seconds for every name in it."""
    text(root / "labels.csv", [header, *rows])
    for name in sorted({row.split(",")[0] for row in rows}):
        film(root / name, seconds=4, fps=5)
    return root
