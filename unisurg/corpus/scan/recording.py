"""One recording -> its clip and its scan, from one decode, in a killable child.

`scan_recording` is for callers. What it runs in the child (`read_video`, `read_pictures`) touches
untrusted bytes and is never called in the caller's own process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unisurg.corpus.child import Limits
from unisurg.corpus.facts import ClipFacts, RawFacts
from unisurg.corpus.inputs import Recording
from unisurg.corpus.normalise import (
    Reading,
    allowed_s,
    child_writing,
    keep,
    longest_s,
    raw_of_pictures,
    reading_pictures,
    reading_video,
)
from unisurg.corpus.probe import probe
from unisurg.corpus.scan.scan import Scan, ScanKnobs, Scanner


@dataclass(frozen=True)
class Way:
    """How a recording is read, and what is kept of it."""

    scan: ScanKnobs
    """Its `fps` is that of the clip too: row k of the frames is frame k of the clip."""
    short_side_px: int
    """Of the clip; nothing is enlarged."""
    quality_crf: int
    """x264's constant rate factor of the clip."""
    picture_fps: float
    """Pictures a second, where it comes as pictures."""


Seen = tuple[RawFacts, ClipFacts, Scan]


def scan_recording(recording: Recording, out: Path, way: Way, limits: Limits) -> Seen:
    """Write the clip of a recording to `out`, and learn all that its frames tell on their way.

    The clip is byte for byte what `normalise_video` and `normalise_pictures` write.

    Raises:
        Unusable: the recording cannot be used; nothing is left at `out`.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    with child_writing(out, limits) as child:
        if recording.kind == "pictures":
            work = {"pictures": recording.files, "out": out, "way": way}
            declared_s = len(recording.files) / way.picture_fps
            seen: Seen = child.call(read_pictures, work, allowed_s(declared_s, limits))
            return seen
        [raw] = recording.files
        facts: RawFacts = child.call(probe, {"raw": raw}, limits.timeout_s)
        work = {"raw": raw, "out": out, "way": way, "declared_s": facts.duration_s}
        clip, scan = child.call(read_video, work, longest_s(raw, facts.duration_s, limits))
        return facts, clip, scan


def read_video(raw: Path, out: Path, way: Way, declared_s: float) -> tuple[ClipFacts, Scan]:
    """The work on a video file, in the child."""
    with reading_video(raw) as reading:
        return _watched(reading, out, way, declared_s)


def read_pictures(pictures: Sequence[Path], out: Path, way: Way) -> Seen:
    """The work on a sequence of pictures, in the child."""
    reading = reading_pictures(pictures, way.picture_fps)
    clip, scan = _watched(reading, out, way, len(pictures) / way.picture_fps)
    return raw_of_pictures(reading, way.picture_fps), clip, scan


def _watched(reading: Reading, out: Path, way: Way, declared_s: float) -> tuple[ClipFacts, Scan]:
    scanner = Scanner(way.scan, 1 / reading.clock.frame_s, reading.aspect)
    frames = (frame for _, frame in scanner.watch(reading.timed))
    clip = keep(reading, frames, out, way.scan.fps, way.short_side_px, way.quality_crf, declared_s)
    return clip, scanner.scan(reading.tally, reading.clock)
