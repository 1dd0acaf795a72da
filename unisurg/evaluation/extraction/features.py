"""Frozen features of one benchmark, computed once per case, encoder and transform.

A pass over a case reads every frame once and shows it to all encoders whose tokens are not in the
cache. What is in memory at a time is a chunk of windows, however long the video is.
"""

from __future__ import annotations

import functools
import math
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unisurg.benchmarks import find
from unisurg.benchmarks.base import Benchmark
from unisurg.evaluation import store
from unisurg.evaluation.extraction import cache
from unisurg.evaluation.extraction.cases import ProbeCase, Source, Video, read_cases, spacing
from unisurg.evaluation.extraction.clips import Chunk, chunks, merged
from unisurg.evaluation.extraction.encoders import compared_encoders, depths_of, time_code
from unisurg.evaluation.extraction.frames import Footage
from unisurg.evaluation.extraction.windows import (
    Overlapping,
    clip_windows,
    lookahead_s,
    overlapping_windows,
)
from unisurg.models.zoo import Encoder, EncoderError
from unisurg.progress import track
from unisurg.settings import Benchmark as Wanted
from unisurg.settings import Protocol, Settings

# Raised when the same settings come to mean other features, so that old caches are not read.
RULES = 1
# Units whose clips are windows of a recording, so that they may look ahead.
WINDOWED = ("video", "trial", "sequence")


@dataclass(frozen=True)
class Extraction:
    """What one run extracts with: settings, encoders by variant, pixels, the cache."""

    settings: Settings
    benchmark: Benchmark
    encoders: Mapping[str, Encoder]
    footage: Footage
    scratch: Path

    @property
    def wanted(self) -> Wanted:
        """The benchmark's block of params.yaml."""
        return self.settings.benchmarks[self.benchmark.name]

    @property
    def protocol(self) -> Protocol:
        """`fast` puts clips together from the windows of one labelled video, see docs/features.md.

        All others are `dense`: clips and pictures share no frames, those of a trial hardly any at
        its rate, and a clip of a sequence is a handful of neighbours.
        """
        return self.settings.features.protocol if self.benchmark.unit == "video" else "dense"

    @property
    def grid(self) -> int:
        """A decoder of maps needs all tokens."""
        return 0 if self.benchmark.task in store.DENSE else self.settings.features.grid

    @functools.cached_property
    def tubelets(self) -> list[int]:
        """Frames of a token of each encoder that sees whole windows."""
        return [e.tubelet[0] for e in self.encoders.values() if not e.by_frame]

    @property
    def multiple(self) -> int:
        """Frames in which windows over a whole video move on: whole tubelets of every encoder."""
        return math.lcm(*self.tubelets) if self.protocol == "fast" else 1

    def entry(self, case: ProbeCase, variant: str) -> Path:
        """Where the tokens of a case are kept, by the digest of its bytes and moments."""
        wanted, curate, features = self.wanted, self.settings.curate, self.settings.features
        encoder = self.encoders[variant]
        facts = {
            "rules": RULES,
            "case": self.footage.case_digest(case),
            "encoder": [encoder.digest, dict(encoder.facts)],
            "clip": [wanted.frames, wanted.known_fps, wanted.size_px, self.footage.multiple],
            "windows": [self.protocol, features.window, self.multiple],
            "video": [curate.short_side_px, curate.quality_crf],
            "features": [self.grid, features.dtype],
        }
        return cache.entry(self.scratch, facts)


@dataclass(frozen=True)
class Entry:
    """One case, and where its tokens lie by variant once they are made."""

    case: ProbeCase
    cached: dict[str, Path]

    @property
    def missing(self) -> dict[str, Path]:
        """What has to be encoded; of variants with equal weights, which share a file, one."""
        absent = {path: variant for variant, path in self.cached.items() if not path.exists()}
        return {variant: path for path, variant in absent.items()}


@dataclass(frozen=True)
class Plan:
    """What is encoded of one source, and how its clips are put together.

    `clips` (S, T) are the frames of each clip. `video` is set where the source is encoded as a
    whole, in half-overlapping windows, instead of clip by clip.
    """

    source: Source
    clips: np.ndarray
    video: Overlapping | None

    @property
    def windows(self) -> np.ndarray:
        """Frames (W, T) of the windows to encode, in their order."""
        return self.clips if self.video is None else self.video.windows

    @functools.cached_property
    def frames(self) -> np.ndarray:
        """Frames that are read, ascending."""
        return np.unique(self.windows)


