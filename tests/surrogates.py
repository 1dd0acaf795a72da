"""Cheap stand-ins for a trial's score, and a process that searches with them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from unisurg import settings as settings_module
from unisurg.settings import Settings
from unisurg.tuning.space import Point, default_point, space_of
from unisurg.tuning.study import Attempt, Outcome, Rules, Search
from unisurg.tuning.workers import check_wanted

ROOT = Path(__file__).resolve().parent.parent
# Where the score is highest: few large blocks that do not last, no weight on what stands still.
PLANTED = {"ratio_low": 0.6, "scale_0": 0.7, "temporal": 0.5, "base_weight": 0.4}


def search_in(
    folder: Path, settings: Settings, multi: bool = False, storage: str | None = None
) -> Search:
    space, default = space_of(settings), default_point(settings)
    return Search(
        name="planted",
        space=space,
        default={name: default[name] for name in space},
        rules=Rules(seed=0, multi=multi, startup=10),
        storage=storage,
        folder=folder,
    )


def planted(point: Point) -> float:
    """1 at the planted optimum, less the further away, in widths of each range."""
    space = space_of(settings_module.load(ROOT / "params.yaml"))
    gaps = [(point[n] - best) / (space[n].high - space[n].low) for n, best in PLANTED.items()]
    return 1 - sum(gap**2 for gap in gaps) / len(gaps)


def objective(attempt: Attempt) -> Outcome:
    return Outcome(planted(attempt.point), seconds=1.0)


def doubled(number: int) -> int:
    return 2 * number


def broken(number: int) -> int:
    raise ValueError(f"planned {number}")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endless() -> None:
    """Until nobody wants it any more."""
    while True:
        check_wanted()
        time.sleep(0.05)


def main(folder: str, trials: str, dies_in: str) -> None:
    """Search in `folder`; trial `dies_in`, unless it is -1, kills this process."""
    settings = settings_module.load(ROOT / "params.yaml")

    def slow(attempt: Attempt) -> Outcome:
        if attempt.number == int(dies_in):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1)
        attempt.note(process=os.getpid())
        return objective(attempt)

    search_in(Path(folder), settings).work(slow, int(trials))


if __name__ == "__main__":
    main(*sys.argv[1:])
