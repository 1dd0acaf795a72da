"""Short operations of workflow benchmarks, and filming them.

A benchmark's file says its world, the motif of each of its classes and in what files labels lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from unisurg.settings import Theatre
from unisurg.synthetic.encode import CRF, Encoding, write_video
from unisurg.synthetic.exact import stream
from unisurg.synthetic.labels import frame_times
from unisurg.synthetic.layouts.files import write_image
from unisurg.synthetic.motifs import REPERTOIRE, motif
from unisurg.synthetic.operation import Operation, States
from unisurg.synthetic.render import Renderer
from unisurg.synthetic.scripts import fill, usual_order

SETTINGS = ("small_side_px", "small_videos", "small_seconds")
SPREAD = 20  # videos are up to a 20th longer or shorter than `small_seconds`
PICTURE_QUALITY = 65
LENGTH, SCRIPT = 2, 3


def operate(
    world: str,
    seed: int,
    number: int,
    names: Sequence[str],
    settings: Theatre,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> Operation:
    """Operation `number` of a benchmark whose steps are these motifs, in their usual order.

    Args:
        before, after: motifs that are played for a shorter time around them.
    """
    spread = settings.small_seconds // SPREAD
    seconds = settings.small_seconds + int(stream(seed, LENGTH).integers(-spread, spread + 1))
    rng = stream(seed, SCRIPT)
    order = [names[step] for step in usual_order(rng, number, len(names))]
    motifs, first, last = ([motif(name) for name in part] for part in (order, before, after))
    return Operation(world, seed, seconds, script=fill(rng, motifs, seconds * 1000, first, last))


def played(states: States) -> list[str]:
    """Name of the motif that is played at each of N instants."""
    return [REPERTOIRE[phase].name for phase in states.phase]


def film(path: Path, operation: Operation, fps: int, side: int) -> States:
    """Write the whole operation as a video, and give the state at each of its frames."""
    times = frame_times(operation.seconds * fps, (fps, 1))
    return film_at(path, operation, times, fps, side)


def film_at(path: Path, operation: Operation, times_ms: np.ndarray, fps: int, side: int) -> States:
    """Write the operation at these times as the frames of a video of `fps` frames per second."""
    states = operation.at(times_ms)
    shoot(path, operation, states, side, Encoding(".mp4", "libx264", Fraction(fps), CRF))
    return states


def shoot(path: Path, operation: Operation, states: States, side: int, encoding: Encoding) -> None:
    """Write these states of the operation as the frames of a video."""
    renderer = Renderer(operation, side, side)
    pictures = (renderer.rgb(states[i]) for i in range(len(states)))
    write_video(path, pictures, frame_times(len(states), (int(encoding.rate), 1)), encoding)


def photograph(paths: Sequence[Path], operation: Operation, side: int) -> States:
    """Write a picture of every second of the operation, and give the state at each."""
    renderer = Renderer(operation, side, side)
    states = operation.at(frame_times(len(paths), (1, 1)))
    for i, path in enumerate(paths):
        write_image(path, Image.fromarray(renderer.rgb(states[i])), PICTURE_QUALITY)
    return states


def part_of(number: int, count: int) -> str:
    """Train, val or test of video `number`, counted from 1: the last third tests."""
    test = max(1, count // 3)
    val = max(1, count // 6)
    return "test" if number > count - test else "val" if number > count - test - val else "train"
