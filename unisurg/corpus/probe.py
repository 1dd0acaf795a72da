"""What a file says about itself, read from its header. Runs in a child: headers can hang too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unisurg.corpus.facts import RawFacts, Reason, Unusable

# A playlist disguised as a video may name addresses; only local files are ever opened.
OPEN_OPTIONS = {"protocol_whitelist": "file"}
ELEMENTARY = frozenset({"h264", "hevc", "mpegvideo"})
"""Streams without a container, to which libav gives an average of 25 frames a second whatever their
own header says; its guess heeds that."""


def probe(raw: Path) -> RawFacts:
    """Facts of the header of one video file.

    Raises:
        Unusable: empty, unreadable, no_video_stream.
    """
    if raw.stat().st_size == 0:
        raise Unusable(Reason.EMPTY, "the file has no bytes")
    with open_raw(raw) as container:
        stream = video_stream(container)
        context = stream.codec_context
        return RawFacts(
            container=container.format.name,
            codec=context.name,
            width_px=context.width,
            height_px=context.height,
            pixel_format=context.pix_fmt or "",
            pixel_aspect=float(pixel_aspect(stream)),
            fps=float(nominal_fps(container, stream) or 0),
            start_s=float((stream.start_time or 0) * (stream.time_base or 0)),
            duration_s=_duration_s(container, stream),
            has_audio=bool(container.streams.audio),
        )


def open_raw(raw: Path) -> Any:
    """A PyAV container that reads one thread's worth of CPU and logs nothing.

    Raises:
        Unusable: unreadable.
    """
    import av

    av.logging.set_level(av.logging.PANIC)
    try:
        # Titles in any old encoding must not cost the pictures.
        return av.open(str(raw.absolute()), options=OPEN_OPTIONS, metadata_errors="replace")
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise Unusable(Reason.UNREADABLE, _text(error)) from None


def video_stream(container: Any) -> Any:
    """The first stream of moving pictures; cover art of a sound file is none.

    Raises:
        Unusable: no_video_stream, or unreadable where no decoder knows the codec.
    """
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not len(container.streams):
        raise Unusable(Reason.UNREADABLE, "no stream; the file may be cut off before its index")
    if not moving:
        kinds = sorted({s.type or "unknown" for s in container.streams})
        raise Unusable(Reason.NO_VIDEO_STREAM, f"streams: {', '.join(kinds) or 'none'}")
    stream = moving[0]
    if stream.codec_context is None:
        raise Unusable(Reason.UNREADABLE, "no decoder for the video's codec")
    stream.thread_count = 1
    return stream


def nominal_fps(container: Any, stream: Any) -> Any:
    """Frames a second by the header, as a fraction; None where it does not tell."""
    if container.format.name in ELEMENTARY:
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate


def pixel_aspect(stream: Any) -> Any:
    """Width / height of one pixel; 1 where it is not told or not credible."""
    from fractions import Fraction

    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return aspect if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def _duration_s(container: Any, stream: Any) -> float:
    """The shorter of what stream and container declare, 0 if neither does."""
    # Matroska declares the time of the end, wherever the first frame's time is.
    begin_s = (container.start_time or 0) / 1e6 if "matroska" in container.format.name else 0.0
    declared = []
    if stream.duration and stream.time_base:
        declared.append(float(stream.duration * stream.time_base))
    if container.duration:
        declared.append(container.duration / 1e6 - begin_s)
    return min((seconds for seconds in declared if seconds > 0), default=0.0)


def _text(error: Exception) -> str:
    """What libav says of the error's number; other words may quote the path."""
    return getattr(error, "strerror", None) or type(error).__name__
