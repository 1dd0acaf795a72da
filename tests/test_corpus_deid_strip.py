"""A finished clip holds pictures and nothing beside them, and what is beside them is named."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from corpus_recordings import constant

from unisurg.corpus.deid.overlays import Rectangle, paint
from unisurg.corpus.deid.strip import NotStripped, assert_stripped, facts, leftovers
from unisurg.corpus.encode import fitted, write_clip
from unisurg.corpus.facts import Unusable

NAME = "MUELLER^ANNA"
SECONDS = 3


def pictures(number: int = 25 * SECONDS) -> Iterator[av.VideoFrame]:
    rng = np.random.default_rng(0)
    for _ in range(number):
        small = rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)
        yield av.VideoFrame.from_ndarray(small.repeat(8, 0).repeat(8, 1), format="rgb24")


def stuffed(path: Path) -> Path:
    """A Matroska file with everything that can name somebody."""
    srt = path.with_suffix(".srt")
    srt.write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{NAME}\n\n")
    with av.open(str(srt)) as captions, av.open(str(path), "w") as container:
        container.metadata.update({"title": NAME, "date": "1962-05-08", "comment": "OR 4"})
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.metadata.update({"title": NAME, "operator": "Dr. Huber"})
        sound = container.add_stream("aac", rate=16000)
        sound.metadata["title"] = "theatre microphone"
        words = container.add_stream_from_template(captions.streams[0])
        container.add_attachment("patient.txt", "text/plain", NAME.encode())
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000),
              "metadata": {"title": NAME}}]
        )  # fmt: skip
        for i, frame in enumerate(pictures()):
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, 16000 * SECONDS, 1024):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            part.sample_rate, part.pts = 16000, start
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
        for packet in captions.demux():
            if packet.dts is not None:
                packet.stream = words
                container.mux(packet)
    return path


def captioned(path: Path) -> Path:
    """Raw H.264 whose every picture carries closed captions (CEA-708) and a message of its own."""
    caption = b"\xb5\x00\x31GA94\x03" + bytes([0xC1, 0xFF, 0xFC, 0x80 | ord("M"), 0x80 | ord("U")])
    messages = _sei(4, caption + b"\xff") + _sei(5, b"sixteen letters." + NAME.encode())
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 96, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    stream = b""
    for i, frame in enumerate([*pictures(), None]):
        if frame is not None:
            frame = frame.reformat(format="yuv420p")
            frame.pts = i
        for packet in encoder.encode(frame):
            stream += messages + bytes(packet)
    path.write_bytes(stream)
    return path


def _sei(kind: int, body: bytes) -> bytes:
    """A supplemental message as an H.264 unit in byte stream format (H.264, 7.3.2.3, B.1)."""
    plain = bytes([6, kind, len(body), *body, 0x80])
    guarded = bytearray()
    for byte in plain:
        if guarded[-2:] == b"\0\0" and byte <= 3:
            guarded.append(3)
        guarded.append(byte)
    return b"\0\0\0\1" + bytes(guarded)


def test_nothing_of_a_source_full_of_names_reaches_the_clip(tmp_path: Path) -> None:
    source = stuffed(tmp_path / "source.mkv")
    found = facts(source)
    assert found.streams == {"video": 1, "audio": 1, "subtitle": 1, "attachment": 1}
    assert found.chapters == 1
    assert NAME in found.tags.values()
    with pytest.raises(NotStripped, match=r"audio stream.*subtitle stream.*chapters"):
        assert_stripped(source)

    clip = tmp_path / "clip.mp4"
    with av.open(str(source)) as container:
        frames = (fitted(f, (80, 48), Fraction(1)) for f in container.decode(video=0))
        write_clip(frames, clip, Fraction(25), 20)
    assert_stripped(clip)
    assert facts(clip).streams == {"video": 1}
    for word in (NAME, "Huber", "microphone", "1962", "patient.txt"):
        assert word.encode() not in clip.read_bytes()


def test_captions_inside_the_pictures_are_seen(tmp_path: Path) -> None:
    found = facts(captioned(tmp_path / "captioned.h264"))
    assert found.side_data["A53_CC"] == 25 * SECONDS
    assert found.side_data["SEI_UNREGISTERED"] == 25 * SECONDS
    assert "A53_CC on 75 frames" in leftovers(found)


def test_frames_made_anew_from_painted_pixels_carry_no_captions(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"

    def painted() -> Iterator[Any]:
        with av.open(str(captioned(tmp_path / "captioned.h264"))) as container:
            for frame in container.decode(video=0):
                rgb = paint(frame.to_ndarray(format="rgb24"), [Rectangle(0, 0, 1, 0.1)])
                yield fitted(av.VideoFrame.from_ndarray(rgb, format="rgb24"), (80, 48), Fraction(1))

    write_clip(painted(), clip, Fraction(25), 20)
    assert_stripped(clip)
    assert b"GA94" not in clip.read_bytes()


@pytest.mark.parametrize("key", ["title", "comment", "encoder", "creation_time"])
def test_a_tag_with_another_value_than_the_writers_is_named(tmp_path: Path, key: str) -> None:
    clip = tmp_path / "clip.mp4"
    written = constant(tmp_path / "plain.mp4", 25, 10)
    value = "2024-05-08T10:00:00.000000Z" if key == "creation_time" else NAME
    with av.open(str(written)) as source, av.open(str(clip), "w") as container:
        container.metadata[key] = value
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(NotStripped, match=r"tag (container|stream 0)\."):
        assert_stripped(clip)


@pytest.mark.parametrize("box", ["free", "skip", "udta"])
def test_bytes_that_belong_to_no_picture_are_named(tmp_path: Path, box: str) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip((fitted(f, (160, 96), Fraction(1)) for f in pictures(4)), clip, Fraction(1), 20)
    assert_stripped(clip)
    with clip.open("ab") as file:
        file.write((8 + len(NAME)).to_bytes(4) + box.encode() + NAME.encode())
    with pytest.raises(NotStripped, match=f"box '{box}'"):
        assert_stripped(clip)


def test_sound_beside_the_pictures_is_named(tmp_path: Path) -> None:
    loud = constant(tmp_path / "loud.mp4", 25, 50, sound=True)
    with pytest.raises(NotStripped, match=r"\+1 audio stream"):
        assert_stripped(loud)


def test_a_file_without_pictures_is_not_passed(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text(NAME)
    with pytest.raises(Unusable, match="unreadable"):
        assert_stripped(tmp_path / "text.mp4")
