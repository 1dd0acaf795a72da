"""Speed of the embedded theatre: `python perf/theatre.py [--side 256]` prints frames per second.

Counted in processor time of one thread, so that a busy machine does not blur the figure: pictures
alone, and pictures with every label (instruments, lesion, depth, motion).
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer
from unisurg.synthetic.worlds import WORLDS

SECONDS, RATE = 60, 5


def measure(world: str, side: int) -> dict[str, float]:
    """Frames per second over 60 s of one recording, and seconds to paint its tissue."""
    operation = Operation(world, 1, SECONDS)
    start = time.process_time()
    renderer = Renderer(operation, side, side)
    painted = time.process_time()
    states = operation.at(np.arange(SECONDS * RATE) * 1000 // RATE)
    for index in range(1, len(states)):
        renderer.rgb(states[index])
    coloured = time.process_time()
    for index in range(1, len(states)):
        renderer.frame(states[index], states[index - 1])
    labelled = time.process_time()
    frames = len(states) - 1
    return {
        "pictures_per_s": frames / (coloured - painted),
        "with_labels_per_s": frames / (labelled - coloured),
        "paint_s": painted - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="pixels")
    side = parser.parse_args().side
    print(f"{side} x {side} pixels, one core, frames per second")
    for world in WORLDS:
        figures = measure(world, side)
        print(world.ljust(18), *(f"{name} {value:.1f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
