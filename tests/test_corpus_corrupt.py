"""Broken recordings: each survives or is refused for its own reason, and what is whole is kept."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from corpus_recordings import constant, number_of, sound_only, write_video
from curating import Here
from test_corpus_scan_stage import FOLDER_KNOBS, videos

from unisurg.corpus import overlaps, sources
from unisurg.corpus.child import ChildFailed, Limits
from unisurg.corpus.facts import Unusable
from unisurg.corpus.inputs import Recording
from unisurg.corpus.manifest import read_quarantine
from unisurg.corpus.mapping import Processes, map_videos
from unisurg.corpus.raw_names import read_raw_names
from unisurg.corpus.scan import folder
from unisurg.corpus.scan.recording import Way, scan_recording
from unisurg.corpus.scan.stage import scan_folder
from unisurg.video.decode import open_clip

SECONDS, FPS, GROUP = 12, 25, 10
ALIKE = {"g": str(GROUP), "bf": "0", "crf": "10", "sc_threshold": "0"}
"""Frames in groups of GROUP, each of which begins anew, in order of presentation."""
LEAST_SALVAGED = 0.9
LIMITS = Limits(timeout_s=60.0, memory_mib=2048)
TICK = Fraction(1, 1000)


@dataclass
class Bytes:
    """A file's bytes, and which of them have been damaged."""

    data: bytearray
    damaged: list[tuple[int, int]]

    def write(self, start: int, new: bytes) -> None:
        self.data[start : start + len(new)] = new
        self.damaged.append((start, start + len(new)))

    def cut(self, share: float) -> None:
        left = int(len(self.data) * share)
        self.damaged.append((left, len(self.data)))
        del self.data[left:]


def flipped(file: Bytes, flips: int, rng: np.random.Generator, start: int = 0) -> None:
    for place in rng.integers(start, len(file.data), flips).tolist():
        file.write(place, bytes([file.data[place] ^ 1 << int(rng.integers(8))]))