def extract(
    name: str, settings: Settings, encoder: Path, output: Path, scratch: Path
) -> dict[str, int | float]:
    """Write the features of benchmark `name` into `output`, see `unisurg.evaluation.store`.

    Args:
        encoder: folder or file of the pretrained encoder; what it is compared with is extracted
            beside it, see `encoders.compared_encoders`.
        output: replaced as a whole; its bytes depend on the inputs alone.
        scratch: cache that is kept between runs.

    Returns:
        cases, clips, tokens_per_clip, encoded and cached (pairs of case and encoder), bytes of the
        output, cache_bytes, seconds.

    Raises:
        BenchmarkError: the copy of the data set cannot be used.
        CheckpointError, EncoderError: an encoder cannot be had or does not fit the benchmark.
    """
    start = time.monotonic()
    wanted = settings.benchmarks[name]
    benchmark = find(name, wanted.root)
    cases = read_cases(benchmark, settings)
    named = compared_encoders(settings, name, encoder, depths_of(settings, benchmark.task))
    encoders = {variant: e for variants in named.values() for variant, e in variants.items()}
    patch = encoders[store.PRETRAINED].tubelet[1]
    footage = Footage(wanted, settings.curate, scratch, patch)
    job = Extraction(settings, benchmark, encoders, footage, scratch)
    _check_frames(job)
    with cache.alone(scratch, name):
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        encoded = _extract_cases(job, cases, output)
        index = _index(job, {name: tuple(variants) for name, variants in named.items()}, cases)
        stored = [store.StoredCase(output, c.case, c.split, c.group) for c in cases]
        store.write_index(output, index, stored)
        # Still alone: the next process replaces the folder that this looks into.
        return _told(job, stored, encoded, time.monotonic() - start)


def _told(
    job: Extraction, stored: Sequence[store.StoredCase], encoded: int, seconds: float
) -> dict[str, int | float]:
    """What `extract` returns; a line about sizes goes to stderr."""
    tokens = [case.tokens(store.PRETRAINED) for case in stored]
    written, kept = cache.size(stored[0].root), cache.size(job.scratch)
    facts = {
        "cases": len(stored),
        "clips": sum(map(len, tokens)),
        "tokens_per_clip": math.prod(tokens[0].shape[1:4]),
        "encoded": encoded,
        "cached": len(stored) * len(job.encoders) - encoded,
        "bytes": written,
        "cache_bytes": kept,
        "seconds": seconds,
    }
    print(
        f"features of {job.benchmark.name}: {facts['cases']} cases, {facts['clips']} clips,"
        f" {len(job.encoders)} encoders, {cache.in_units(written)};"
        f" cache {job.scratch} {cache.in_units(kept)}",
        file=sys.stderr,
    )
    return facts


def _check_frames(job: Extraction) -> None:
    for variant, encoder in job.encoders.items():
        if job.wanted.frames % encoder.tubelet[0]:
            raise EncoderError(
                f"benchmarks.{job.benchmark.name}.frames: {job.wanted.frames} frames are no whole"
                f" tubelets of {variant}; choose a multiple of {encoder.tubelet[0]}"
            )


def _index(
    job: Extraction, encoders: dict[str, tuple[str, ...]], cases: Sequence[ProbeCase]
) -> store.Index:
    wanted, benchmark, features = job.wanted, job.benchmark, job.settings.features
    every_s, test_every_s = spacing(cases, features.fit_every_s)
    return store.Index(
        benchmark=benchmark.name,
        task=benchmark.task,
        split=wanted.split,
        refit=benchmark.split(wanted.split).refit,
        unit=benchmark.unit,
        main=benchmark.main,
        classes=benchmark.classes,
        size_px=wanted.size_px,
        frames=wanted.frames,
        fps=wanted.known_fps,
        protocol=job.protocol,
        window=features.window,
        lookahead_frames=_lookahead_frames(job),
        every_s=every_s,
        test_every_s=test_every_s,
        encoders=encoders,
        digests={variant: encoder.digest for variant, encoder in job.encoders.items()},
    )


def _lookahead_frames(job: Extraction) -> int:
    if job.benchmark.unit not in WINDOWED:
        return 0
    window, one_a_second = job.settings.features.window, 1.0
    return int(lookahead_s(job.protocol, window, job.wanted.frames, one_a_second, job.tubelets))


def _extract_cases(job: Extraction, cases: Sequence[ProbeCase], output: Path) -> int:
    """Put all cases into the output; returns for how many pairs an encoder had to run."""
    entries = [
        Entry(case, {variant: job.entry(case, variant) for variant in job.encoders})
        for case in cases
    ]
    job.footage.prepare(entry.case for entry in entries if entry.missing)
    encoded = 0
    for entry in track(entries, f"features of {job.benchmark.name}"):
        missing = entry.missing
        if missing:
            _encode(job, entry.case, missing)
        encoded += len(missing)
        for variant, path in entry.cached.items():
            tokens = store.tokens_path(output, variant, entry.case.case)
            cache.link(path, tokens, store.windows_path(output, variant, entry.case.case))
        _write_truth(job, entry.case, output)
    return encoded


def _write_truth(job: Extraction, case: ProbeCase, output: Path) -> None:
    if job.benchmark.task not in store.DENSE:
        store.write_truth(output, case.case, labels=case.labels, moments=case.moments)
        return
    image = {"image": case.image()} if case.split == "test" else {}
    if job.benchmark.task == "segmentation":
        image = {"mask": case.truth(), **image}
    else:
        store.write_depths(output, case.case, case.truth())
    store.write_truth(output, case.case, **image)


