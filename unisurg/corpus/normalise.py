"""One recording -> one normalised clip: the frames nearest to k / fps, small, upright and readable.

`normalise_video` and `normalise_pictures` are for callers; they work in a killable child. The
functions they run there (`read_video`, `read_pictures`) touch untrusted bytes and are never called
in the caller's own process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from unisurg.corpus.child import Child, Limits
from unisurg.corpus.encode import clip_size, fitted, part_of, upright_size, verify, write_clip
from unisurg.corpus.facts import ClipFacts, RawFacts, Reason, Unusable
from unisurg.corpus.probe import open_raw, pixel_aspect, probe, video_stream
from unisurg.corpus.timing import Clock, on_grid

LEAST_DECODED = 0.5
"""A recording of which less than this share can be decoded is damaged."""
WITHOUT_PRESENTATION_TIMES = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
"""Containers that only number their packets. libav invents presentation stamps for them, wrong ones
with B-frames; but frames leave the decoder in order of presentation, at the packets' pace."""
MOST_DEMUX_ERRORS = 100
"""Errors in a row, without a packet between, after which the rest of a file is given up."""
SLOWEST_BYTES_PER_S = 1000
"""No recording is believed to hold fewer: a header cannot stretch its time limit without end."""


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
    with _child_writing(out, limits) as child:
        raw_facts = child.call(probe, {"raw": raw}, limits.timeout_s)
        believed_s = min(raw_facts.duration_s, raw.stat().st_size / SLOWEST_BYTES_PER_S)
        work = {"raw": raw, "out": out, "fps": fps, "short_side_px": short_side_px, "crf": crf}
        clip_facts = child.call(
            read_video,
            {**work, "declared_s": raw_facts.duration_s},
            limits.timeout_s + believed_s / 2,
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
    with _child_writing(out, limits) as child:
        result: tuple[RawFacts, ClipFacts] = child.call(
            read_pictures,
            {**work, "fps": fps, "short_side_px": short_side_px, "crf": crf},
            limits.timeout_s + len(pictures) / picture_fps / 2,
        )
    return result


@contextmanager
def _child_writing(out: Path, limits: Limits) -> Iterator[Child]:
    """A child; what it was writing when it had to be killed is removed."""
    try:
        with Child(limits.memory_mib) as child:
            yield child
    finally:
        part_of(out).unlink(missing_ok=True)


def read_video(
    raw: Path, out: Path, fps: float, short_side_px: int, crf: int, declared_s: float
) -> ClipFacts:
    """The work of `normalise_video`, in the child."""
    rate = exact(fps)
    with open_raw(raw) as container:
        stream = video_stream(container)
        nominal_fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        clock = Clock(stream.time_base, 1 / nominal_fps)
        tally = Tally()
        timed = _timed_frames(container, stream, clock, tally)
        sizer = Sizer(short_side_px, pixel_aspect(stream))
        frames = (sizer(frame) for frame in on_grid(timed, rate, clock.frame_s))
        n_frames = write_clip(frames, out, rate, crf)
    facts = _facts(sizer, n_frames, fps, tally, clock)
    _accept(out, facts, tally, declared_s)
    return facts


def read_pictures(
    pictures: Sequence[Path],
    out: Path,
    picture_fps: float,
    fps: float,
    short_side_px: int,
    crf: int,
) -> tuple[RawFacts, ClipFacts]:
    """The work of `normalise_pictures`, in the child."""
    tally = Tally()
    clock = Clock(1 / exact(picture_fps), 1 / exact(picture_fps))
    timed = ((clock.time(i), frame) for i, frame in _pictures(pictures, tally))
    sizer = Sizer(short_side_px, Fraction(1))
    frames = (sizer(frame) for frame in on_grid(timed, exact(fps), clock.frame_s))
    n_frames = write_clip(frames, out, exact(fps), crf)
    clip = _facts(sizer, n_frames, fps, tally, clock)
    raw = RawFacts(
        container="pictures",
        codec=tally.codec,
        width_px=tally.size[0],
        height_px=tally.size[1],
        pixel_aspect=1.0,
        fps=picture_fps,
        duration_s=len(pictures) / picture_fps,
        has_audio=False,
    )
    _accept(out, clip, tally, raw.duration_s)
    return raw, clip


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
    codec: str = ""

    @property
    def readable(self) -> float:
        """Share of the packets that could be decoded."""
        return max(0.0, 1 - self.failed / max(1, self.packets))


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
            tally.frames += 1
            tally.corrupt += bool(frame.is_corrupt)
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
        tally.size = tally.size if tally.frames else (frame.width, frame.height)
        tally.frames += 1
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
