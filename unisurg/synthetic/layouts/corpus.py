"""The corpus: raw recordings for pretraining, stored in every way that makes video hard to read.

    corpus/<source>/<name>.mp4|mkv|avi, corpus_labels/<source>/<name>.json

Three files in it cannot be read at all, and some others curation has to act on (`troubles.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from unisurg.settings import Theatre
from unisurg.synthetic.encode import CRF, Encoding, write_video
from unisurg.synthetic.exact import stream
from unisurg.synthetic.labels import describe
from unisurg.synthetic.layouts import troubles
from unisurg.synthetic.layouts.files import write_bytes, write_text
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.operation import Operation
from unisurg.synthetic.render import Renderer

CYCLE = ("laparoscopy-a", "laparoscopy-b", "laparoscopy-a", "colonoscopy", "arthroscopy")


@dataclass(frozen=True)
class Recording:
    """One raw video of the corpus: what to render and how to store it."""

    source: str
    name: str
    seed: int
    seconds: int
    size: tuple[int, int]  # height, width
    encoding: Encoding

    def times_ms(self) -> np.ndarray:
        rate = self.encoding.rate
        frames = np.arange(int(self.seconds * rate), dtype=np.int64)
        times = frames * 1000 * rate.denominator // rate.numerator
        if self.encoding.variable:
            gap = 1000 * rate.denominator // rate.numerator
            times[1:] += stream(self.seed, 1).integers(-gap // 3, gap // 3 + 1, len(times) - 1)
        return times


def recordings(settings: Theatre, seed: int) -> list[Recording]:
    """The corpus' recordings: most alike, every fourth stored in an unusual way."""
    usual = Encoding(".mp4", "libx264", Fraction(settings.corpus_fps), CRF)
    side = settings.side_px
    result = []
    for number in range(settings.corpus_videos):
        plain = Recording(
            source=CYCLE[number % len(CYCLE)],
            name=f"case{number + 1:03d}",
            seed=seed_of(seed, "corpus", number),
            seconds=settings.corpus_seconds,
            size=(side, side),
            encoding=usual,
        )
        turn, kind = divmod(number, 4)
        odd = _unusual(plain)
        result.append(odd[turn] if kind == 1 and turn < len(odd) else plain)
    return result


def _unusual(plain: Recording) -> list[Recording]:
    """The same recording in each of the ways that make raw video hard to read."""

    height, width = plain.size
    usual = plain.encoding
    return [
        replace(plain, encoding=replace(usual, rate=Fraction(25))),
        replace(plain, encoding=replace(usual, suffix=".mkv")),
        replace(plain, encoding=replace(usual, variable=True)),
        replace(plain, encoding=replace(usual, suffix=".avi", codec="mpeg4")),
        replace(plain, encoding=replace(usual, rate=Fraction(30000, 1001))),
        replace(plain, encoding=replace(usual, audio=True)),
        replace(plain, size=(height, width * 5 // 4)),
    ]


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    usual = [
        Job(root / "corpus_labels" / r.source / f"{r.name}.json", _write_recording, (root, r))
        for r in recordings(settings, seed)
    ]
    return [*usual, *troubles.jobs(root, settings, seed)]


def _write_recording(root: Path, recording: Recording) -> None:
    operation = Operation(recording.source, recording.seed, recording.seconds)
    renderer = Renderer(operation, *recording.size)
    times = recording.times_ms()
    states = operation.at(times)
    pictures = (renderer.rgb(states[i]) for i in range(len(times)))
    path = root / "corpus" / recording.source / f"{recording.name}{recording.encoding.suffix}"
    write_video(path, pictures, times, recording.encoding)
    labels = root / "corpus_labels" / recording.source / f"{recording.name}.json"
    write_text(labels, json.dumps(describe(operation, renderer, recording.source)) + "\n")


def plant_unreadable(root: Path, settings: Theatre, seed: int) -> None:
    """Three files that no reader can read: empty, cut off before its index, not a video."""
    corpus = root / "corpus"
    folder = corpus / CYCLE[0]
    first = recordings(settings, seed)[0]
    whole = (corpus / first.source / f"{first.name}{first.encoding.suffix}").read_bytes()
    write_bytes(folder / "empty.mp4", b"")
    write_bytes(folder / "cut-off.mp4", whole[: whole.rindex(b"moov") // 4])
    write_bytes(folder / "not-a-video.mp4", b"The recorder was switched off too early.\n")


CORPUS = Layout(
    name="corpus",
    edition=3,
    settings=("side_px", "corpus_videos", "corpus_seconds", "corpus_fps", "phase_videos"),
    jobs=jobs,
    finish=plant_unreadable,
)
