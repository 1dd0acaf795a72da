"""Frames -> one normalised clip that every reader reads alike.

H.264 in MP4, keyframe every 16 frames, no B-frames, no edit list, no sound, no metadata: frame k is
at k / fps, and seeking is exact. decord reads such files, and only such files, correctly.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from unisurg.corpus.facts import Reason, Unusable

RECIPE = 2
"""Counted up whenever the same recording and settings would give other bytes."""
KEYFRAME_EVERY = 16


def upright_size(frame: Any, aspect: Fraction) -> tuple[Fraction, Fraction]:
    """(width, height) of a frame as it is meant to be seen: turned upright, with square pixels.

    `aspect` is width / height of a stored pixel. Its longer side is kept and the other shrunk:
    nothing is enlarged.
    """
    width = Fraction(frame.width) * min(aspect, Fraction(1))
    height = Fraction(frame.height) / max(aspect, Fraction(1))
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def clip_size(upright: tuple[Fraction, Fraction], short_side_px: int) -> tuple[int, int]:
    """Even (width, height) of the clip: the short side at most `short_side_px`, never enlarged."""
    scale = min(Fraction(1), Fraction(short_side_px) / min(upright))
    width, height = (_even(side * scale) for side in upright)
    return width, height


def fitted(frame: Any, size: tuple[int, int], aspect: Fraction) -> Any:
    """The frame upright in yuv420p at `size`, on black where its proportions are others."""
    upright = upright_size(frame, aspect)
    scale = min(Fraction(size[0]) / upright[0], Fraction(size[1]) / upright[1])
    inner = min(size[0], _even(upright[0] * scale)), min(size[1], _even(upright[1] * scale))
    fills = max(size[0] - inner[0], size[1] - inner[1]) <= 2  # what rounding to even can do
    width, height = size if fills else inner
    scaled = _turned(frame).reformat(
        width,
        height,
        "yuv420p",
        interpolation="AREA",
        dst_colorspace="ITU601",  # what readers assume of a file that does not say
        dst_color_range="MPEG",
    )
    return scaled if fills else _on_black(scaled, size)


def part_of(out: Path) -> Path:
    """Where a file is written before it gets its name."""
    return out.with_name(out.name + ".part")


def write_clip(frames: Iterable[Any], out: Path, fps: Fraction, crf: int) -> int:
    """Encode yuv420p frames of one size, one every 1 / fps s, and return their number.

    The bytes depend on the frames and the libraries' versions alone. `out` appears only when it is
    complete and on disk.

    Raises:
        Unusable: unreadable, where there is no frame.
    """
    part = part_of(out)
    try:
        n_frames = _encode(frames, part, fps, crf)
        if not n_frames:
            raise Unusable(Reason.UNREADABLE, "no frame could be decoded")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return n_frames


def verify(clip: Path, n_frames: int) -> None:
    """Count the frames with both readers: a clip that they see differently trains on other frames.

    Raises:
        Unusable: verify_failed.
    """
    import av
    import decord

    with av.open(str(clip)) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    counts = {
        "written": n_frames,
        "PyAV": len(stamps),
        "decord": len(decord.VideoReader(str(clip), num_threads=1)),
    }
    if len(set(counts.values())) > 1 or any(stamp is None or stamp < 0 for stamp in stamps):
        raise Unusable(Reason.VERIFY_FAILED, f"frames: {counts}")


def _encode(frames: Iterable[Any], part: Path, fps: Fraction, crf: int) -> int:
    import av

    muxing = {"movflags": "+faststart", "use_editlist": "0", "fflags": "+bitexact"}
    n_frames = 0
    with av.open(str(part), "w", format="mp4", container_options=muxing) as container:
        stream: Any = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options=_x264(crf))
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.time_base = 1 / fps
                stream.codec_context.thread_count = 1
            frame.pts, frame.time_base = n_frames, 1 / fps
            frame.pict_type = 0
            container.mux(stream.encode(frame))
            n_frames += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return n_frames


def _x264(crf: int) -> dict[str, str]:
    return {
        "flags": "+bitexact",
        "preset": "medium",
        "crf": str(crf),
        "g": str(KEYFRAME_EVERY),
        "keyint_min": str(KEYFRAME_EVERY),
        "bf": "0",
        "a53cc": "0",  # closed captions of the recording would be copied into the clip
        "x264-params": "scenecut=0:threads=1:lookahead-threads=1",
    }


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))


def _quarter_turns(frame: Any) -> int:
    """Anticlockwise quarter turns that make the frame upright; odd angles are left alone."""
    return frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0


def _turned(frame: Any) -> Any:
    import av
    import numpy as np

    turns = _quarter_turns(frame)
    if not turns:
        return frame
    upright = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
    return av.VideoFrame.from_ndarray(upright, format="rgb24")


def _on_black(frame: Any, size: tuple[int, int]) -> Any:
    import av
    import numpy as np

    width, height = size
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - frame.height) // 2, (width - frame.width) // 2
    picture = frame.to_ndarray(format="rgb24")
    canvas[top : top + frame.height, left : left + frame.width] = picture
    return av.VideoFrame.from_ndarray(canvas, format="rgb24").reformat(format="yuv420p")
