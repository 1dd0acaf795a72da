"""A curated corpus of seconds, as `unisurg curate` would write it, and short runs on it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from unisurg.corpus.manifest import MANIFEST_COLUMNS, write_manifest
from unisurg.pretrain.trainer import train
from unisurg.pretrain.world import World
from unisurg.settings import Model, Pretrain, Settings

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
                "recording": name,
                "clip_id": name,
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


def small_settings(settings: Settings) -> Pretrain:
    """Six steps of two clips of four frames."""
    return settings.pretrain.model_copy(
        update={
            "frames": 4,
            "size_px": 48,
            "batch": 2,
            "steps": 6,
            "warmup_steps": 2,
            "checkpoint_every": 2,
            "health_every": 2,
            "knn_clips": 6,
        }
    )


def run(corpus: Path, folder: Path, settings: Pretrain, model: Model, **options: Any) -> dict:
    """One process trains on `corpus` into `folder`."""
    given = {"seed": 0, "start_from": None, "on_metrics": lambda step, values: None} | options
    world = World(0, 1, torch.device("cpu"))
    return train(store=corpus, settings=settings, model=model, output=folder, world=world, **given)


def weights(folder: Path) -> str:
    """Their digest: a test that fails on megabytes is minutes at showing the difference."""
    path = folder / "encoder" / "encoder.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_process(function: Callable[..., None], *arguments: object) -> int:
    """Call in a process of its own; returns its exit code."""
    child = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def killed_at(step: int, corpus: Path, folder: Path, settings: Pretrain, model: Model) -> None:
    """Train in this process and die at `step` as if the power had failed."""

    def kill(now: int, values: dict[str, float]) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    run(corpus, folder, settings, model, on_metrics=kill)
