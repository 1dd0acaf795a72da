"""DICOM files: what they show, without a word of what they say about the patient.

Encapsulated video leaves as it is. Pictures are put, undecoded where they are JPEG, into a NUT
container with the times that the file tells. So both are read as any video is. `extract` runs in a
killable child.

The forms of pixel data are those of DICOM PS3.5, sections 8.2 and A.4; times those of PS3.3,
section C.7.6.5.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import accumulate, chain, count, islice, repeat
from pathlib import Path
from typing import IO, Any

from unisurg.corpus.facts import Reason, Unusable

HEAD_BYTES, MAGIC = 132, b"DICM"
VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10([0-6](\.1)?|[78])")
"""Transfer syntaxes of MPEG-2, MPEG-4 AVC/H.264 and HEVC/H.265, whole or in fragments."""
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
UNCOMPRESSED = {"1.2.840.10008.1.2": 4, "1.2.840.10008.1.2.1": 8}
"""Transfer syntaxes of little endian, and how many bytes stand between the tag and the pixels."""
PIXEL_FORMATS = {("MONOCHROME2", 1, 8): "gray", ("RGB", 3, 8): "rgb24"}
"""libav's names of the pictures that are read uncompressed: by meaning, samples and bits."""
# fmt: off
TAGS = (
    "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated",
    "PhotometricInterpretation", "PlanarConfiguration",
    "FrameTimeVector", "FrameTime", "CineRate", "RecommendedDisplayFrameRate",
)
# fmt: on
PIXEL_DATA, ITEM = struct.pack("<HH", 0x7FE0, 0x0010), struct.pack("<HH", 0xFFFE, 0xE000)
JPEG_START = b"\xff\xd8"
TICK_S = Fraction(1, 1_000_000)
BLOCK_BYTES = 1 << 20
LEAST_PICTURES = 2
"""A single picture is no recording."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with these HEAD_BYTES is one of DICOM."""
    return head[HEAD_BYTES - len(MAGIC) :] == MAGIC


def extract(raw: Path, out: Path) -> None:
    """Write the moving pictures of a DICOM file to `out`, as a file that libav reads.

    Of a file that was cut off there is what it still holds.

    Raises:
        Unusable: unreadable, where the form is not read; no_video_stream, of a single picture or
            none; not_a_sequence, of pictures without times.
    """
    with raw.open("rb") as file:
        syntax, facts = _header(file)
        try:
            _write(file, syntax, facts, out)
        except (ArithmeticError, TypeError, ValueError) as error:
            detail = f"DICOM: what it says of its pixels cannot be ({type(error).__name__})"
            raise Unusable(Reason.UNREADABLE, detail) from None


def _write(file: IO[bytes], syntax: str, facts: dict[str, Any], out: Path) -> None:
    if VIDEO.fullmatch(syntax):
        _write_video(_fragments(file), out)
    elif syntax == JPEG_BASELINE:
        _write_jpegs(_jpegs(_fragments(file)), facts, out)
    elif syntax in UNCOMPRESSED:
        file.seek(UNCOMPRESSED[syntax], 1)
        _write_pictures(file, facts, out)
    else:
        raise Unusable(Reason.UNREADABLE, f"DICOM: transfer syntax {syntax} is not read")


