"""The choreography: a phase is what the two instruments do over time, and nothing else.

Each instrument's tip travels on its own circle about the target. A motif gives its angle as a
function of time, so that the angle at one instant is uniform in every phase: a single frame shows
two tips somewhere on two circles, whatever the phase. Only the order of frames tells a hand that
rests from one that goes round, and a steady round from dwells and jumps. Periods of 4.5 to 6 s are
well above the 2 s that one frame per second can still tell.

    phase                     main instrument     assistant           in the operating room
    Preparation               still               still               looks for landmarks
    CalotTriangleDissection   circles clockwise   still               dissects, other retracts
    ClippingCutting           dwells and jumps    still               clip, clip, cut
    GallbladderDissection     still               circles counter     holds, other frees the bed
    GallbladderPackaging      circles clockwise   circles counter     both wrap the bag
    CleaningCoagulation       still               dwells and jumps    holds, other rinses and dabs
    GallbladderRetraction     dwells and jumps    dwells and jumps    hand over hand

The main instrument is the right one, except for a left-handed surgeon, whom some worlds have; not
the worlds of phase benchmarks, whose few videos could not teach the exception.

Where a benchmark has more classes than these seven, the repertoire goes on with the other pairs of
motions. A hand may then be away: its instrument is drawn back out of the picture.

    Suturing                  dwells and jumps    circles counter
    Irrigation                circles clockwise   dwells and jumps
    Inspection                still               away
    Marking                   circles clockwise   away
    Injection                 dwells and jumps    away
    Retraction                away                still
    Suction                   away                circles counter
    Swabbing                  away                dwells and jumps
    Outside                   away                away                no instrument in the picture
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from unisurg.synthetic.exact import ONE, TURN, Array, ramp


class Motion(Enum):
    """What an instrument's angle does during a phase."""

    STILL = "still"
    CLOCKWISE = "clockwise"
    COUNTER = "counter-clockwise"
    JUMP = "dwell and jump"
    AWAY = "away"


@dataclass(frozen=True)
class Motif:
    """A phase: its name and the motions of the main instrument and its assistant."""

    name: str
    main: Motion
    assistant: Motion


MOTIFS = (
    Motif("Preparation", Motion.STILL, Motion.STILL),
    Motif("CalotTriangleDissection", Motion.CLOCKWISE, Motion.STILL),
    Motif("ClippingCutting", Motion.JUMP, Motion.STILL),
    Motif("GallbladderDissection", Motion.STILL, Motion.COUNTER),
    Motif("GallbladderPackaging", Motion.CLOCKWISE, Motion.COUNTER),
    Motif("CleaningCoagulation", Motion.STILL, Motion.JUMP),
    Motif("GallbladderRetraction", Motion.JUMP, Motion.JUMP),
)
PHASE_NAMES = tuple(row.name for row in MOTIFS)
REPERTOIRE = (
    *MOTIFS,
    Motif("Suturing", Motion.JUMP, Motion.COUNTER),
    Motif("Irrigation", Motion.CLOCKWISE, Motion.JUMP),
    Motif("Inspection", Motion.STILL, Motion.AWAY),
    Motif("Marking", Motion.CLOCKWISE, Motion.AWAY),
    Motif("Injection", Motion.JUMP, Motion.AWAY),
    Motif("Retraction", Motion.AWAY, Motion.STILL),
    Motif("Suction", Motion.AWAY, Motion.COUNTER),
    Motif("Swabbing", Motion.AWAY, Motion.JUMP),
    Motif("Outside", Motion.AWAY, Motion.AWAY),
)

PERIOD_MS = (4500, 6001)
DWELL_MS = (2600, 4001)
JUMP_MS = 500


def motif(name: str) -> int:
    """Index in the repertoire of the motif of that name."""
    return [row.name for row in REPERTOIRE].index(name)


@dataclass(frozen=True)
class Dance:
    """One instrument's motion during one phase, its random choices made."""

    motion: Motion
    period_ms: int
    jump_starts_ms: Array
    jump_angles: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, motion: Motion, length_ms: int) -> Dance:
        dwells = rng.integers(*DWELL_MS, length_ms // DWELL_MS[0] + 1)
        turns = rng.integers(TURN // 4, TURN // 2 + 1, len(dwells))
        return cls(
            motion=motion,
            period_ms=int(rng.integers(*PERIOD_MS)),
            jump_starts_ms=np.cumsum(dwells),
            jump_angles=turns * rng.choice([-1, 1], len(dwells)),
        )

    def angle(self, ms: Array) -> Array:
        """Angle gained `ms` milliseconds after the phase began, in `TURN` units; 0 at 0 ms.

        Image coordinates have y downwards, so a growing angle is clockwise on the screen.
        """
        if self.motion is Motion.CLOCKWISE:
            return ms * TURN // self.period_ms
        if self.motion is Motion.COUNTER:
            return -(ms * TURN // self.period_ms)
        if self.motion is Motion.JUMP:
            jumps = zip(self.jump_starts_ms, self.jump_angles, strict=True)
            return sum(
                (angle * ramp(ms, start, JUMP_MS) // ONE for start, angle in jumps),
                np.zeros_like(ms),
            )
        return np.zeros_like(ms)
