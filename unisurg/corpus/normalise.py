"""One recording -> one normalised clip: the frames nearest to k / fps, small, upright and readable.

`normalise_video` and `normalise_pictures` are for callers; they work in a killable child. The
functions they run there (`read_video`, `read_pictures`) touch untrusted bytes and are never called
in the caller's own process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from unisurg.corpus.child import Child, Limits
from unisurg.corpus.encode import clip_size, fitted, part_of, upright_size, verify, write_clip
from unisurg.corpus.facts import SLOWEST_BYTES_PER_S, ClipFacts, RawFacts, Reason, Unusable
from unisurg.corpus.probe import nominal_fps, open_raw, pixel_aspect, probe, video_stream
from unisurg.corpus.timing import Clock, on_grid

LEAST_DECODED = 0.5
"""A recording of which less than this share can be decoded is damaged."""
WITHOUT_PRESENTATION_TIMES = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
"""Containers that only number their packets. libav invents presentation stamps for them, wrong ones
with B-frames; but frames leave the decoder in order of presentation, at the packets' pace."""
MOST_DEMUX_ERRORS = 100
"""Errors in a row, without a packet between, after which the rest of a file is given up."""
LONGEST_PER_SECOND = 4.0
"""Seconds that a second of a recording may take, beside the fixed limit. UHD video takes about its
own duration on one core, a machine whose cores others share several times as long, and a healthy
recording must not be refused for that. A decoder that hangs costs that much waiting, once a run."""


def normalise_video(
    raw: Path, out: Path, fps: float, short_side_px: int, crf: int, limits: Limits
) -> tuple[RawFacts, ClipFacts]:
    """Write the clip of one video file: frame k is the frame nearest in time to k / fps.

    Time counts from the first frame, by presentation stamps. A source slower than `fps` repeats
    frames. Damaged packets are skipped and counted, and the nearest good frame stands in.

    Raises:
        Unusable: the recording cannot be used; nothing is left at `out`.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    with child_writing(out, limits) as child:
        raw_facts = child.call(probe, {"raw": raw}, limits.timeout_s)
        work = {"raw": raw, "out": out, "fps": fps, "short_side_px": short_side_px, "crf": crf}
        clip_facts = child.call(
            read_video,
            {**work, "declared_s": raw_facts.duration_s},
            longest_s(raw, raw_facts.duration_s, limits),
        )
    return raw_facts, clip_facts


def normalise_pictures(
    pictures: Sequence[Path],
    out: Path,
    picture_fps: float,
    fps: float,
    short_side_px: int,
    crf: int,
    limits: Limits,
) -> tuple[RawFacts, ClipFacts]:
    """Write the clip of consecutive pictures, `picture_fps` of them a second.

    The first picture gives the size of the clip; others are fitted into it on black. A picture
    that cannot be read is counted, and its neighbour stands in.

    Raises:
        Unusable, ChildFailed: as `normalise_video`.
    """
    work = {"pictures": list(pictures), "out": out, "picture_fps": picture_fps}
    with child_writing(out, limits) as child:
        result: tuple[RawFacts, ClipFacts] = child.call(
            read_pictures,
            {**work, "fps": fps, "short_side_px": short_side_px, "crf": crf},
            allowed_s(len(pictures) / picture_fps, limits),
        )
    return result


@contextmanager
def child_writing(out: Path, limits: Limits) -> Iterator[Child]:
    """A child; what it was writing when it had to be killed is removed."""
    try:
        with Child(limits.memory_mib) as child:
            yield child
    finally:
        part_of(out).unlink(missing_ok=True)


def longest_s(raw: Path, declared_s: float, limits: Limits) -> float:
    """How long a video may take: its header's duration counts as far as its bytes bear it out."""
    return allowed_s(min(declared_s, raw.stat().st_size / SLOWEST_BYTES_PER_S), limits)


def allowed_s(duration_s: float, limits: Limits) -> float:
    """How long a recording of this duration may take."""
    return limits.timeout_s + LONGEST_PER_SECOND * duration_s


