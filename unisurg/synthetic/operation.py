"""An operation: its timeline, its instruments' trajectories, its camera and its nuisances.

Everything here is exact state without a pixel, cheap enough to draw a hundred operations a second.
The surgeon's skill bends the trajectories: an unsteady hand trembles, an uneconomical one makes
detours and idles away from the target.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from unisurg.synthetic.exact import (
    ONE,
    SINE_ONE,
    SUB,
    TURN,
    Array,
    Track,
    cosine,
    pulses,
    sine,
    stream,
)
from unisurg.synthetic.motifs import MOTIFS, REPERTOIRE, Dance, Motion
from unisurg.synthetic.worlds import WORLDS, World

PHASE_MS = (26_000, 40_001)
SIDES = (-1, 1)
PASSAGE_MS = 900  # of an instrument into the picture, or out of it
EXCHANGE_MS = 1200  # out of the picture before an exchange, and after it
STEER_PX = 24
TIMELINE, HANDS, TOOLS, CAMERA, NUISANCE = range(5)


@dataclass(frozen=True)
class States:
    """Exact state at N instants; index it for one instant. The second axis is the instrument.

    Positions are (x, y) from the view's centre, `SUB` per pixel of a 256-pixel view.
    """

    ms: Array  # (N,) time
    phase: Array  # (N,) index of REPERTOIRE
    tip: Array  # (N, 2, 2) where the jaws begin to touch
    port: Array  # (N, 2, 2) where the shaft enters, outside the view
    inserted: Array  # (N, 2) 0 outside .. ONE in place
    kind: Array  # (N, 2) index of the world's instruments
    wrist: Array  # (N, 2) angle between shaft and jaws, TURN units
    jaw: Array  # (N, 2) opening, 0 closed .. ONE wide
    grip: Array  # (N, 2) hold on the tissue, 0 .. ONE
    camera: Array  # (N, 2) pan
    span: Array  # (N,) ONE = as built, less = closer
    roll: Array  # (N,) TURN units
    advance: Array  # (N,) way along the tunnel, ONE per radius
    breath: Array  # (N,) -ONE .. ONE
    smoke: Array  # (N,) density, 0 .. ONE
    fluid: Array  # (N,) spread of the film, 0 .. ONE
    gloss: Array  # (N,) strength of specular highlights, 0 .. ONE
    level: Array  # (N,) light, ONE = full

    def __len__(self) -> int:
        return len(self.ms)

    def __getitem__(self, index: int) -> States:
        return States(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class Skill:
    """How the surgeon moves. Both traits are shares in 0..1.

    `stray` is how many times as far as usual what they lack leads the hand astray: the nearer the
    camera, the larger an error.
    """

    steadiness: float
    economy: float
    stray: int = 1

    @property
    def grs(self) -> int:
        """A global rating score like JIGSAWS': 6 (novice) .. 30 (expert)."""
        return 6 + round(12 * (self.steadiness + self.economy))


@dataclass(frozen=True)
class Script:
    """What is done from when on, until the next begins, and perhaps with which instruments."""

    starts_ms: Array  # (K,) rising from 0
    motifs: Array  # (K,) index of REPERTOIRE
    kinds: Array | None = None  # (K, 2) index of the world's instruments, of the main hand first


