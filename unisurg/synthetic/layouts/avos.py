"""AVOS in the form that is derived from it: clips of YouTube videos, and a table of their actions.

    avos/{anno_meta.txt,videos/YOUTUBEID_START_END.mp4}

All four actions occur; a video has two or three clips of different ones.
"""

from __future__ import annotations

import string
from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.exact import stream
from unisurg.synthetic.layouts.clips import LEAD_MS, PACE, cut, rehearse
from unisurg.synthetic.layouts.files import write_rows
from unisurg.synthetic.layouts.jobs import Job, Layout, seed_of
from unisurg.synthetic.motifs import motif

WORLD = "open"
FPS = 25
ACTIONS = {
    "background": "Preparation",
    "cutting": "CalotTriangleDissection",
    "suturing": "GallbladderRetraction",
    "tying": "GallbladderPackaging",
}
LETTERS = string.ascii_letters + string.digits + "_-"
NAME = 3
Clip = tuple[str, str, int]  # name, action, seconds


def jobs(root: Path, settings: Theatre, seed: int) -> list[Job]:
    folder = root / "avos"
    result = [Job(folder / "anno_meta.txt", _write_table, (folder, settings, seed))]
    for number in range(1, settings.avos_videos + 1):
        last = folder / "videos" / f"{clips_of(number, settings, seed)[-1][0]}.mp4"
        result.append(Job(last, _write_clips, (folder, number, settings, seed)))
    return result


def clips_of(number: int, settings: Theatre, seed: int) -> list[Clip]:
    """Clips of video `number`, whole seconds long and one after the other."""
    rng = stream(seed_of(seed, "avos", number), NAME)
    # Every other id begins with the letter that careless tools strip or split at.
    first = "_-"[number % 2 :][:1] if number % 4 < 2 else ""
    name = (first + "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=11)))[:11]
    second, actions = LEAD_MS // (1000 * PACE), list(ACTIONS)
    clips = []
    for i in range(2 + number % 2):
        seconds = int(rng.integers(max(1, settings.clip_seconds - 1), settings.clip_seconds + 2))
        action = actions[(number + i + number // 4) % 4]
        clips.append((f"{name}_{second}_{second + seconds}", action, seconds))
        second += seconds
    return clips


def _write_table(folder: Path, settings: Theatre, seed: int) -> None:
    clips = [
        clip
        for number in range(1, settings.avos_videos + 1)
        for clip in clips_of(number, settings, seed)
    ]
    write_rows(folder / "anno_meta.txt", [f"{name}.mp4\t{action}" for name, action, _ in clips])


def _write_clips(folder: Path, number: int, settings: Theatre, seed: int) -> None:
    clips = clips_of(number, settings, seed)
    motifs = [motif(ACTIONS[action]) for _, action, _ in clips]
    frames = [seconds * FPS for *_, seconds in clips]
    operation, starts = rehearse(WORLD, seed_of(seed, "avos", number), motifs, frames, FPS)
    for (name, *_), start, count in zip(clips, starts, frames, strict=True):
        path = folder / "videos" / f"{name}.mp4"
        cut(path, operation, start, count, FPS, settings.small_side_px)


AVOS = Layout(
    name="avos",
    edition=1,
    settings=("small_side_px", "clip_seconds", "avos_videos"),
    jobs=jobs,
)