def _header(file: IO[bytes]) -> tuple[str, dict[str, Any]]:
    """The transfer syntax, and what the file says of its pixels alone; it is left behind the tag
    where they begin."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote what the file says
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
            facts = {tag: header.get(tag) for tag in TAGS}
            syntax = str(header.file_meta.get("TransferSyntaxUID", "(none)"))
    except MemoryError:
        raise
    except Exception as error:  # a damaged header makes anything of its reader
        detail = f"DICOM: the header cannot be read ({type(error).__name__})"
        raise Unusable(Reason.UNREADABLE, detail) from None
    if file.read(len(PIXEL_DATA)) != PIXEL_DATA:
        raise Unusable(Reason.NO_VIDEO_STREAM, "DICOM: no pixels, or cut off before")
    return syntax, facts


def _fragments(file: IO[bytes]) -> Iterator[Iterator[bytes]]:
    """The fragments of encapsulated pixels, each as blocks that must be read in their turn."""
    file.seek(8, 1)  # representation and length of the whole, which is not known
    for number in count():
        head = file.read(8)
        if head[:4] != ITEM or len(head) < 8:
            return
        blocks = _blocks(file, int.from_bytes(head[4:], "little"))
        if number == 0:  # a table of offsets, which may be empty or wrong
            for _ in blocks:
                pass
        else:
            yield blocks


def _blocks(file: IO[bytes], left: int) -> Iterator[bytes]:
    while left and (block := file.read(min(left, BLOCK_BYTES))):
        left -= len(block)
        yield block


def _jpegs(fragments: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """Whole pictures; a fragment that does not begin as one goes on with the picture before."""
    parts: list[bytes] = []
    for blocks in fragments:
        fragment = b"".join(blocks)
        if parts and fragment.startswith(JPEG_START):
            yield b"".join(parts)
            parts = []
        parts.append(fragment)
    if parts:
        yield b"".join(parts)


def _write_video(fragments: Iterable[Iterator[bytes]], out: Path) -> None:
    with out.open("wb") as target:
        for blocks in fragments:
            for block in blocks:
                target.write(block)
        if not target.tell():
            raise Unusable(Reason.NO_VIDEO_STREAM, "DICOM: video of no bytes")


def _write_jpegs(jpegs: Iterator[bytes], facts: dict[str, Any], out: Path) -> None:
    import av

    rate, times = _rate(facts), _times(facts)
    with av.open(str(out), "w", format="nut") as container:
        size = {"width": facts["Columns"], "height": facts["Rows"]}
        stream = container.add_mux_stream("mjpeg", rate, **size)
        stream.time_base = TICK_S
        for jpeg, time in zip(_several(jpegs), times, strict=False):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base, packet.is_keyframe = stream, TICK_S, True
            packet.pts = packet.dts = round(time / TICK_S)
            container.mux(packet)


def _write_pictures(file: IO[bytes], facts: dict[str, Any], out: Path) -> None:
    import av

    kind = facts["PhotometricInterpretation"], facts["SamplesPerPixel"], facts["BitsAllocated"]
    if kind not in PIXEL_FORMATS:
        detail = "DICOM: uncompressed {}, {} samples of {} bits, is not read".format(*kind)
        raise Unusable(Reason.UNREADABLE, detail)
    rate, times = _rate(facts), _times(facts)
    with av.open(str(out), "w", format="nut") as container:
        stream = container.add_stream("rawvideo", rate)
        stream.width, stream.height = facts["Columns"], facts["Rows"]
        stream.pix_fmt = PIXEL_FORMATS[kind]
        stream.codec_context.time_base = TICK_S
        for picture, time in zip(_several(_pictures(file, facts)), times, strict=False):
            frame = av.VideoFrame.from_ndarray(picture, format=stream.pix_fmt)
            frame.pts, frame.time_base = round(time / TICK_S), TICK_S
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(file: IO[bytes], facts: dict[str, Any]) -> Iterator[Any]:
    """uint8 (H, W) or (H, W, 3), as many as the header counts and the file still holds."""
    import numpy as np

    height, width, samples = facts["Rows"], facts["Columns"], facts["SamplesPerPixel"]
    in_planes = samples > 1 and facts["PlanarConfiguration"] == 1
    for _ in range(int(facts["NumberOfFrames"] or 1)):
        data = file.read(height * width * samples)
        if len(data) < height * width * samples:
            return
        values = np.frombuffer(data, np.uint8)
        if in_planes:
            yield np.ascontiguousarray(values.reshape(samples, height, width).transpose(1, 2, 0))
        else:
            yield values.reshape((height, width, samples) if samples > 1 else (height, width))


def _times(facts: dict[str, Any]) -> Iterator[Fraction]:
    """Seconds of picture 0, 1, ... without end."""
    import numpy as np

    if vector := facts["FrameTimeVector"]:  # milliseconds between a picture and the one before
        steps = [Fraction(str(ms)) / 1000 for ms in np.atleast_1d(vector)]
        return accumulate(chain(steps, repeat(steps[-1])))
    if ms := facts["FrameTime"]:
        return (k * Fraction(str(ms)) / 1000 for k in count())
    if rate := facts["CineRate"] or facts["RecommendedDisplayFrameRate"]:
        return (Fraction(k) / Fraction(str(rate)) for k in count())
    told = "FrameTime, FrameTimeVector, CineRate, RecommendedDisplayFrameRate"
    raise Unusable(Reason.NOT_A_SEQUENCE, f"DICOM: pictures without times, none of {told}")


def _rate(facts: dict[str, Any]) -> Fraction:
    """Pictures a second, by the first two."""
    first, second = islice(_times(facts), 2)
    return 1 / (second - first)


def _several(pictures: Iterator[Any]) -> Iterator[Any]:
    """The same pictures, which must be more than one."""
    first = list(islice(pictures, LEAST_PICTURES))
    if len(first) < LEAST_PICTURES:
        raise Unusable(Reason.NO_VIDEO_STREAM, "DICOM: a single picture")
    yield from chain(first, pictures)
