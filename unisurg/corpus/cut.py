"""A piece of a scanned clip -> a clip of its own, with rectangles painted and nothing beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unisurg.corpus.deid.overlays import Rectangle, paint
from unisurg.corpus.deid.strip import assert_stripped
from unisurg.corpus.encode import RECIPE, verify, write_clip
from unisurg.corpus.normalise import exact
from unisurg.corpus.parts import Parts, sha256

VERSION = 1
"""Counted up whenever the same piece would give other bytes, and RECIPE does not say so."""


@dataclass(frozen=True)
class Pieces:
    """What to cut out of one clip; frames are numbered from 0."""

    clip: Path
    n_frames: int
    fps: float
    crf: int
    rectangles: tuple[Rectangle, ...]
    spans: tuple[tuple[int, int], ...]
    """[first, behind) frame of each piece."""
    scratch: Path


def clip_id(video_id: str, number: int) -> str:
    """Name of a video's piece, numbered from 0 by time."""
    return f"{video_id}-{number:03d}"


def cut(pieces: Pieces) -> list[Path]:
    """The finished clip of each piece, in `scratch`; made only where it is not there yet.

    Raises:
        NotStripped: a clip holds something beside its pictures.
        Unusable: a clip does not read back as it was written.
    """
    decided = {"recipe": RECIPE, "crf": pieces.crf, "rectangles": sorted(pieces.rectangles)}
    parts = Parts(pieces.scratch, "cut", VERSION, decided, suffix=".mp4")
    content = sha256(pieces.clip)
    return [
        parts.get(f"{content} {first}-{behind}", partial(_named, pieces, number, (first, behind)))
        for number, (first, behind) in enumerate(pieces.spans)
    ]


def frames_of(clip: Path, first: int = 0, behind: int | None = None) -> Iterator[Any]:
    """Frames [first, behind) of a normalised clip, in their order; to its end without `behind`.

    Reading begins at the key frame before the first, so that many pieces of a long clip cost no
    more than the clip.
    """
    import av

    with av.open(str(clip)) as container:
        stream: Any = container.streams.video[0]
        stream.thread_count = 1
        step = 1 / (stream.average_rate * stream.time_base)
        container.seek(round(first * step), stream=stream)
        for frame in container.decode(stream):
            number = round(frame.pts / step)
            if behind is not None and number >= behind:
                return
            if number >= first:
                yield frame


def _named(pieces: Pieces, number: int, span: tuple[int, int], out: Path) -> None:
    """`_cut`, whose errors speak of the finished clip: what they say becomes a reason in the
    corpus, and where a run had its files must not change that."""
    name = f"{clip_id(pieces.clip.stem, number)}.mp4"
    try:
        _cut(pieces, *span, out)
    except Exception as error:
        places = {str(out): name, str(pieces.clip): pieces.clip.name}
        error.args = tuple(_replaced(said, places) for said in error.args)
        for field in ("filename", "filename2", "detail"):  # which some errors have beside args
            if hasattr(error, field):
                setattr(error, field, _replaced(getattr(error, field), places))
        raise


def _replaced(said: Any, names: Mapping[str, str]) -> Any:
    if isinstance(said, str | Path):
        said = str(said)
        for place, name in names.items():
            said = said.replace(place, name)
    return said


def _cut(pieces: Pieces, first: int, behind: int, out: Path) -> None:
    if (first, behind) == (0, pieces.n_frames) and not pieces.rectangles:
        shutil.copyfile(pieces.clip, out)  # encoding the same pictures again would only cost detail
    else:
        chosen = frames_of(pieces.clip, first, behind)
        painted = (_painted(frame, pieces.rectangles) for frame in chosen)
        write_clip(painted, out, exact(pieces.fps), pieces.crf)
    verify(out, behind - first)
    assert_stripped(out)


def _painted(frame: Any, rectangles: Sequence[Rectangle]) -> Any:
    """The picture alone, in yuv420p and black below the rectangles."""
    import av

    if not rectangles:
        return av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")
    picture = paint(frame.to_ndarray(format="rgb24"), rectangles)
    shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return shown.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