def read_video(
    raw: Path, out: Path, fps: float, short_side_px: int, crf: int, declared_s: float
) -> ClipFacts:
    """The work of `normalise_video`, in the child."""
    with reading_video(raw) as reading:
        frames = reading.grid(exact(fps))
        return keep(reading, frames, out, fps, short_side_px, crf, declared_s)


def read_pictures(
    pictures: Sequence[Path],
    out: Path,
    picture_fps: float,
    fps: float,
    short_side_px: int,
    crf: int,
) -> tuple[RawFacts, ClipFacts]:
    """The work of `normalise_pictures`, in the child."""
    reading = reading_pictures(pictures, picture_fps)
    declared_s = len(pictures) / picture_fps
    frames = reading.grid(exact(fps))
    clip = keep(reading, frames, out, fps, short_side_px, crf, declared_s)
    return raw_of_pictures(reading, picture_fps), clip


def exact(fps: float) -> Fraction:
    """29.97 as 2997/100, not as the binary float next to it."""
    return Fraction(str(fps)).limit_denominator(100_000)


@dataclass
class Tally:
    """What was met while decoding."""

    packets: int = 0
    """Pieces of the recording: packets of a video, files of a sequence of pictures."""
    failed: int = 0
    """Packets that could not be decoded, and errors between packets."""
    corrupt: int = 0
    """Frames that were decoded with parts made up."""
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    """Width and height, format and rotation of the first frame; the codec of a first picture."""
    pixel_format: str = ""
    rotation_deg: int = 0
    codec: str = ""

    @property
    def readable(self) -> float:
        """Share of the packets that could be decoded."""
        return max(0.0, 1 - self.failed / max(1, self.packets))

    def count(self, frame: Any) -> None:
        """Take note of the next frame."""
        if not self.frames:
            self.size, self.pixel_format = (frame.width, frame.height), frame.format.name
            self.rotation_deg = frame.rotation
        self.frames += 1
        self.corrupt += bool(frame.is_corrupt)


@dataclass(frozen=True)
class Reading:
    """A recording on its way through the decoder: (time, frame), and what is met on the way."""

    timed: Iterator[tuple[Fraction, Any]]
    clock: Clock
    tally: Tally
    aspect: Fraction
    """Width / height of a stored pixel."""

    def grid(self, fps: Fraction) -> Iterator[Any]:
        """The frames nearest to k / fps, as they are decoded."""
        return on_grid(self.timed, fps, self.clock.frame_s)


@contextmanager
def reading_video(raw: Path) -> Iterator[Reading]:
    """One video file. Damaged packets are skipped and counted.

    Raises:
        Unusable: unreadable, no_video_stream.
    """
    with open_raw(raw) as container:
        stream = video_stream(container)
        fps = nominal_fps(container, stream) or Fraction(25)
        clock, tally = Clock(stream.time_base, 1 / fps), Tally()
        timed = _timed_frames(container, stream, clock, tally)
        yield Reading(timed, clock, tally, pixel_aspect(stream))


def reading_pictures(pictures: Sequence[Path], picture_fps: float) -> Reading:
    """Pictures, `picture_fps` of them a second. Those that cannot be read are counted."""
    picture_s = 1 / exact(picture_fps)
    clock, tally = Clock(picture_s, picture_s), Tally()
    timed = ((clock.time(place), frame) for place, frame in _pictures(pictures, tally))
    return Reading(timed, clock, tally, Fraction(1))


def keep(
    reading: Reading,
    frames: Iterable[Any],
    out: Path,
    fps: float,
    short_side_px: int,
    crf: int,
    declared_s: float,
) -> ClipFacts:
    """Write the frames that were chosen of a recording, `fps` a second, as its clip.

    Raises:
        Unusable: no frame, or too little of the recording could be decoded; nothing is left at
            `out`.
    """
    sizer = Sizer(short_side_px, reading.aspect)
    n_frames = write_clip((sizer(frame) for frame in frames), out, exact(fps), crf)
    facts = _facts(sizer, n_frames, fps, reading.tally, reading.clock)
    _accept(out, facts, reading.tally, declared_s)
    return facts


