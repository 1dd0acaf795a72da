"""PolypDiag as Endo-FM releases it: colonoscopy clips with and without a polyp, and two lists.

    polypdiag/{videos/NAME.mp4,splits/train.txt,splits/val.txt}

Names end in -FIRST-LAST, the frames of the source video, of which each gives two clips. A polyp
covers at least 8 % of the picture in every second of an abnormal clip; the colon of a normal one
has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unisurg.settings import Theatre
from unisurg.synthetic.exact import stream
from unisurg.synthetic.labels import frame_times
from unisurg.synthetic.layouts.clips import CLIP, draw_frames
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.layouts.workflow import film_at
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer

FPS = 30
CLIPS = 2
NORMAL, ABNORMAL = "colonoscopy-clear", "colonoscopy"
VISIBLE = 0.08
NAMES = {
    ("train.txt", 0): "indexed-train_set_normal-0_{}",
    ("train.txt", 1): "indexed-train_set_abnormal-{}_outp",
    ("val.txt", 0): "indexed-test_set-normal_test-0_{}",
    ("val.txt", 1): "indexed-test_set-abnormal_test-Images-{}",
}


@dataclass(frozen=True)
class Source:
    """A source video: the list that its clips are in, their label, first frames and lengths."""

    number: int
    table: str
    label: int
    firsts: tuple[int, ...]
    frames: tuple[int, ...]

    @property
    def clips(self) -> list[str]:
        stem = NAMES[self.table, self.label].format(self.number)
        return [f"{stem}-{a}-{a + n - 1}" for a, n in zip(self.firsts, self.frames, strict=True)]


def sources(settings: Theatre, seed: int) -> list[Source]:
    """All source videos, every other one abnormal."""
    tables = ["train.txt"] * settings.polypdiag_train + ["val.txt"] * settings.polypdiag_test
    usual = settings.clip_seconds * FPS
    result = []
    for number, table in enumerate(tables, start=1):
        rng = stream(seed_of(seed, "polypdiag", number), CLIP)
        firsts = tuple(2 * usual * i + int(rng.integers(usual // 2)) for i in range(CLIPS))
        frames = tuple(draw_frames(rng, usual) for _ in range(CLIPS))
        result.append(Source(number, table, number % 2, firsts, frames))
    return result


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "polypdiag"
    every = sources(settings, seed)
    result = [
        Job(folder / "splits" / table, _write_list, (folder / "splits" / table, every))
        for table in ("train.txt", "val.txt")
    ]
    for source in every:
        last = folder / "videos" / f"{source.clips[-1]}.mp4"
        result.append(Job(last, _write_clips, (folder, source, settings, seed)))
    return result


def _write_list(path: Path, every: list[Source]) -> None:
    clips = [(clip, s.label) for s in every if s.table == path.name for clip in s.clips]
    write_rows(path, [f"{clip}.mp4,{label}" for clip, label in clips])


def _write_clips(folder: Path, source: Source, settings: Theatre, seed: int) -> None:
    operation = explore(source, settings, seed)
    for clip, times in zip(source.clips, times_ms(source), strict=True):
        film_at(folder / "videos" / f"{clip}.mp4", operation, times, FPS, settings.small_side_px)


def times_ms(source: Source) -> list[np.ndarray]:
    """Times of each clip's frames in the source video."""
    every = frame_times(max(source.firsts) + max(source.frames), (FPS, 1))
    return [every[a : a + n] for a, n in zip(source.firsts, source.frames, strict=True)]


def explore(source: Source, settings: Theatre, seed: int) -> Operation:
    """A colonoscopy as the source's label says: the first of its seeds whose clips show enough."""
    world = ABNORMAL if source.label else NORMAL
    seconds = 2 * CLIPS * settings.clip_seconds
    attempt = seed_of(seed, "polypdiag", source.number * 100)
    while True:
        operation = Operation(world, attempt, seconds)
        if not source.label or visible(operation, source) >= VISIBLE:
            return operation
        attempt += 1


def visible(operation: Operation, source: Source) -> float:
    """Smallest share of the picture that lesions cover, over every second of the clips."""
    renderer = Renderer(operation, 64, 64)
    moments = np.concatenate([[*times[::FPS], times[-1]] for times in times_ms(source)])
    states = operation.at(moments)
    frames = (renderer.frame(states[i], states[i]) for i in range(len(states)))
    return min(float(frame.lesion.mean()) for frame in frames)


POLYPDIAG = Layout(
    name="polypdiag",
    edition=1,
    settings=("small_side_px", "clip_seconds", "polypdiag_train", "polypdiag_test"),
    jobs=jobs,
)
