"""What is kept of a recording once it is decoded, found again by content and by the way of reading.

It lies in the scratch folder, because DVC deletes a stage's outputs before it runs. All of it comes
from one decode, so it counts as there when all of it is there. That a recording cannot be used is
kept as well where it lies in its bytes: nobody reads it twice to hear the same. What may go
otherwise the next time (too slow, too large, a crash, a clip that does not read back) is not.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unisurg.corpus import tables
from unisurg.corpus.encode import RECIPE
from unisurg.corpus.facts import ClipFacts, RawFacts, Reason, Unusable
from unisurg.corpus.parts import Parts
from unisurg.corpus.refusals import CurationError
from unisurg.corpus.scan.folder import OWNER_ONLY, write_medians
from unisurg.corpus.scan.recording import Seen, Way
from unisurg.corpus.scan.scan import ScanFacts
from unisurg.corpus.scan.throughput import CPU, THROUGHPUT, children_cpu_s

VERSION = 3
"""Counted up when the same recording and the same way begin to give other tables or medians."""
SUFFIXES = {
    "clips": ".mp4",
    "frames": ".parquet",
    "shots": ".parquet",
    "medians": ".npz",
    "facts": ".json",
}
REFUSALS = "refusals"
FINAL = frozenset({Reason.UNREADABLE, Reason.NO_VIDEO_STREAM, Reason.DAMAGED})
"""Reasons that lie in the bytes of a recording."""
FOLDER, WORK = "scan", "work"
ID_DIGITS = 16


def video_id_of(sha256: str) -> str:
    """A name that tells nothing but stays with the content: the digest's first 16 digits."""
    return sha256[:ID_DIGITS]


def throughput_of(scratch: Path) -> Path:
    """Where the last run told how long its recordings took to decode."""
    return scratch / FOLDER / THROUGHPUT


@dataclass(frozen=True)
class Kept:
    """The files of one recording, and what was measured of it: columns of the table of videos."""

    clip: Path
    frames: Path
    shots: Path
    medians: Path
    measured: dict[str, Any]
    """And the processor seconds that the decode took, `throughput.CPU`."""


class Store:
    """What is kept of recordings that are read in one way, by the sha256 of their content."""

    def __init__(self, scratch: Path, way: Way, pictures: bool) -> None:
        self._work = scratch / FOLDER / WORK
        said = asdict(way) | {"recipe": RECIPE, "pictures": pictures}
        if not pictures:
            del said["picture_fps"]
        self._parts = {
            name: Parts(scratch / FOLDER, name, VERSION, said, suffix)
            for name, suffix in {**SUFFIXES, REFUSALS: ".json"}.items()
        }

    def find(self, sha256: str) -> Kept | None:
        """What is kept of a recording; None where it must be read.

        Raises:
            Unusable: it was read before, and cannot be used.
        """
        if refusal := self._parts[REFUSALS].find(sha256):
            known = json.loads(refusal.read_text(encoding="utf-8"))
            raise Unusable(Reason(known["reason"]), known["detail"])
        found = {name: self._parts[name].find(sha256) for name in SUFFIXES}
        if any(part is None for part in found.values()):
            return None
        return _kept(found)

    def add(self, sha256: str, read: Callable[[Path], Seen]) -> Kept:
        """Let `read` write the clip to the path it is given, and keep it with all that it tells.

        Raises:
            Unusable: the recording cannot be used.
        """
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._work) as place:
            made = {name: Path(place, name + suffix) for name, suffix in SUFFIXES.items()}
            before_s = children_cpu_s()
            try:
                seen = read(made["clips"])
            except Unusable as error:
                if error.reason in FINAL:
                    said = {"reason": str(error.reason), "detail": error.detail}
                    self._parts[REFUSALS].add(sha256, lambda aside: _write_json(aside, said))
                raise
            _write(made, video_id_of(sha256), *seen, children_cpu_s() - before_s)
            return _kept({n: self._parts[n].add(sha256, made[n].rename) for n in SUFFIXES})


def _kept(parts: dict[str, Any]) -> Kept:
    measured = json.loads(parts["facts"].read_text(encoding="utf-8"))
    return Kept(parts["clips"], parts["frames"], parts["shots"], parts["medians"], measured)


def _write(
    made: dict[str, Path], video_id: str, raw: RawFacts, clip: ClipFacts, scan: Any, cpu_s: float
) -> None:
    tables.write(made["frames"], scan.frames(video_id), "frames")
    tables.write(made["shots"], scan.shots(video_id), "shots")
    write_medians(made["medians"], scan.medians, scan.stills)
    _write_json(made["facts"], _measured(raw, clip, scan.facts) | {CPU: cpu_s})


def _measured(raw: RawFacts, clip: ClipFacts, scan: ScanFacts) -> dict[str, Any]:
    """Columns of the table of videos that only a decode tells."""
    sick = scan.decode_errors or scan.clock_jumps
    return {
        "container": raw.container,
        "vcodec": raw.codec,
        "pix_fmt": raw.pixel_format,
        "coded_width_px": raw.width_px,
        "coded_height_px": raw.height_px,
        "width_px": scan.width_px,
        "height_px": scan.height_px,
        "sar": raw.pixel_aspect,
        "rotation_deg": clip.rotation_deg,
        "duration_s": scan.duration_s,
        "declared_s": raw.duration_s,
        "start_pts_s": raw.start_s,
        "fps_avg": raw.fps,
        "vfr": scan.variable_rate,
        "n_packets": scan.packets,
        "n_decoded": scan.decoded_frames,
        "n_packet_err": scan.decode_errors,
        "clock_jumps": scan.clock_jumps,
        "max_pts_gap_s": clip.longest_gap_s,
        "has_audio": raw.has_audio,
        **scan.row(),
        "clip_width_px": clip.width_px,
        "clip_height_px": clip.height_px,
        "clip_fps": clip.fps,
        "n_frames": clip.n_frames,
        "health": "degraded" if sick else "healthy",
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n", encoding="utf-8")


@contextmanager
def alone(scratch: Path) -> Iterator[None]:
    """Have the scratch folder to oneself, without what a killed run has left half-written in it.

    Raises:
        CurationError: another run is at work in it. A process that dies lets go.
    """
    folder = scratch / FOLDER
    for name in (*SUFFIXES, REFUSALS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(OWNER_ONLY)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CurationError(
                f"{scratch}: another run is at work in it; wait for its end, or use another scratch"
            ) from None
        shutil.rmtree(folder / WORK, ignore_errors=True)
        for name in (*SUFFIXES, REFUSALS):
            for leaving in (folder / name).glob(".*"):
                leaving.unlink()
        yield


def place(file: Path, target: Path) -> None:
    """Make `target` this file: a second name of it where that is possible."""
    aside = target.with_name(target.name + ".part")
    aside.unlink(missing_ok=True)
    try:
        os.link(file, aside)
    except OSError:
        shutil.copyfile(file, aside)
    aside.replace(target)
    aside.unlink(missing_ok=True)  # renaming one link of a file to another does nothing
