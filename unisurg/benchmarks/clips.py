"""Clips and the files that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unisurg.benchmarks.base import Case, ClipCase, Findings


def with_files(clips: Iterable[ClipCase], listed_in: Path, findings: Findings) -> list[Case]:
    """Clips whose file is there, in the given order.

    A missing file is a finding, told once however many clips it holds; `listed_in` is what names
    the clips.
    """
    found: list[Case] = []
    absent: set[Path] = set()
    for clip in clips:
        if clip.video.is_file():
            found.append(clip)
            continue
        findings.missing.append(clip.case)
        if clip.video not in absent:
            absent.add(clip.video)
            findings.error(
                clip.video, f"missing, but {listed_in} lists {clip.case}", "restore the video"
            )
    return found