def raw_of_pictures(reading: Reading, picture_fps: float) -> RawFacts:
    """The facts of a sequence of pictures, once it has been read."""
    tally = reading.tally
    return RawFacts(
        container="pictures",
        codec=tally.codec,
        width_px=tally.size[0],
        height_px=tally.size[1],
        pixel_format=tally.pixel_format,
        pixel_aspect=1.0,
        fps=picture_fps,
        start_s=0.0,
        duration_s=tally.packets / picture_fps,
        has_audio=False,
    )


class Sizer:
    """Brings frames to the size that the first of them gives."""

    def __init__(self, short_side_px: int, aspect: Fraction) -> None:
        self._short_side_px = short_side_px
        self._aspect = aspect
        self.size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> Any:
        if self.size is None:
            upright = upright_size(frame, self._aspect)
            self.size = clip_size(upright, self._short_side_px)
        return fitted(frame, self.size, self._aspect)


def _timed_frames(
    container: Any, stream: Any, clock: Clock, tally: Tally
) -> Iterator[tuple[Fraction, Any]]:
    shown_when_stored = container.format.name in WITHOUT_PRESENTATION_TIMES
    for packet in _packets(container, stream, tally):
        for frame in _decoded(stream, packet, tally):
            tally.count(frame)
            yield clock.time(frame.dts if shown_when_stored else frame.pts), frame


def _packets(container: Any, stream: Any, tally: Tally) -> Iterator[Any]:
    """Packets of the stream, reading on behind damaged places; last None, to flush the decoder."""
    import av

    in_a_row = 0
    while in_a_row < MOST_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    in_a_row = 0
                    tally.packets += 1
                    yield packet
            break
        except MemoryError:
            raise
        except av.FFmpegError:
            in_a_row += 1
            tally.failed += 1
    yield None


def _decoded(stream: Any, packet: Any, tally: Tally) -> list[Any]:
    import av

    try:
        return list(stream.codec_context.decode(packet))
    except MemoryError:
        raise
    except av.EOFError:
        return []
    except av.FFmpegError:
        tally.failed += 1
        return []


def _pictures(pictures: Sequence[Path], tally: Tally) -> Iterator[tuple[int, Any]]:
    """(place in the sequence, frame) of every picture that can be read."""
    import av

    av.logging.set_level(av.logging.PANIC)
    tally.packets = len(pictures)
    for place, picture in enumerate(pictures):
        try:
            # A file object: a path with % or * in it would be taken for a pattern.
            with (
                picture.open("rb") as file,
                av.open(file, "r", metadata_errors="replace") as container,
            ):
                frame = next(container.decode(video=0))
                tally.codec = tally.codec or container.streams.video[0].codec_context.name
        except MemoryError:
            raise
        except (av.FFmpegError, StopIteration, IndexError, OSError):
            tally.failed += 1
            continue
        tally.count(frame)
        yield place, frame


def _facts(sizer: Sizer, n_frames: int, fps: float, tally: Tally, clock: Clock) -> ClipFacts:
    width, height = sizer.size or (0, 0)
    return ClipFacts(
        width_px=width,
        height_px=height,
        fps=fps,
        n_frames=n_frames,
        decoded_frames=tally.frames,
        decoded_s=clock.elapsed_s,
        decode_errors=tally.failed + tally.corrupt,
        clock_jumps=clock.jumps,
        variable_rate=clock.variable,
        rotation_deg=tally.rotation_deg,
        longest_gap_s=clock.longest_gap_s,
    )


def _accept(out: Path, facts: ClipFacts, tally: Tally, declared_s: float) -> None:
    """Keep the clip only if enough of the recording is in it and it reads back as written."""
    try:
        of_time = facts.decoded_s / declared_s if declared_s else 1.0
        if min(tally.readable, of_time) < LEAST_DECODED:
            time = f"{facts.decoded_s:.1f} of {declared_s:.1f} s decoded"
            raise Unusable(
                Reason.DAMAGED, f"{time}, {tally.failed} of {tally.packets} packets failed"
            )
        verify(out, facts.n_frames)
    except Unusable:
        out.unlink(missing_ok=True)
        raise