def decodable(healthy: Path, damaged: Iterable[tuple[int, int]]) -> list[int]:
    """Seconds whose frame, and all that it is predicted from, has no damaged byte."""
    with av.open(str(healthy)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    hit = np.zeros(healthy.stat().st_size, bool)
    for start, end in damaged:
        hit[start:end] = True
    whole = [not hit[p.pos : p.pos + p.size].any() for p in packets]
    shown = range(0, len(packets), FPS)
    return [i // FPS for i in shown if all(whole[i - i % GROUP : i + 1])]


def salvaged(clip: Path, seconds: Iterable[int]) -> list[int]:
    """Those of the seconds at which the clip shows the frame that it should."""
    with open_clip(clip) as reader:
        numbers = [number_of(frame) for frame in reader.read(range(len(reader)))]
    return [k for k in seconds if k < len(numbers) and numbers[k] == k * FPS]


# ------------------------------------------------------------------ one of every kind


def end_of(data: bytes, box: bytes) -> int:
    """Where the contents of the first box of this name begin."""
    return data.index(box) + 4


def damage(kind: str, file: Bytes) -> None:
    """What is done to a healthy MP4 whose index comes first."""
    rng, media = np.random.default_rng(0), end_of(file.data, b"mdat")
    match kind:
        case "flipped":
            flipped(file, 40, rng, media)
        case "hole":
            file.write(media + len(file.data) // 3, bytes(len(file.data) // 12))
        case "noise":
            file.write(media + len(file.data) // 2, rng.bytes(len(file.data) // 12))
        case "cut-late":
            file.cut(0.9)
        case "cut-early":
            file.cut(0.45)
        case "junk-behind":
            file.data += rng.bytes(5000)
        case "sizes":  # of all samples
            file.write(end_of(file.data, b"stsz") + 8, b"\xff" * 400)
        case "offsets":
            file.write(end_of(file.data, b"stco") + 8, struct.pack(">I", 1 << 31))
        case "codec":  # its configuration
            file.write(end_of(file.data, b"avcC"), bytes(30))
        case "duration":  # of ten days, by the header
            for box, at in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20), (b"elst", 8)):
                file.write(end_of(file.data, box) + at, b"\x7f\xff\xff\xff")


DAMAGES = {
    "flipped": "",
    "hole": "",
    "noise": "",
    "cut-late": "",
    "junk-behind": "",
    "duration": "",
    "cut-early": "damaged",
    "sizes": "unreadable",
    "offsets": "unreadable",
    "codec": "unreadable",
}
"""Why a recording so damaged is refused; empty of those that are kept."""


def others(top: Path, healthy: Path) -> dict[str, str]:
    """Recordings of other kinds, and why they are refused; empty of those that are kept."""
    rng, data = np.random.default_rng(1), healthy.read_bytes()
    whole = constant(top.parent / "late-index.mp4", FPS, 200, faststart=False).read_bytes()
    stream = constant(top.parent / "a.ts", FPS, 250, options=ALIKE).read_bytes()
    matroska = constant(top.parent / "a.mkv", FPS, 250, options=ALIKE).read_bytes()
    junk = {
        "empty.mp4": (b"", "empty"),
        "text.mp4": (b"no video at all\n" * 500, "unreadable"),
        "random.mp4": (rng.bytes(50_000), "unreadable"),
        "zeros.mp4": (bytes(50_000), "unreadable"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", "unreadable"),
        "no-index.mp4": (whole[: int(0.8 * len(whole))], "unreadable"),
        "headless.mp4": (data[1000:], "unreadable"),
        "cut.ts": (stream[: int(0.6 * len(stream))], ""),
        "begins-late.ts": (stream[10_007:], ""),
        "joined.ts": (stream + stream[len(stream) // 2 :], ""),
        "cut.mkv": (matroska[: int(0.8 * len(matroska))], ""),
    }
    for name, (content, _) in junk.items():
        (top / name).write_bytes(content)
    write_video(top / "variable.mp4", np.cumsum(rng.integers(10, 90, 100)), TICK)
    constant(top / "one-frame.mp4", FPS, 1)
    sound_only(top / "sound.mp4")
    odd(top / "odd-444.mkv", "libx264", "yuv444p", (101, 75))
    odd(top / "ten-bit.mkv", "libx265", "yuv420p10le", (160, 96))
    odd(top / "no-colour.avi", "mpeg4", "yuv420p", (160, 96), value=128)
    return {name: reason for name, (_, reason) in junk.items()} | {
        "variable.mp4": "",
        "one-frame.mp4": "too_short",
        "sound.mp4": "no_video_stream",
        "odd-444.mkv": "",
        "ten-bit.mkv": "",
        "no-colour.avi": "",
    }


def odd(
    path: Path, codec: str, pixel_format: str, size: tuple[int, int], value: int | None = None
) -> None:
    with av.open(str(path), "w") as container:
        how = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = container.add_stream(codec, rate=FPS, options=how)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        for number in range(75):
            shade = number if value is None else value
            picture = np.full((size[1], size[0], 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("healthy") / "a.mp4"
    return constant(path, FPS, FPS * SECONDS, options=ALIKE)


Corrupt = tuple[Path, dict[str, str], dict[str, list[int]]]


@pytest.fixture(scope="module")
def corrupt(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Corrupt:
    """(folder of the scan, reason of each recording, decodable seconds of each damaged one)."""
    top = tmp_path_factory.mktemp("corrupt")
    (top / "raw").mkdir()
    seconds = {}
    for kind in DAMAGES:
        file = Bytes(bytearray(healthy.read_bytes()), [])
        damage(kind, file)
        (top / "raw" / f"{kind}.mp4").write_bytes(file.data)
        seconds[f"{kind}.mp4"] = decodable(healthy, file.damaged)
    expected = {f"{kind}.mp4": reason for kind, reason in DAMAGES.items()}
    expected |= others(top / "raw", healthy)
    places = top / "raw", top / "scan", top / "scratch"
    scan_folder(*places, FOLDER_KNOBS, sources.load(), overlaps.load(), Here())
    return top / "scan", expected, seconds


def test_every_kind_survives_or_is_refused_for_its_own_reason(corrupt: Corrupt) -> None:
    scan, expected, _ = corrupt
    assert len(expected) >= 18
    names = read_raw_names(scan).set_index("recording")["raw"].to_dict()
    refused = read_quarantine(scan).set_index("recording")["reason"].rename(names)
    assert refused.to_dict() == {name: reason for name, reason in expected.items() if reason}
    kept = videos(scan)
    assert sorted(kept.index) == sorted(name for name, reason in expected.items() if not reason)


def test_what_is_whole_of_a_damaged_recording_is_in_its_clip(corrupt: Corrupt) -> None:
    scan, expected, seconds = corrupt
    kept = videos(scan)
    for name in (name for name in seconds if not expected[name]):
        clip = folder.clip(scan, kept.loc[name].video_id)
        right = salvaged(clip, seconds[name])
        assert len(seconds[name]) >= SECONDS / 3, name
        assert len(right) >= LEAST_SALVAGED * len(seconds[name]), (name, seconds[name], right)


def test_what_was_damaged_is_called_degraded(corrupt: Corrupt) -> None:
    health = videos(corrupt[0])["health"]
    for name in ("flipped.mp4", "hole.mp4", "noise.mp4", "cut-late.mp4", "joined.ts"):
        assert health[name] == "degraded", name
    for name in ("junk-behind.mp4", "variable.mp4", "odd-444.mkv", "ten-bit.mkv"):
        assert health[name] == "healthy", name


# ------------------------------------------------------------------ a thousand at random


@dataclass
class Fate:
    """What became of one damaged file."""

    outcome: str
    whole: int
    """Seconds that can be decoded."""
    right: int
    """Those of them that are in its clip."""


def fate(job: tuple[int, Path, Path]) -> Fate:
    seed, healthy, top = job
    rng = np.random.default_rng(seed)
    file = Bytes(bytearray(healthy.read_bytes()), [])
    media = end_of(file.data, b"mdat")
    flipped(file, int(rng.integers(1, 40)), rng, media if seed % 2 else 0)
    raw, clip = top / f"{seed}.mp4", top / "clips" / f"{seed}.mp4"
    raw.write_bytes(file.data)
    index_hit = any(start < media for start, _ in file.damaged)
    whole = [] if index_hit else decodable(healthy, file.damaged)
    try:
        scan_recording(found(raw), clip, Way(FOLDER_KNOBS.scan, 64, 20, 1.0), LIMITS)
        return Fate("kept", len(whole), len(salvaged(clip, whole)))
    except (Unusable, ChildFailed) as error:
        reason = error.reason if isinstance(error, Unusable) else type(error).__name__
        return Fate(str(reason), len(whole), 0)
    finally:
        raw.unlink()


def found(raw: Path) -> Recording:
    return Recording(raw.name, "a", "video", (raw,), 0, raw.stat().st_size, ("a",))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_files_with_flipped_bits_do_no_harm_and_what_is_whole_of_them_is_kept(
    tmp_path: Path,
) -> None:
    healthy = constant(tmp_path / "a.mp4", FPS, FPS * 6, options=ALIKE)
    (tmp_path / "clips").mkdir()
    jobs = [(seed, healthy, tmp_path) for seed in range(1000)]
    fates = map_videos(fate, jobs, Processes(2))
    assert all(isinstance(one, Fate) for one in fates)
    outcomes = Counter(one.outcome for one in fates)
    whole, right = (sum(getattr(one, name) for one in fates) for name in ("whole", "right"))
    print(f"{dict(outcomes)}; {right} of {whole} decodable seconds are kept")
    assert sum(outcomes.values()) == 1000
    # A size in a damaged header may ask for any memory, which the child's limit refuses.
    refusals = {"unreadable", "no_video_stream", "damaged", "ChildOutOfMemory"}
    assert outcomes.keys() <= {"kept"} | refusals
    assert right >= LEAST_SALVAGED * whole
