"""What lies behind a case on disk: rate and duration of a video, pictures of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unisurg.benchmarks.findings import Findings

PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}


@dataclass(frozen=True)
class VideoFacts:
    """Of a video's header: frames per second, and seconds (0 where it does not tell)."""

    fps: float
    seconds: float


def video_facts(path: Path, findings: Findings) -> VideoFacts | None:
    """Facts of a video's header; None where it cannot be read, which is a finding.

    No frame is decoded, so that a whole data set is looked at in seconds.
    """
    import av

    av.logging.set_level(av.logging.PANIC)
    try:
        # A playlist disguised as a video may name addresses; only local files are opened.
        with av.open(
            str(path.absolute()),
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None or not stream.average_rate:
                findings.error(path, "holds no video", "restore the video")
                return None
            seconds = 0.0
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            elif container.duration:
                seconds = container.duration / av.time_base
            return VideoFacts(float(stream.average_rate), seconds)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        findings.error(path, f"cannot be read ({reason})", "restore the video")
        return None


def pictures(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
