"""How often training sees each clip again, told before it starts; and a cap on it.

`draw_weights` is the one definition of what pretraining draws; whoever tells of it asks there.

w(x) ~ 1 / (N_d |D_s|) makes data sets alike, so a small one is repeated often: one hour (56 clips
of 64 s) in a specialty of two data sets among 13 specialties gets 1/26 of the draws, which is 684
passes in a million draws (curation reference 4.1, stage 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.balance import clip_weights, windows_of

DataSet = tuple[str, str]
"""(specialty, source): a source that lies in two specialties counts as two."""
ROUNDING = 1e-9


class TooFewClips(ValueError):
    """A cap on the passes allows fewer clips than are drawn; the message says what would do."""


@dataclass(frozen=True)
class Passes:
    """What a number of draws does to one data set."""

    specialty: str
    source: str
    clips: float
    """N_d, clips that share no frame."""
    share: float
    """Of the draws, 0..1."""
    passes: float
    """Expected times that each of its clips is drawn."""


def draw_weights(
    sources: Sequence[str],
    specialties: Sequence[str],
    n_frames: Sequence[int] | NDArray[np.int64],
    frames: int,
    draws: int,
    cap_passes: float | None,
) -> NDArray[np.float64]:
    """Probability of each row of a store, as pretraining draws them.

    Args:
        sources: data set of each row.
        specialties: specialty of each row.
        n_frames: length of each row.
        frames: per clip.
        draws: clips drawn in all: steps times batch.
        cap_passes: no data set is seen more often than so many times; None: as often as it comes.

    Returns:
        float64 (rows,), sums to 1.

    Raises:
        TooFewClips: the cap allows fewer clips than are drawn.
        ValueError: rows that `clip_weights` refuses.
    """
    plain = clip_weights(sources, specialties, windows_of(n_frames, frames))
    if cap_passes is None:
        return plain
    clips = np.asarray(n_frames, np.float64) / frames
    return capped_weights(sources, specialties, clips, draws, cap_passes, plain)


def repetition(
    sources: Sequence[str],
    specialties: Sequence[str],
    clips: Sequence[float] | NDArray[np.float64],
    draws: int,
    weights: NDArray[np.float64] | None = None,
) -> list[Passes]:
    """Expected passes over each data set, the most repeated first.

    Args:
        sources: data set of each row (video or clip).
        specialties: specialty of each row.
        clips: clips in each row that share no frame, positive: seconds / (n_frames stride_s), or
            ones where a row is a clip. It is the unit of a pass, and need not be whole.
        draws: clips drawn in all: steps times batch.
        weights: probability of each row; those of `clip_weights` unless given.

    Raises:
        ValueError: rows that `clip_weights` refuses.
    """
    plain = clip_weights(sources, specialties, np.asarray(clips, np.float64))
    shares = _totals(sources, specialties, plain if weights is None else weights)
    sizes = _totals(sources, specialties, np.asarray(clips, np.float64))
    told = [
        Passes(specialty, source, sizes[d], share, draws * share / sizes[d])
        for d, share in shares.items()
        for specialty, source in [d]
    ]
    return sorted(told, key=lambda p: (-p.passes, p.specialty, p.source))


def warnings(report: Sequence[Passes], most_passes: float) -> list[str]:
    """A line for each data set that is expected to be seen more than `most_passes` times."""
    return [
        f"{p.source} ({p.specialty}): {p.clips:.0f} clips get {p.share:.2%} of the draws, "
        f"{p.passes:.0f} passes, more than {most_passes:g}; set pretrain.cap_passes, or draw less"
        for p in report
        if p.passes > most_passes * (1 + ROUNDING)
    ]


def capped_weights(
    sources: Sequence[str],
    specialties: Sequence[str],
    clips: Sequence[float] | NDArray[np.float64],
    draws: int,
    most_passes: float,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Weights changed so that no data set is seen more than `most_passes` times in so many draws.

    What a capped data set gives up goes to the others of its specialty, in equal parts; what all of
    a specialty together give up goes to the other specialties, in equal parts. So specialties stay
    as alike as the cap allows, then data sets within one do, and within a data set nothing changes.
    Where the cap binds nowhere the weights are as they were.

    Args:
        sources, specialties, clips, draws, weights: as in `repetition`.
        most_passes: the cap.

    Returns:
        float64 (rows,), sums to 1.

    Raises:
        TooFewClips: all clips together, each seen `most_passes` times, are fewer than the draws.
    """
    sizes = np.asarray(clips, np.float64)
    plain = clip_weights(sources, specialties, sizes) if weights is None else weights
    most = {d: most_passes * n / draws for d, n in _totals(sources, specialties, sizes).items()}
    if (room := math.fsum(most.values())) < 1 - ROUNDING:
        fewest = math.ceil(most_passes / room * (1 - ROUNDING))
        possible = math.floor(room * draws * (1 + ROUNDING))
        raise TooFewClips(
            f"{draws} draws are more than {most_passes:g} passes over {sizes.sum():.0f} clips; "
            f"allow {fewest} passes (pretrain.cap_passes) or draw {possible} clips (steps times "
            "batch)"
        )
    before = _totals(sources, specialties, plain)
    after = _capped(most)
    factor = {d: after[d] / before[d] for d in before}
    rows = zip(specialties, sources, strict=True)
    capped = plain * np.array([factor[row] for row in rows])
    return np.asarray(capped / capped.sum())


def _totals(
    sources: Sequence[str], specialties: Sequence[str], values: NDArray[np.float64]
) -> dict[DataSet, float]:
    totals: dict[DataSet, float] = {}
    for data_set, value in zip(zip(specialties, sources, strict=True), values, strict=True):
        totals[data_set] = totals.get(data_set, 0.0) + float(value)
    return totals


def _capped(most: dict[DataSet, float]) -> dict[DataSet, float]:
    """The share of each data set, given the most that each may have."""
    within: dict[str, dict[DataSet, float]] = {}
    for data_set, limit in most.items():
        within.setdefault(data_set[0], {})[data_set] = limit
    room = [math.fsum(limits.values()) for limits in within.values()]
    shares: dict[DataSet, float] = {}
    for limits, share in zip(within.values(), _level(room, 1.0), strict=True):
        shares |= zip(limits, _level(list(limits.values()), share), strict=True)
    return shares


def _level(limits: Sequence[float], total: float) -> list[float]:
    """Equal parts of `total`, none above its limit: water poured into vessels of those heights."""
    level = total / len(limits)
    left, open_vessels = total, len(limits)
    for limit in sorted(limits):
        level = left / open_vessels
        if limit >= level:
            break
        left, open_vessels = left - limit, open_vessels - 1
    return [min(limit, level) for limit in limits]
