"""Finished clips of earlier runs, found again by content and settings.

Lives in the scratch folder because DVC deletes a stage's outputs before it runs. An entry is
`<key>.mp4` and `<key>.json`; the JSON is written last and names the clip's digest, so a clip that a
crash or a hand left incomplete is never reused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from unisurg.corpus.encode import RECIPE
from unisurg.corpus.facts import ClipFacts, RawFacts
from unisurg.settings import Curate

Facts = tuple[RawFacts, ClipFacts]


@dataclass(frozen=True)
class Entry:
    """A finished clip and the facts of it and of its recording."""

    raw: RawFacts
    clip: ClipFacts
    file: Path

    def place(self, target: Path) -> None:
        """Make `target` this clip: a second name of the same file where that is possible."""
        aside = target.with_name(target.name + ".part")
        aside.unlink(missing_ok=True)
        try:
            os.link(self.file, aside)
        except OSError:
            shutil.copyfile(self.file, aside)
        aside.replace(target)
        aside.unlink(missing_ok=True)  # renaming one link of a file to another does nothing


class ClipStore:
    """Clips by the sha256 of their recording, for one way of making clips."""

    def __init__(self, scratch: Path, section: Curate) -> None:
        self._folder = scratch / "clips"
        self._folder.mkdir(parents=True, exist_ok=True)
        ways = (
            RECIPE,
            section.fps,
            section.short_side_px,
            section.quality_crf,
            section.picture_fps,
        )
        self._way = json.dumps(ways)

    def find(self, sha256: str) -> Entry | None:
        """The finished clip of a recording, or None."""
        clip, facts = self._paths(sha256)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(facts.read_text(encoding="utf-8"))
            if known["clip_sha256"] == _sha256(clip):
                return Entry(RawFacts(**known["raw"]), ClipFacts(**known["clip"]), clip)
        return None

    def add(self, sha256: str, make: Callable[[Path], Facts]) -> Entry:
        """Let `make` write the clip to the path it is given, and keep it with its facts."""
        clip, facts = self._paths(sha256)
        facts.unlink(missing_ok=True)
        raw_facts, clip_facts = make(clip)
        known = {"raw": asdict(raw_facts), "clip": asdict(clip_facts), "clip_sha256": _sha256(clip)}
        part = facts.with_name(facts.name + ".part")
        part.write_text(json.dumps(known, sort_keys=True, indent=1) + "\n", encoding="utf-8")
        part.replace(facts)
        return Entry(raw_facts, clip_facts, clip)

    def _paths(self, sha256: str) -> tuple[Path, Path]:
        key = hashlib.sha256(f"{sha256} {self._way}".encode()).hexdigest()[:32]
        return self._folder / f"{key}.mp4", self._folder / f"{key}.json"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
