"""Frozen features of one benchmark, computed once per case, encoder and transform.

The cache below `scratch` is content-addressed: a file's name is the digest of the case's bytes, of
the encoder's weights and of everything that shapes the clip. It survives the deletion of the
stage's output, an interrupted run goes on where it was, and processes may share it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unisurg.benchmarks import find
from unisurg.benchmarks.base import Benchmark, BenchmarkError, Case, PictureCase, VideoCase
from unisurg.benchmarks.kvasir import read_mask, read_picture
from unisurg.evaluation import frames, store
from unisurg.models.checkpoints import encoder_digest, load_encoder, random_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import to_input
from unisurg.progress import track
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Settings

# Raised when the same settings come to mean other features, so that old caches are not read.
RULES = 1


Encodable = VideoCase | PictureCase


@dataclass(frozen=True)
class Extraction:
    """What one run extracts with: settings of the benchmark, encoders by variant, the cache."""

    settings: Settings
    benchmark: Benchmark
    encoders: dict[str, VisionTransformer]
    digests: dict[str, str]
    scratch: Path

    @property
    def tubelet(self) -> tuple[int, int, int]:
        return self.encoders[store.PRETRAINED].tubelet

    @property
    def grid(self) -> int:
        """Pictures keep all tokens, for the mask decoder."""
        return self.settings.features.grid if self.benchmark.unit == "video" else 0

    @property
    def wanted(self) -> Wanted:
        """The benchmark's block of params.yaml."""
        return self.settings.benchmarks[self.benchmark.name]

    def every_s(self, case: Encodable) -> int:
        """Seconds between two clips of a case: 1 in a test; neighbours are nearly alike."""
        return 1 if case.split == "test" else self.settings.features.fit_every_s

    @property
    def device(self) -> torch.device:
        return next(self.encoders[store.PRETRAINED].parameters()).device

    def normalised(self, case: VideoCase, sha256: str) -> Path:
        """The video of a case, normalised as the pretraining corpus is."""
        fps = self.wanted.fps
        return frames.normalised(case.video, sha256, fps, self.settings.curate, self.scratch)

    def cached(self, key: str, variant: str) -> Path:
        """Where the tokens of a case, by the digest of its bytes and labels, are kept."""
        wanted, curate = self.wanted, self.settings.curate
        encoder = self.encoders[variant]
        transform = {
            "rules": RULES,
            "tubelet": self.tubelet,
            "size": asdict(encoder.size),
            "rotary": [encoder.rotary, encoder.rotary_dtype],
            "clip": [wanted.frames, wanted.fps, wanted.size_px],
            "video": [curate.short_side_px, curate.quality_crf],
            "features": [self.grid, self.settings.features.dtype],
        }
        text = json.dumps([key, self.digests[variant], transform], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.scratch / "tokens" / digest[:2] / f"{digest}.npy"


@dataclass(frozen=True)
class Entry:
    """One case, the digest of its file, and where its tokens lie by variant once they are made."""

    case: Encodable
    sha256: str
    cached: dict[str, Path]

    @property
    def missing(self) -> dict[str, Path]:
        return {variant: path for variant, path in self.cached.items() if not path.exists()}


def extract(
    name: str, settings: Settings, encoder: Path, output: Path, scratch: Path
) -> dict[str, int | float]:
    """Write the features of benchmark `name` into `output`, see `unisurg.evaluation.store`.

    Args:
        encoder: folder of the pretrained encoder; `features.random_encoders` untrained ones of the
            same architecture are extracted beside it.
        output: replaced as a whole; its bytes depend on the inputs alone.
        scratch: cache that is kept between runs.

    Returns:
        cases, clips, tokens_per_clip, encoded and cached (pairs of case and encoder), bytes,
        seconds.
    """
    start = time.monotonic()
    wanted = settings.benchmarks[name]
    benchmark = find(name, wanted.root)
    cases = _encodable(benchmark.read(wanted.root, wanted.split), wanted.root)
    encoders = _encoders(settings, encoder)
    digests = {variant: encoder_digest(module) for variant, module in encoders.items()}
    job = Extraction(settings, benchmark, encoders, digests, scratch)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    entries = [_entry(job, case) for case in cases]
    _normalise(job, entries)
    stored, encoded = [], 0
    for entry in track(entries, f"features of {name}"):
        row, fresh = _extract_case(job, entry, output)
        stored.append(row)
        encoded += fresh
    store.write_index(output, _index(job), stored)
    shapes = [row.tokens(store.PRETRAINED).shape for row in stored]
    return {
        "cases": len(cases),
        "clips": sum(shape[0] for shape in shapes),
        "tokens_per_clip": math.prod(shapes[0][1:4]),
        "encoded": encoded,
        "cached": len(cases) * len(encoders) - encoded,
        "bytes": sum(path.stat().st_size for path in output.rglob("*.npy")),
        "seconds": time.monotonic() - start,
    }


def _encodable(cases: Sequence[Case], root: Path) -> list[Encodable]:
    """The cases, once it is sure that each is a still picture or the file of a labelled video.

    Raises:
        BenchmarkError: one is a clip, a folder of pictures, or has labels that are to be ignored.
    """
    encodable: list[Encodable] = []
    for case in cases:
        whole = isinstance(case, VideoCase) and case.video.is_file() and case.labels.min() >= 0
        if isinstance(case, VideoCase | PictureCase) and (whole or isinstance(case, PictureCase)):
            encodable.append(case)
        else:
            raise BenchmarkError(
                root,
                f"{case.case} is a clip, a folder of pictures, or has seconds without a class",
                "`unisurg benchmarks check` reads it; features are of whole labelled videos and of"
                " still pictures in this version",
            )
    return encodable


def _index(job: Extraction) -> store.Index:
    wanted, benchmark = job.wanted, job.benchmark
    return store.Index(
        benchmark=benchmark.name,
        task=benchmark.task,
        split=wanted.split,
        refit=benchmark.split(wanted.split).refit,
        unit=benchmark.unit,
        main=benchmark.main,
        classes=benchmark.classes,
        size_px=wanted.size_px,
        encoders=job.digests,
    )


def _encoders(settings: Settings, pretrained: Path) -> dict[str, VisionTransformer]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoders = {store.PRETRAINED: load_encoder(pretrained)}
    for seed in range(settings.features.random_encoders):
        encoders[f"random-{seed}"] = random_encoder(pretrained, seed)
    return {variant: module.eval().to(device) for variant, module in encoders.items()}


def _entry(job: Extraction, case: Encodable) -> Entry:
    if isinstance(case, VideoCase):
        sha256 = frames.file_sha256(case.video)
        key = f"{sha256}-{len(case.labels)}-{job.every_s(case)}"
    else:
        sha256 = key = frames.file_sha256(case.image)
    return Entry(case, sha256, {variant: job.cached(key, variant) for variant in job.encoders})


def _normalise(job: Extraction, entries: Sequence[Entry]) -> None:
    """Normalise the videos that have to be encoded, `curate.workers` side by side."""
    with ThreadPoolExecutor(job.settings.curate.workers) as pool:
        futures = [
            pool.submit(job.normalised, entry.case, entry.sha256)
            for entry in entries
            if isinstance(entry.case, VideoCase) and entry.missing
        ]
        try:
            # In order, so that of several unreadable videos the first is named, on every run.
            for future in track(futures, "normalised videos"):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _extract_case(job: Extraction, entry: Entry, output: Path) -> tuple[store.StoredCase, int]:
    """Put one case into the output; returns its row and how many encoders had to run."""
    case, missing = entry.case, entry.missing
    if missing:
        _encode(job, _clips(job, entry), missing)
    for variant, path in entry.cached.items():
        _link(path, store.tokens_path(output, variant, case.case))
    store.write_truth(output, case.case, **_truth(job, case))
    return store.StoredCase(output, case.case, case.split), len(missing)


def _clips(job: Extraction, entry: Entry) -> frames.Clips:
    wanted, case = job.wanted, entry.case
    if isinstance(case, PictureCase):
        return frames.picture_clip(case.image, wanted.frames, wanted.size_px)
    return frames.video_clips(
        job.normalised(case, entry.sha256),
        case.video,
        seconds=len(case.labels),
        every=job.every_s(case),
        frames=wanted.frames,
        size_px=wanted.size_px,
        multiple=job.tubelet[1],
        batch=job.settings.features.batch,
    )


def _truth(job: Extraction, case: Encodable) -> dict[str, np.ndarray]:
    if isinstance(case, VideoCase):
        return {"labels": case.labels[:: job.every_s(case)]}
    image = {"image": read_picture(case.image)} if case.split == "test" else {}
    return {"mask": read_mask(case.mask), **image}


def _encode(job: Extraction, clips: frames.Clips, missing: dict[str, Path]) -> None:
    """Run every missing encoder over the clips of one case, decoding each frame once."""
    aside = {v: path.with_name(f".{os.getpid()}-{path.name}") for v, path in missing.items()}
    arrays: dict[str, np.memmap] = {}
    done = 0
    for batch in clips:
        clip = to_input(torch.from_numpy(batch).to(job.device))
        for variant, path in aside.items():
            tokens = _tokens(job.encoders[variant], clip, job.grid)
            if variant not in arrays:
                path.parent.mkdir(parents=True, exist_ok=True)
                shape = (len(clips), *tokens.shape[1:])
                arrays[variant] = np.lib.format.open_memmap(
                    path, "w+", dtype=job.settings.features.dtype, shape=shape
                )
            arrays[variant][done : done + len(tokens)] = tokens
        done += len(batch)
    for variant, path in aside.items():
        arrays[variant].flush()
        path.replace(missing[variant])


@torch.inference_mode()
def _tokens(encoder: VisionTransformer, clip: Tensor, grid: int) -> np.ndarray:
    """Tokens (B, t, h, w, D) of normalised clips (B, 3, T, H, W), pooled to at most grid x grid."""
    duration, height, width = clip.shape[2:]
    tokens = encoder(clip).unflatten(1, encoder.grid(duration, height, width))
    return pool(tokens, grid).cpu().numpy()


def pool(tokens: Tensor, grid: int) -> Tensor:
    """Average (B, t, h, w, D) over space to at most grid x grid per time step; 0 keeps all."""
    time_steps, height, width = tokens.shape[1:4]
    if not grid or (height <= grid and width <= grid):
        return tokens
    planes = tokens.flatten(0, 1).movedim(-1, 1)
    pooled = F.adaptive_avg_pool2d(planes, (min(grid, height), min(grid, width)))
    return pooled.movedim(1, -1).unflatten(0, (-1, time_steps))


def _link(source: Path, target: Path) -> None:
    """Hard link where the file system allows it, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
