"""Clips: cut out of operations in which one action follows another.

An action lasts a few seconds where a phase lasts minutes, so hands move four times as fast as in a
workflow: at 4 frames per second a clip shows as much of a motion as 16 s of a phase do at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unisurg.synthetic.layouts.workflow import film_at
from unisurg.synthetic.operation import Operation, Skill, States
from unisurg.synthetic.scripts import in_turn

PACE = 4
LEAD_MS = 4000  # before the first clip and after the last, in which instruments enter and leave
CLIP = 2


def draw_frames(rng: np.random.Generator, usual: int) -> int:
    """Frames of a clip: up to a third more or less than usual."""
    return int(rng.integers(usual - usual // 3, usual + usual // 3 + 1))


def rehearse(
    world: str,
    seed: int,
    motifs: Sequence[int],
    frames: Sequence[int],
    fps: int,
    skill: Skill | None = None,
    pace: int = PACE,
) -> tuple[Operation, list[int]]:
    """An operation of one motif for each clip, `frames` long, and where the clips begin, in ms."""
    lengths = [count * 1000 * pace // fps + 1 for count in frames]
    starts = LEAD_MS + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    seconds = -(-(2 * LEAD_MS + sum(lengths)) // 1000)
    script = in_turn(motifs, lengths, LEAD_MS)
    return Operation(world, seed, seconds, skill, script), [int(start) for start in starts]


def cut(
    path: Path, operation: Operation, start_ms: int, frames: int, fps: int, side: int
) -> States:
    """Write a clip that begins there, and give the state at each of its frames."""
    times = start_ms + np.arange(frames, dtype=np.int64) * 1000 * PACE // fps
    return film_at(path, operation, times, fps, side)