def _encode(job: Extraction, case: ProbeCase, missing: Mapping[str, Path]) -> None:
    """Run every missing encoder over the clips of one case, reading each frame once."""
    plans = [_plan(job, source) for source in case.sources]
    dtype, done = job.settings.features.dtype, 0
    with ExitStack() as stack:
        writers = {
            variant: stack.enter_context(
                cache.Writer(path, _rows(job.encoders[variant], plans), dtype)
            )
            for variant, path in missing.items()
        }
        for chunk in _chunks(job, plans):
            for variant, writer in writers.items():
                encoder = job.encoders[variant]
                if not encoder.by_frame:
                    tokens = _pooled(job, encoder, chunk.windows)
                    writer.add(_kept(tokens, plans[0], done, encoder.tubelet[0]))
                elif len(chunk.frames):
                    writer.add(_frame_tokens(job, encoder, chunk))
            done += len(chunk.windows)
        for variant, writer in writers.items():
            writer.finish(*_assembly(job, job.encoders[variant], plans, writer.row[-1]))


def _plan(job: Extraction, source: Source) -> Plan:
    wanted, window = job.wanted, job.settings.features.window
    frames = job.footage.open(source)
    try:
        length, rate = len(frames), frames.rate
    finally:
        frames.close()
    clips = clip_windows(source, wanted, window, rate, length)
    if job.protocol == "dense":
        return Plan(source, clips, None)
    video = overlapping_windows(wanted.frames, wanted.fps, rate, length, job.multiple)
    return Plan(source, clips, video)


def _rows(encoder: Encoder, plans: Sequence[Plan]) -> int:
    """How many rows of tokens an encoder gives for one case."""
    if encoder.by_frame:
        return sum(len(plan.frames) for plan in plans)
    return sum(
        len(plan.clips) if plan.video is None else plan.video.n_frames // encoder.tubelet[0]
        for plan in plans
    )


def _chunks(job: Extraction, plans: Sequence[Plan]) -> Iterator[Chunk]:
    """Windows of all sources in order, those of short sources put together into one batch."""
    batch = job.settings.features.batch

    def each() -> Iterator[Chunk]:
        for plan in plans:
            frames = job.footage.open(plan.source)
            try:
                yield from chunks(frames.read, plan.windows, batch)
            finally:
                frames.close()

    return merged(each(), batch)


def _frame_tokens(job: Extraction, encoder: Encoder, chunk: Chunk) -> np.ndarray:
    """Tokens (n, h, w, D) of the new frames, in parts of as many frames as a batch of clips has."""
    count = job.settings.features.batch * job.wanted.frames
    parts = (chunk.frames[i : i + count] for i in range(0, len(chunk.frames), count))
    return np.concatenate([_pooled(job, encoder, part[:, None])[:, 0] for part in parts])


def _pooled(job: Extraction, encoder: Encoder, clips: np.ndarray) -> np.ndarray:
    """Tokens (B, t, h, w, D) of clips (B, T, H, W, 3) uint8, pooled to at most grid x grid."""
    tokens = encoder.encode(torch.from_numpy(clips).to(encoder.device))
    return pool(tokens, job.grid).cpu().numpy()


def _kept(tokens: np.ndarray, plan: Plan, done: int, tubelet: int) -> np.ndarray:
    """Of windows of a whole video the time steps (n, h, w, D) that no window before them has."""
    if plan.video is None:
        return tokens
    fresh = plan.video.fresh[done : done + len(tokens)] // tubelet
    return np.concatenate(
        [steps[len(steps) - count :] for steps, count in zip(tokens, fresh, strict=True)]
    )


def _assembly(
    job: Extraction, encoder: Encoder, plans: Sequence[Plan], dim: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which rows make each clip (S, t) and the code of time (t, D), where clips share rows."""
    frames, kind = job.wanted.frames, job.settings.features.window
    if encoder.by_frame:
        starts = np.cumsum([0, *(len(plan.frames) for plan in plans)])
        windows = [
            start + np.searchsorted(plan.frames, plan.clips)
            for start, plan in zip(starts, plans, strict=False)
        ]
        return np.concatenate(windows), time_code(frames, dim)
    (plan, *_) = plans
    if plan.video is None or not isinstance(plan.source, Video):
        return None, None
    return plan.video.steps(plan.source.moments, frames, encoder.tubelet[0], kind), None


def pool(tokens: Tensor, grid: int) -> Tensor:
    """Average (B, t, h, w, D) over space to at most grid x grid per time step; 0 keeps all."""
    time_steps, height, width = tokens.shape[1:4]
    if not grid or (height <= grid and width <= grid):
        return tokens
    planes = tokens.flatten(0, 1).movedim(-1, 1)
    pooled = F.adaptive_avg_pool2d(planes, (min(grid, height), min(grid, width)))
    return pooled.movedim(1, -1).unflatten(0, (-1, time_steps))