class Operation:
    """One seeded recording in a world: what happens at any millisecond of its `seconds`.

    Without a script, the seed writes one of cholecystectomy's phases in roughly the usual order.
    """

    def __init__(
        self,
        world: str,
        seed: int,
        seconds: int,
        skill: Skill | None = None,
        script: Script | None = None,
    ) -> None:
        if world not in WORLDS:
            raise ValueError(f"world {world!r} is not one of {', '.join(WORLDS)}")
        self.world: World = WORLDS[world]
        self.seed = seed
        self.key = (seed, list(WORLDS).index(world))
        self.seconds = seconds
        self.span_ms = seconds * 1000
        self.skill = skill or _draw_skill(stream(*self.key, HANDS, 9))
        script = script or _draw_script(stream(*self.key, TIMELINE), self.span_ms)
        self.starts_ms, self.phases, self.kinds = script.starts_ms, script.motifs, script.kinds
        self.main = int(stream(*self.key, HANDS, 8).integers(ONE) >= self.world.left_handed)

    def at(self, ms: Array) -> States:
        """State at the given times, (N,) integers in 0..1000 x seconds."""
        ms = np.asarray(ms, np.int64)
        if ms.size and (ms.min() < 0 or ms.max() > self.span_ms):
            raise ValueError(f"times must lie in 0..{self.span_ms} ms, got {ms.min()}..{ms.max()}")
        camera = self._camera(ms)
        hands = [self._hand(ms, hand, camera["camera"]) for hand in range(2)]
        paired = {key: np.stack([hand[key] for hand in hands], axis=1) for key in hands[0]}
        phase = self.phases[np.searchsorted(self.starts_ms, ms, side="right") - 1]
        return States(ms=ms, phase=phase, **paired, **camera, **self._nuisances(ms))

    def orbit(self, ms: Array, hand: int) -> Array:
        """Angle of a hand on its circle at the given times, continuous over the phases."""
        rng = stream(*self.key, HANDS, hand)
        angle = int(rng.integers(TURN))
        result = np.zeros_like(ms)
        ends = np.append(self.starts_ms[1:], self.span_ms + 1)
        for start, end, phase in zip(self.starts_ms, ends, self.phases, strict=True):
            dance = Dance.draw(rng, self._motion(phase, hand), int(end - start))
            inside = (ms >= start) & (ms < end)
            result[inside] = angle + dance.angle(ms[inside] - start)
            angle += int(dance.angle(np.array([end - start]))[0])
        return result

    def _motion(self, phase: int, hand: int) -> Motion:
        motif = REPERTOIRE[phase]
        return motif.main if hand == self.main else motif.assistant

    def _hand(self, ms: Array, hand: int, camera: Array) -> dict[str, Array]:
        rng = stream(*self.key, HANDS, hand, 1)
        side = SIDES[hand]
        offset = rng.integers(-9, 10, 2) * SUB + np.array([side * 40, 4]) * SUB
        radius = int(rng.integers(46 * SUB, 58 * SUB)) + Track.draw(
            rng, self.span_ms, 3000, 4 * SUB
        ).at(ms)
        goal = offset + _circle(self.orbit(ms, hand), radius) + self._clumsiness(ms, rng)
        if self.world.projection == "bowl":  # in a tunnel the scope carries the instrument along
            goal = goal - camera
        port = _polar(150 * SUB, int(rng.integers(TURN * 8 // 360, TURN * 62 // 360)), side)
        inserted, kind = self._exchange(ms, stream(*self.key, TOOLS, hand), hand)
        inserted = np.minimum(inserted, ONE - self._away(ms, hand))
        idle = self._idling(ms, stream(*self.key, TOOLS, hand, 1))
        reach = (inserted * (ONE - idle)) >> 10
        tip = port + (((goal - port) * reach[:, None]) >> 10)
        closed = self._closing(ms, stream(*self.key, TOOLS, hand, 2))
        return {
            "tip": tip,
            "port": np.broadcast_to(port, tip.shape),
            "inserted": inserted,
            "kind": kind,
            "wrist": Track.draw(rng, self.span_ms, 2500, TURN * 32 // 360).at(ms),
            "jaw": ONE - closed,
            "grip": np.where(inserted == ONE, closed * (ONE - idle) >> 10, 0),
        }

    def _clumsiness(self, ms: Array, rng: np.random.Generator) -> Array:
        """Tremor of an unsteady hand and detours of an uneconomical one, (N, 2)."""
        shaky = round((1 - self.skill.steadiness) * 5 * SUB) * self.skill.stray
        astray = round((1 - self.skill.economy) * 12 * SUB) * self.skill.stray
        parts = [(160, shaky), (1700, astray)]
        return np.stack(
            [
                sum(Track.draw(rng, self.span_ms, step, reach).at(ms) for step, reach in parts)
                for _ in range(2)
            ],
            axis=-1,
        )

    def _exchange(self, ms: Array, rng: np.random.Generator, hand: int) -> tuple[Array, Array]:
        """Instruments enter, are exchanged now and then, and leave at the end.

        They are exchanged in the middle of a gap: where the script says so, or else at random.
        """
        edge = PASSAGE_MS
        enter, leave = int(rng.integers(0, 1200)), self.span_ms - int(rng.integers(900, 2500))
        if self.kinds is None:
            gaps = _draw_intervals(rng, self.span_ms, (25_000, 60_000), (2200, 3500))
            kinds = rng.integers(0, len(self.world.instruments), len(gaps) + 1)
        else:
            of_hand = self.kinds[:, 0 if hand == self.main else 1]
            changes = np.flatnonzero(np.diff(of_hand)) + 1
            gaps = self.starts_ms[changes, None] + np.array([-EXCHANGE_MS, EXCHANGE_MS])
            kinds = of_hand[np.append(0, changes)]
        inserted = pulses(ms, np.array([[enter, leave]]), edge) - pulses(ms, gaps, edge)
        return np.clip(inserted, 0, ONE), kinds[np.searchsorted(gaps.mean(axis=1), ms)]

    def _away(self, ms: Array, hand: int) -> Array:
        """`ONE` while the script keeps the hand out of the picture."""
        intervals: list[tuple[int, int]] = []
        ends = np.append(self.starts_ms[1:], self.span_ms + PASSAGE_MS)
        for start, end, phase in zip(self.starts_ms, ends, self.phases, strict=True):
            if self._motion(phase, hand) is not Motion.AWAY:
                continue
            if intervals and intervals[-1][1] == start:
                start, _ = intervals.pop()
            # Who begins away has never been in the picture.
            intervals.append((int(start) or -PASSAGE_MS, int(end)))
        return pulses(ms, np.array(intervals, np.int64).reshape(-1, 2), PASSAGE_MS)

    def _idling(self, ms: Array, rng: np.random.Generator) -> Array:
        """Share of the way back to the port that an uneconomical hand wastes."""
        intervals = _draw_intervals(rng, self.span_ms, (7000, 14_000), (900, 1800))
        return pulses(ms, intervals, 500) * round((1 - self.skill.economy) * 230) >> 10

    def _closing(self, ms: Array, rng: np.random.Generator) -> Array:
        intervals = _draw_intervals(rng, self.span_ms, (1200, 4000), (1200, 4000))
        return pulses(ms, intervals, 300)

    def _camera(self, ms: Array) -> dict[str, Array]:
        """A camera that holds still, then moves to a new view, as the world's assistant does."""
        rng, habit = stream(*self.key, CAMERA), self.world.camera
        moves = _draw_intervals(rng, self.span_ms, habit.hold_ms, (900, 1600))
        pose = np.zeros((len(ms), 4), np.int64)
        reach = [habit.pan_px * SUB, habit.pan_px * SUB, habit.span, TURN * habit.roll_deg // 360]
        here = np.zeros(4, np.int64)
        for start, end in moves:
            there = np.array([rng.integers(-r, r + 1) for r in reach])
            share = pulses(ms, np.array([[start, 10**9]]), int(end - start))
            pose += (there - here) * share[:, None] >> 10
            here = there
        if self.world.projection == "tunnel":  # the hand without an instrument steers the scope
            pose[:, :2] += _circle(self.orbit(ms, 0), STEER_PX * SUB)
        travel = np.abs(Track.draw(rng, self.span_ms, 6000, ONE).at(ms))
        return {
            "camera": pose[:, :2],
            "span": ONE + pose[:, 2],
            "roll": pose[:, 3],
            "advance": travel,
            "breath": sine(ms * TURN // int(rng.integers(3200, 4800))) * ONE // SINE_ONE,
        }

    def _nuisances(self, ms: Array) -> dict[str, Array]:
        rng, span = stream(*self.key, NUISANCE), self.span_ms
        smoke = pulses(ms, _draw_intervals(rng, span, (14_000, 35_000), (4000, 8000)), 2500)
        fluid = pulses(ms, _draw_intervals(rng, span, (15_000, 40_000), (10_000, 18_000)), 7000)
        dim = pulses(ms, _draw_intervals(rng, span, (5000, 14_000), (600, 2500)), 300)
        return {
            "smoke": smoke * int(rng.integers(350, 750)) >> 10,
            "fluid": fluid * int(rng.integers(250, 620)) >> 10,
            "gloss": Track.draw(rng, span, 5000, 200).at(ms) + 800,
            "level": ONE - (dim * int(rng.integers(120, 300)) >> 10),
        }


def _draw_skill(rng: np.random.Generator) -> Skill:
    steadiness, economy = (int(n) / 1000 for n in rng.integers(100, 1001, 2))
    return Skill(steadiness, economy)


def _draw_script(rng: np.random.Generator, span_ms: int) -> Script:
    """Phases in roughly the usual order: some start late, are skipped, or are taken up again."""
    last = len(MOTIFS) - 1
    phase, start = int(rng.choice(5, p=[0.5, 0.15, 0.15, 0.1, 0.1])), 0
    starts, phases = [], []
    while start < span_ms:
        starts.append(start)
        phases.append(phase)
        start += int(rng.integers(*PHASE_MS))
        step = int(rng.choice([1, 2, -1, -2], p=[0.62, 0.2, 0.09, 0.09]))
        onward = last if phase == last - 1 else int(rng.choice([2, 4, 5]))
        phase = phase + step if 0 <= phase + step <= last else onward
    return Script(np.array(starts, np.int64), np.array(phases, np.int64))


def _draw_intervals(
    rng: np.random.Generator, span_ms: int, wait_ms: tuple[int, int], length_ms: tuple[int, int]
) -> Array:
    """(K, 2) start and end times of things that come and go until `span_ms`."""
    intervals: list[tuple[int, int]] = []
    now = 0
    while True:
        start = now + int(rng.integers(*wait_ms))
        now = start + int(rng.integers(*length_ms))
        if start >= span_ms:
            return np.array(intervals, np.int64).reshape(-1, 2)
        intervals.append((start, now))


def _circle(angle: Array, radius: Array | int) -> Array:
    """(N, 2) points on a circle about the origin."""
    return np.stack([cosine(angle) * radius, sine(angle) * radius], axis=-1) // SINE_ONE


def _polar(radius: int, elevation: int, side: int) -> Array:
    """A point on the rim, `elevation` below the horizontal, on the given side."""
    x, y = side * cosine(elevation), sine(elevation)
    return np.array([radius * int(x) // SINE_ONE, radius * int(y) // SINE_ONE])
