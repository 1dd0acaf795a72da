"""Batches of uint8 clips by step number: the same whatever ran before, and whoever made them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unisurg.corpus.repetition import draw_weights
from unisurg.pretrain.sampler import Draw, draw_batch, even_draws
from unisurg.pretrain.samples import Crop, Sample, make_clip
from unisurg.pretrain.store import open_store
from unisurg.pretrain.workers import Workers
from unisurg.settings import Pretrain
from unisurg.video.store import CachedStore

LIMIT_S = 120.0  # a clip takes milliseconds; a worker that needs this long hangs


class UnevenBatch(ValueError):
    """Processes, or the parts that each takes, would get unequal shares of a batch."""


class Batches:
    """Training batches of a store; sample b of a step depends on seed, step and b alone.

    Process `rank` of `world` gets samples rank, rank + world, ... of each batch, so that all
    processes together have the batch that one alone would have. `waited_s` is the time for which
    `stream` kept its caller waiting.

    Args:
        folder: written by `unisurg shards` or `unisurg curate`.

    Raises:
        NoStore, ShardError, ManifestError, EmptyCorpus: a folder that cannot be used.
        UnevenBatch: `pretrain.batch` cannot be shared evenly.
        TooFewClips: `pretrain.cap_passes` allows fewer clips than the run draws.
    """

    def __init__(
        self, folder: Path, settings: Pretrain, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if settings.batch % (world * settings.accumulate):
            raise UnevenBatch(
                f"pretrain.batch {settings.batch} does not divide by {world} processes with"
                f" {settings.accumulate} parts each (pretrain.accumulate); choose a multiple"
            )
        self._store = open_store(folder, cache_mib=0)
        self._settings, self._seed = settings, seed
        self._mine = slice(rank, None, world)
        self._crop = Crop(settings.size_px, settings.crop_scale, settings.hflip, seed)
        videos = self._store.videos
        self._n_frames = [video.n_frames for video in videos]
        self._weights = draw_weights(
            [video.source for video in videos],
            [video.specialty for video in videos],
            self._n_frames,
            settings.frames,
            settings.steps * settings.batch,
            settings.cap_passes,
        )
        self._workers: Workers | None = None
        self.waited_s = 0.0

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) of what the store holds."""
        return self._store.digest

    def at(self, step: int) -> Tensor:
        """This process' share of a step's batch: uint8 RGB `(B / world, T, size_px, size_px, 3)`.

        Made here and now; `stream` is for the training loop.
        """
        return self._here(self._samples(step))

    def stream(self, steps: range) -> Iterator[Tensor]:
        """`at(step)` for every step in order, made by the workers up to `prefetch` steps early.

        Raises:
            WorkerDied: a clip that two workers did not survive.
        """
        ahead = iter(steps)
        waiting: deque[list[Future[Any]]] = deque()
        try:
            for _ in steps:
                while len(waiting) <= self._settings.prefetch:
                    step = next(ahead, None)
                    if step is None:
                        break
                    waiting.append(self._submit(step))
                start = time.monotonic()
                clips = [future.result() for future in waiting.popleft()]
                self.waited_s += time.monotonic() - start
                yield torch.from_numpy(np.stack(clips))
        finally:
            for future in (future for batch in waiting for future in batch):
                future.cancel()

    def fixed(self, count: int) -> tuple[Tensor, list[str], list[str]]:
        """Clips for a probe that runs beside the training: the same in every run and process.

        As many of each source as there are, spread over its videos; centre crops of windows that
        do not overlap.

        Returns:
            uint8 RGB `(n, T, size_px, size_px, 3)`, the source of each and the video of each;
            n is `count`, or less where the store holds no more.
        """
        videos = self._store.videos
        sources = [video.source for video in videos]
        draws = even_draws(sources, self._n_frames, self._settings.frames, count)
        clips = self._here([self._sample(draw, None) for draw in draws])
        rows = [draw.row for draw in draws]
        return clips, [sources[row] for row in rows], [videos[row].video_id for row in rows]

    def close(self) -> None:
        """End the workers; a later `stream` starts others."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _samples(self, step: int) -> list[Sample]:
        wanted = self._settings
        draws = draw_batch(
            self._weights, self._n_frames, wanted.frames, wanted.batch, self._seed, step
        )
        return [self._sample(draw, (step, b)) for b, draw in enumerate(draws)][self._mine]

    def _sample(self, draw: Draw, place: tuple[int, int] | None) -> Sample:
        return Sample(self._store.videos[draw.row].video_id, draw, place)

    def _here(self, samples: list[Sample]) -> Tensor:
        side = self._settings.size_px
        clips = np.empty((len(samples), self._settings.frames, side, side, 3), np.uint8)
        for place, sample in zip(clips, samples, strict=True):
            place[...] = make_clip(self._store, self._crop, sample)
        return torch.from_numpy(clips)

    def _submit(self, step: int) -> list[Future[Any]]:
        """Tasks of a video go to the same worker where they can, which has its frames decoded."""
        if self._workers is None:
            count = self._settings.workers
            store = CachedStore(self._store, self._settings.cache_mib / count)
            kept = {"store": store, "crop": self._crop}
            self._workers = Workers(count, make_clip, kept, LIMIT_S)
        return [self._workers.submit(sample, sample.draw.row) for sample in self._samples(step)]
