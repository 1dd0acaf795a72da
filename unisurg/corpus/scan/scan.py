"""All that is learnt of a recording, from one decode of all its frames.

`scan_video` is for callers; it works in a killable child. What it runs there, `read_scan`, touches
untrusted bytes and is never called in the caller's own process. Whoever decodes for another purpose
too, to write a clip for one, lets a `Scanner` watch the frames on their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.child import Child, Limits
from unisurg.corpus.encode import upright_size
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.normalise import (
    Reading,
    Tally,
    allowed_s,
    exact,
    longest_s,
    reading_pictures,
    reading_video,
)
from unisurg.corpus.probe import probe
from unisurg.corpus.scan import hashes, quality
from unisurg.corpus.scan.box import Box, Circle, content_box, field_circle, moving
from unisurg.corpus.scan.lumas import Lumas
from unisurg.corpus.scan.medians import Medians, Pictures
from unisurg.corpus.scan.shots import Cuts, Shot
from unisurg.corpus.scan.stills import Stills
from unisurg.corpus.timing import Clock, on_grid

if TYPE_CHECKING:
    import pandas as pd

Timed = Iterable[tuple[Fraction, Any]]


@dataclass(frozen=True)
class ScanKnobs:
    """What may be chosen of a scan."""

    fps: float
    """Frames of the table a second: 1 for recordings, 4 for those they are to be found in."""
    cut_ratio: float
    """Times that a cut changes more than the frames around it do."""
    cut_content: float
    """Grey levels, 0..255, that a cut changes at least."""
    min_shot_s: float
    """Seconds between two cuts, at least."""
    box_samples: int
    """Frames, evenly spread, that tell where the picture is."""
    box_std: float
    """Grey levels by which picture varies between those frames, and bars do not."""
    median_every_s: int
    """Seconds that one median picture stands for."""
    median_frames: int
    """Frames, evenly spread, that a median is taken of, at most."""
    median_short_side_px: int
    """Size of medians: text must stay readable."""


@dataclass(frozen=True)
class ScanFacts:
    """What is true of the recording as a whole; sizes are of the upright picture."""

    width_px: int
    height_px: int
    """As the recording is meant to be seen: turned upright, with square pixels."""
    box: Box
    """The picture without bars, in these pixels."""
    circle: Circle | None
    """The round field of view of an endoscope, in these pixels, where there is one."""
    duration_s: float
    """From the first to the end of the last frame that could be decoded."""
    decoded_frames: int
    packets: int
    decode_errors: int
    """Packets that could not be decoded, and frames with parts made up."""
    clock_jumps: int
    """Places where the time stamps jump and were taken as consecutive."""
    variable_rate: bool

    def row(self) -> dict[str, float]:
        """Box and circle as columns of the table of videos; NaN where there is no circle."""
        circle = self.circle or Circle(np.nan, np.nan, np.nan)
        box = {f"box_{name}_px": getattr(self.box, name) for name in ("x", "y", "w", "h")}
        return box | {f"circle_{name}_px": getattr(circle, name) for name in ("cx", "cy", "r")}


@dataclass(frozen=True)
class Scan:
    """What one decode gives. Plain data: it crosses the border between child and caller."""

    columns: dict[str, NDArray[Any]]
    """Columns of the frames but for the video's name."""
    shot_list: list[Shot]
    facts: ScanFacts
    medians: Pictures
    """One picture, uint8 RGB `(h, w, 3)`, per `median_every_s` seconds."""
    stills: Pictures
    """Single frames of the same size, those that `stills.chosen` names."""

    def frames(self, video_id: str) -> pd.DataFrame:
        """A row per frame k of the grid: video_id, k i32, pts_s f64 (when the frame nearest to
        k / fps is shown), phash_100, phash_92, phash_84, phash_mirror u64, luma_mean, dark_frac,
        lap_var, entropy_bits, diff_prev f32, shot_id i32; all of the content box."""
        return _table(video_id, self.columns)

    def shots(self, video_id: str) -> pd.DataFrame:
        """A row per shot: video_id, shot_id i32, start_s, end_s f64, score f32."""
        shots = self.shot_list
        columns = {
            "shot_id": np.arange(len(shots), dtype=np.int32),
            "start_s": np.array([shot.start_s for shot in shots]),
            "end_s": np.array([shot.end_s for shot in shots]),
            "score": np.array([shot.score for shot in shots], np.float32),
        }
        return _table(video_id, columns)


