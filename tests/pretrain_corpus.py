"""A curated corpus of seconds, as `unisurg curate` would write it: a bright square over texture."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from unisurg.corpus.manifest import MANIFEST_COLUMNS, write_manifest

SIDE = 64
VIDEOS = {"north": ("alpha", 20), "south": ("beta", 14), "short": ("beta", 3)}


def write_corpus(folder: Path) -> Path:
    """Clips and manifest of `VIDEOS`: name -> (source, frames)."""
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number, (name, (source, frames)) in enumerate(VIDEOS.items()):
        pictures = moving_square(frames, np.random.default_rng(number))
        write_clip(folder / "clips" / f"{name}.mp4", pictures)
        rows.append(
            {
                **dict.fromkeys(MANIFEST_COLUMNS, 0),
                "raw": name,
                "video_id": name,
                "source": source,
                "specialty": "general_surgery",
                "clip": f"clips/{name}.mp4",
                "n_frames": frames,
                "width_px": SIDE,
                "height_px": SIDE,
                "fps": 1.0,
            }
        )
    write_manifest(folder, rows)
    return folder


def moving_square(frames: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (frames, SIDE, SIDE, 3)."""
    tissue = np.kron(rng.integers(40, 180, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    video = np.repeat(tissue[None], frames, axis=0)
    for t in range(frames):
        left = int((SIDE - 16) * (0.5 + 0.5 * np.sin(t)))
        video[t, 24:40, left : left + 16] = 240
    return video


def write_clip(path: Path, pictures: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": "16", "bf": "0"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
