"""What a finished clip may hold beside its pictures: nothing.

Names and dates hide in tags, sound, captions, chapters and attachments, so a clip is checked as it
lies on disk. Captions can also ride inside the pictures' own stream (CEA-708 in SEI messages),
where an encoder copies them from source to output; each frame's side data is looked at as well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MUXER_TAGS = {
    "major_brand": {"isom"},
    "minor_version": {"512"},
    "compatible_brands": {"isomiso2avc1mp41"},
    "handler_name": {"VideoHandler"},
    "language": {"und"},
    "vendor_id": {"[0][0][0][0]"},
    "encoder": {"Lavf", "Lavc libx264"},
}
"""Tags that the project's own writer leaves, with the only values that they may have."""
BOXES = {"ftyp", "filler", "mdat", "moov", "mvhd", "trak"}
"""Boxes of an MP4 file, and in its `moov`, that hold pictures and how to find them."""
NO_TAGS = b"".join(
    [b"\0\0\0\x35meta", bytes(4), b"\0\0\0\x21hdlr", bytes(8), b"mdirappl", bytes(9),
     b"\0\0\0\x08ilst"]
)  # fmt: skip
"""The frame of an empty list of tags."""
FILLERS = {"udta": NO_TAGS, "free": b""}
"""Boxes that may be there, and all that may be in them."""
X264_UUID = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
"""Marks the message in which x264 names itself and its settings."""


class NotStripped(RuntimeError):
    """A clip holds something beside its pictures; the text names it."""


@dataclass(frozen=True)
class ContainerFacts:
    """Everything that a clip holds."""

    streams: dict[str, int]
    """Number by kind: video, audio, subtitle, data, attachment, cover, unknown."""
    tags: dict[str, str]
    """By place and key: `container.title`, `stream 0.language`."""
    chapters: int
    boxes: tuple[str, ...]
    """Boxes of the file and of its `moov`; empty where it is no MP4."""
    side_data: dict[str, int]
    """Number of frames by kind of what they carry; x264's own message is left out."""


def facts(path: Path) -> ContainerFacts:
    """All that a media file holds; decodes its video to see what the frames carry.

    Raises:
        Unusable: unreadable.
    """
    from unisurg.corpus.probe import open_raw

    with open_raw(path) as container:
        return ContainerFacts(
            streams=dict(Counter(_kind(stream) for stream in container.streams)),
            tags=_tags(container),
            chapters=len(container.chapters()),
            boxes=_boxes(path) if "mp4" in container.format.name else (),
            side_data=_side_data(container),
        )


def leftovers(found: ContainerFacts) -> list[str]:
    """What should not be there, one line each."""
    streams = Counter(found.streams)
    streams.subtract({"video": 1})
    return [
        *(f"{number:+d} {kind} stream" for kind, number in sorted(streams.items()) if number),
        *(f"tag {key} = {value!r}" for key, value in found.tags.items() if not _ours(key, value)),
        *([f"{found.chapters} chapters"] if found.chapters else []),
        *(f"box {box!r}" for box in found.boxes if box not in BOXES),
        *(f"{kind} on {number} frames" for kind, number in sorted(found.side_data.items())),
    ]


def assert_stripped(path: Path) -> None:
    """Pass a clip that holds one video stream and nothing else.

    Raises:
        NotStripped: with everything that was found.
        Unusable: unreadable.
    """
    if left := leftovers(facts(path)):
        raise NotStripped(
            f"{path}: {'; '.join(left)}. Write it with unisurg.corpus.encode.write_clip, from "
            "frames without side data, and do not add to it afterwards"
        )


def _kind(stream: Any) -> str:
    from av.stream import Disposition

    if stream.type == "video" and stream.disposition & Disposition.attached_pic:
        return "cover"
    return stream.type or "unknown"


def _tags(container: Any) -> dict[str, str]:
    """Tags of the container and of its streams; those of chapters count as chapters."""
    places = {"container": container.metadata}
    places |= {f"stream {s.index}": s.metadata for s in container.streams}
    return {
        f"{place}.{key}": value for place, tags in places.items() for key, value in tags.items()
    }


def _ours(key: str, value: str) -> bool:
    return value in MUXER_TAGS.get(key.split(".", 1)[1].lower(), ())


def _side_data(container: Any) -> dict[str, int]:
    """Of the first video stream; a second one is too many anyway."""
    seen: Counter[str] = Counter()
    for frame in container.decode(video=0) if container.streams.video else ():
        seen.update({side.type.name for side in frame.side_data if not _by_x264(side)})
    return dict(seen)


def _by_x264(side: Any) -> bool:
    return side.type.name == "SEI_UNREGISTERED" and bytes(side)[:16] == X264_UUID


def _boxes(path: Path) -> tuple[str, ...]:
    """Names of the top boxes and of those in `moov`, in order (ISO/IEC 14496-12, 4.2)."""
    names: list[str] = []
    with path.open("rb") as file:
        ends = [path.stat().st_size]
        while ends:
            if file.tell() >= ends[-1]:
                ends.pop()
                continue
            start = file.tell()
            size, name = int.from_bytes(file.read(4)), file.read(4).decode("latin-1")
            size = int.from_bytes(file.read(8)) if size == 1 else size or ends[-1] - start
            if name in FILLERS and file.read(size - 8) == FILLERS[name]:
                name = "filler"
            names.append(name)
            if size < 8:
                names.append(f"of {size} bytes")
                break
            if name == "moov":
                ends.append(start + size)
            else:
                file.seek(start + size)
    return tuple(names)