class Scanner:
    """Learns from frames that pass by, each once; memory does not grow with their number.

    scanner = Scanner(knobs, Fraction(25), aspect)
    for time, frame in scanner.watch(timed):  # the frames of the grid
        ...
    scan = scanner.scan(tally, clock)
    """

    def __init__(self, knobs: ScanKnobs, source_fps: Fraction, aspect: Fraction) -> None:
        """`source_fps` is the recording's nominal rate, `aspect` width / height of its pixels."""
        self._knobs = knobs
        self._fps = exact(knobs.fps)
        self._source_fps = source_fps
        self._aspect = aspect
        self._cuts = Cuts(source_fps, knobs.cut_ratio, knobs.cut_content, knobs.min_shot_s)
        self._lumas = Lumas(aspect)
        self._medians = Medians(
            self._fps,
            knobs.median_every_s,
            knobs.median_frames,
            knobs.median_short_side_px,
            aspect,
        )
        self._stills = Stills(self._fps, knobs.median_short_side_px, aspect)
        self._pts_s: list[float] = []
        self._size = Fraction(0), Fraction(0)

    def watch(self, timed: Timed) -> Iterator[tuple[Fraction, Any]]:
        """Look at all of (time, frame), and yield those of the grid, as `on_grid` chooses them."""
        chosen = on_grid(self._seen(timed), self._fps, 1 / self._source_fps)
        for k, (time, frame) in enumerate(chosen):
            self._size = self._size if k else upright_size(frame, self._aspect)
            self._pts_s.append(float(time))
            self._lumas.add(frame)
            self._medians.see(k, frame)
            self._stills.see(k, float(time), frame, self._cuts_s())
            yield time, frame

    def _seen(self, timed: Timed) -> Iterator[tuple[Fraction, tuple[Fraction, Any]]]:
        for time, frame in timed:
            self._cuts.see(time, frame)
            yield time, (time, frame)

    def scan(self, tally: Tally, clock: Clock) -> Scan:
        """The result, once all frames have been watched.

        Raises:
            Unusable: unreadable, where there was no frame.
        """
        if not self._pts_s:
            raise Unusable(Reason.UNREADABLE, "no frame could be decoded")
        moves = moving(self._lumas.sample(self._knobs.box_samples), self._knobs.box_std)
        box = content_box(moves)
        shots = self._cuts.shots(clock.elapsed_s)
        facts = self._facts(box, field_circle(moves, box), tally, clock)
        stills = self._stills.pictures(self._cuts_s())
        return Scan(self._columns(box, shots), shots, facts, self._medians.pictures(), stills)

    def _cuts_s(self) -> list[float]:
        """Times of the cuts that were told until now."""
        return [shot.start_s for shot in self._cuts.shots(0.0)[1:]]

    def _columns(self, box: Box, shots: list[Shot]) -> dict[str, NDArray[Any]]:
        hashed, rated = [], []
        before = None
        for luma in self._lumas:
            picture = box.of(luma)
            hashed.append(hashes.hashes(picture))
            rated.append(quality.quality(picture, before))
            before = picture
        pts_s = np.array(self._pts_s)
        starts = [shot.start_s for shot in shots]
        return {
            "k": np.arange(len(pts_s), dtype=np.int32),
            "pts_s": pts_s,
            **dict(zip(hashes.COLUMNS, np.array(hashed).T, strict=True)),
            **dict(zip(quality.COLUMNS, np.array(rated, np.float32).T, strict=True)),
            "shot_id": (np.searchsorted(starts, pts_s, side="right") - 1).astype(np.int32),
        }

    def _facts(self, box: Box, circle: Circle | None, tally: Tally, clock: Clock) -> ScanFacts:
        width, height = (round(side) for side in self._size)
        small_width, small_height = self._lumas.size
        return ScanFacts(
            width_px=width,
            height_px=height,
            box=box.scaled(small_width, small_height, width, height),
            circle=circle and circle.scaled(min(width, height) / min(small_width, small_height)),
            duration_s=clock.elapsed_s,
            decoded_frames=tally.frames,
            packets=tally.packets,
            decode_errors=tally.failed + tally.corrupt,
            clock_jumps=clock.jumps,
            variable_rate=clock.variable,
        )


def scan_video(raw: Path, knobs: ScanKnobs, limits: Limits) -> Scan:
    """Scan one video file in a child. Damaged packets are skipped and counted.

    Raises:
        Unusable: the recording cannot be read at all.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    with Child(limits.memory_mib) as child:
        declared_s = child.call(probe, {"raw": raw}, limits.timeout_s).duration_s
        work = {"raw": raw, "knobs": knobs}
        scan: Scan = child.call(read_scan, work, longest_s(raw, declared_s, limits))
    return scan


def read_scan(raw: Path, knobs: ScanKnobs) -> Scan:
    """The work of `scan_video`, in the child."""
    with reading_video(raw) as reading:
        return _watched(reading, knobs)


def scan_pictures(
    pictures: Sequence[Path], picture_fps: float, knobs: ScanKnobs, limits: Limits
) -> Scan:
    """Scan pictures, `picture_fps` of them a second, in a child. Unreadable ones are counted.

    Raises:
        Unusable: none can be read.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    work = {"pictures": pictures, "picture_fps": picture_fps, "knobs": knobs}
    with Child(limits.memory_mib) as child:
        allowed = allowed_s(len(pictures) / picture_fps, limits)
        scan: Scan = child.call(read_picture_scan, work, allowed)
    return scan


def read_picture_scan(pictures: Sequence[Path], picture_fps: float, knobs: ScanKnobs) -> Scan:
    """The work of `scan_pictures`, in the child."""
    return _watched(reading_pictures(pictures, picture_fps), knobs)


def _watched(reading: Reading, knobs: ScanKnobs) -> Scan:
    scanner = Scanner(knobs, 1 / reading.clock.frame_s, reading.aspect)
    for _ in scanner.watch(reading.timed):
        pass
    return scanner.scan(reading.tally, reading.clock)


def _table(video_id: str, columns: dict[str, NDArray[Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(columns)
    table.insert(0, "video_id", pd.Series([video_id] * len(table), dtype="str"))
    return table
