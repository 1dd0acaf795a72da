"""A folder of raw recordings -> clips, a manifest of them, and a quarantine for the rest.

Nothing is lost: every recording that is found ends in exactly one row of `manifest.parquet` or
`quarantine.csv`. The raw files are only read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from unisurg.corpus import manifest
from unisurg.corpus.child import ChildCrashed, ChildFailed, ChildOutOfMemory, ChildTimeout, Limits
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import Inputs, Recording, find
from unisurg.corpus.normalise import normalise_pictures, normalise_video
from unisurg.corpus.store import ClipStore, Entry, Facts
from unisurg.progress import track
from unisurg.settings import Curate

UNKNOWN = "unknown"
"""Specialty of a source that `curate.specialties` does not name."""
ID_DIGITS = 16
NAMED_IN_ERROR = 20
STAGES = {
    Reason.EMPTY: "probe",
    Reason.UNREADABLE: "probe",
    Reason.NO_VIDEO_STREAM: "probe",
    Reason.NOT_A_SEQUENCE: "probe",
    Reason.DUPLICATE: "probe",
    Reason.VERIFY_FAILED: "verify",
}
"""Where a recording was refused; all other reasons show while it is normalised."""


class CurationError(RuntimeError):
    """The corpus is not fit for use; the message names the recordings and the remedy."""


@dataclass(frozen=True)
class Summary:
    """What became of an input folder."""

    inputs: int
    clips: int
    frames: int
    seconds: float
    reused: int
    """Clips taken from an earlier run."""
    quarantined: dict[str, int]
    """Number of recordings by reason."""
    ignored: dict[str, int]
    """Number of files that are no recordings, by suffix."""

    def numbers(self) -> dict[str, float]:
        """The counts as flat metrics."""
        return {
            "inputs": self.inputs,
            "clips": self.clips,
            "frames": self.frames,
            "seconds": self.seconds,
            "quarantined": sum(self.quarantined.values()),
            "ignored": sum(self.ignored.values()),
            **{f"quarantined_{reason}": count for reason, count in self.quarantined.items()},
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.inputs} recordings: {self.clips} clips ({self.reused} from earlier runs), "
                f"{self.frames} frames, {self.seconds:.0f} s",
                f"quarantined: {_listed(self.quarantined)}",
                f"other files: {_listed(self.ignored)}",
            ]
        )


@dataclass(frozen=True)
class Kept:
    recording: Recording
    sha256: str
    entry: Entry
    reused: bool

    @property
    def video_id(self) -> str:
        return self.sha256[:ID_DIGITS]


@dataclass(frozen=True)
class Refused:
    recording: Recording
    reason: Reason
    detail: str


def curate(section: Curate, input: Path, output: Path, scratch: Path) -> Summary:
    """Normalise every recording below `input` into the corpus folder `output`.

    Clips are made in `scratch` and linked into `output`; a clip that is already there for the same
    bytes and settings is reused, so an interrupted run goes on where it stopped. Any one recording
    may fail in any way without harm to the others.

    Writes clips/<video_id>.mp4, manifest.parquet, quarantine.csv and inputs.csv.

    Raises:
        CurationError: nothing to curate; or more than `section.max_quarantined` of it was refused,
            after everything has been written.
    """
    inputs = _find(input, output, scratch)
    output.mkdir(parents=True, exist_ok=True)
    manifest.write_inputs(output, map(_input_row, inputs.recordings))
    outcomes = _normalise_all(inputs.recordings, section, ClipStore(scratch, section))
    kept = [outcome for outcome in outcomes if isinstance(outcome, Kept)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    _place_clips(kept, output / "clips")
    manifest.write_manifest(output, (_manifest_row(k, section) for k in kept))
    manifest.write_quarantine(output, map(_quarantine_row, refused))
    _judge(refused, len(inputs.recordings), section.max_quarantined, output)
    return Summary(
        inputs=len(inputs.recordings),
        clips=len(kept),
        frames=sum(k.entry.clip.n_frames for k in kept),
        seconds=sum(k.entry.clip.duration_s for k in kept),
        reused=sum(k.reused for k in kept),
        quarantined=dict(sorted(Counter(str(r.reason) for r in refused).items())),
        ignored=inputs.ignored,
    )


def _find(input: Path, output: Path, scratch: Path) -> Inputs:
    if not input.is_dir():
        raise CurationError(f"{input}: no such folder; set curate.input or pass --input")
    for written in (output, scratch):
        if written.resolve().is_relative_to(input.resolve()):
            raise CurationError(f"{written}: lies inside the raw input {input}, which is only read")
    inputs = find(input)
    if not inputs.recordings:
        raise CurationError(
            f"{input}: no video and no numbered pictures; other files by suffix: {inputs.ignored}"
        )
    return inputs


def _normalise_all(
    recordings: Sequence[Recording], section: Curate, store: ClipStore
) -> list[Kept | Refused]:
    """One outcome per recording, `section.workers` of them at a time, the largest first."""
    largest_first = sorted(recordings, key=lambda r: (-r.raw_bytes, r.raw))
    pool = ThreadPoolExecutor(section.workers)
    try:
        hashes = list(track(pool.map(Recording.sha256, largest_first), "hash", len(largest_first)))
        first = _first_of_equals(largest_first, hashes)
        work = [
            pool.submit(_outcome, recording, sha256, first[sha256], section, store)
            for recording, sha256 in zip(largest_first, hashes, strict=True)
        ]
        return [done.result() for done in track(as_completed(work), "curate", len(work))]
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of_equals(recordings: Sequence[Recording], hashes: Sequence[str]) -> dict[str, str]:
    """sha256 -> name of the recording that stands for all with these bytes: the first by name."""
    first: dict[str, str] = {}
    for recording, sha256 in zip(recordings, hashes, strict=True):
        first[sha256] = min(recording.raw, first.get(sha256, recording.raw))
    return first


def _outcome(
    recording: Recording, sha256: str, first: str, section: Curate, store: ClipStore
) -> Kept | Refused:
    """Never raises: whatever happens to one recording is a row of the quarantine."""
    try:
        return _kept(recording, sha256, first, section, store)
    except Unusable as error:
        return Refused(recording, error.reason, error.detail)
    except ChildTimeout as error:
        return Refused(recording, Reason.TIMEOUT, str(error))
    except ChildOutOfMemory as error:
        return Refused(
            recording, Reason.OUT_OF_MEMORY, f"{error}, {section.memory_mib} MiB allowed"
        )
    except ChildCrashed as error:
        return Refused(recording, Reason.CRASHED, str(error))
    except ChildFailed as error:
        return Refused(recording, Reason.FAILED, str(error))
    except Exception as error:
        return Refused(recording, Reason.FAILED, f"{type(error).__name__}: {error}")


def _kept(recording: Recording, sha256: str, first: str, section: Curate, store: ClipStore) -> Kept:
    if recording.raw_bytes == 0:
        raise Unusable(Reason.EMPTY, "no bytes")
    if recording.kind == "unordered":
        names = ", ".join(path.name for path in recording.files[:3])
        raise Unusable(
            Reason.NOT_A_SEQUENCE, f"{len(recording.files)} pictures that no number orders: {names}"
        )
    if recording.raw != first:
        raise Unusable(Reason.DUPLICATE, f"same bytes as {first}")
    found = store.find(sha256)
    entry = found or store.add(sha256, lambda out: _normalise(recording, out, section))
    if entry.clip.decoded_s < section.min_seconds:
        raise Unusable(
            Reason.TOO_SHORT, f"{entry.clip.decoded_s:.2f} s, wanted {section.min_seconds:g} s"
        )
    return Kept(recording, sha256, entry, reused=found is not None)


def _normalise(recording: Recording, out: Path, section: Curate) -> Facts:
    limits = Limits(section.timeout_s, section.memory_mib)
    fps, short_side_px, crf = section.fps, section.short_side_px, section.quality_crf
    if recording.kind == "video":
        return normalise_video(recording.files[0], out, fps, short_side_px, crf, limits)
    return normalise_pictures(
        recording.files, out, section.picture_fps, fps, short_side_px, crf, limits
    )


def _place_clips(kept: Sequence[Kept], folder: Path) -> None:
    """Make `folder` hold exactly the clips of this run."""
    folder.mkdir(exist_ok=True)
    named = {f"{k.video_id}.mp4": k.entry for k in kept}
    for old in folder.iterdir():
        if old.name not in named:
            old.unlink()
    for name, entry in named.items():
        entry.place(folder / name)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _input_row(recording: Recording) -> manifest.Row:
    return {"raw": recording.raw, "kind": recording.kind, "raw_bytes": recording.raw_bytes}


def _manifest_row(kept: Kept, section: Curate) -> manifest.Row:
    recording, raw, clip = kept.recording, kept.entry.raw, kept.entry.clip
    return {
        "video_id": kept.video_id,
        "source": recording.source,
        "specialty": section.specialties.get(recording.source, UNKNOWN),
        "clip": f"clips/{kept.video_id}.mp4",
        "raw": recording.raw,
        "raw_sha256": kept.sha256,
        "raw_bytes": recording.raw_bytes,
        "codec": raw.codec,
        "raw_width_px": raw.width_px,
        "raw_height_px": raw.height_px,
        "raw_fps": raw.fps,
        "raw_duration_s": clip.decoded_s,
        "has_audio": raw.has_audio,
        "width_px": clip.width_px,
        "height_px": clip.height_px,
        "fps": clip.fps,
        "n_frames": clip.n_frames,
        "duration_s": clip.duration_s,
        "variable_rate": clip.variable_rate,
        "decode_errors": clip.decode_errors,
        "clock_jumps": clip.clock_jumps,
        "missing_pictures": recording.missing,
    }


def _quarantine_row(refused: Refused) -> manifest.Row:
    return {
        "raw": refused.recording.raw,
        "stage": STAGES.get(refused.reason, "normalise"),
        "reason": str(refused.reason),
        "detail": refused.detail,
        "raw_bytes": refused.recording.raw_bytes,
    }


def _judge(refused: Sequence[Refused], inputs: int, limit: float, output: Path) -> None:
    if len(refused) <= limit * inputs:
        return
    named = sorted(refused, key=lambda r: r.recording.raw)[:NAMED_IN_ERROR]
    lines = [f"  {r.recording.raw}: {r.reason}: {r.detail}" for r in named]
    more = [f"  and {len(refused) - len(named)} more"] if len(refused) > len(named) else []
    raise CurationError(
        "\n".join(
            [
                f"{len(refused)} of {inputs} recordings are in quarantine, more than the share of "
                f"{limit:g} that curate.max_quarantined allows:",
                *lines,
                *more,
                f"All of them with their reasons: {output / manifest.QUARANTINE}. "
                "Repair or remove them, or raise curate.max_quarantined.",
            ]
        )
    )
