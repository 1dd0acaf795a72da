"""Curated corpus -> batches of uint8 clips, the same whatever ran before."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unisurg.corpus.balance import clip_weights
from unisurg.corpus.manifest import MANIFEST, read_manifest
from unisurg.pretrain.draws import generator
from unisurg.pretrain.sampler import draw_batch
from unisurg.settings import Pretrain
from unisurg.video.decode import open_clip
from unisurg.video.transforms import random_resized_crop

MIB = 2**20
CHANNELS = 3


class EmptyCorpus(ValueError):
    """A curated corpus without a clip."""


class ClipStore:
    """Frames of the corpus' clips, with the videos used last kept decoded.

    The cache holds at most `cache_mib` of pixels. A video that would take more than a quarter of
    it is not kept: only the wanted frames are decoded.

    Raises:
        ManifestError, EmptyCorpus: `corpus` is not a curated corpus, or has no clip.
    """

    def __init__(self, corpus: Path, cache_mib: int) -> None:
        self.corpus = corpus
        self.manifest = read_manifest(corpus)
        if self.manifest.empty:
            raise EmptyCorpus(f"{corpus / MANIFEST}: no clips; see quarantine.csv for the reasons")
        self._budget = cache_mib * MIB
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def read(self, row: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames of the clip in a row of the manifest: uint8 RGB `(T, H, W, 3)`."""
        if row in self._kept:
            self._kept.move_to_end(row)
            return self._kept[row][frames]
        facts = self.manifest.iloc[row]
        pixels = int(facts["n_frames"]) * int(facts["width_px"]) * int(facts["height_px"])
        size = pixels * CHANNELS
        with open_clip(self.corpus / facts["clip"]) as reader:
            if size > self._budget // 4:
                return reader.read(frames)
            video = reader.read(np.arange(len(reader)))
        self._kept[row] = video
        while self.cached_bytes > self._budget:
            self._kept.popitem(last=False)
        return video[frames]

    @property
    def cached_bytes(self) -> int:
        return sum(video.nbytes for video in self._kept.values())


class Batches:
    """Training batches of a corpus by step number."""

    def __init__(self, corpus: Path, settings: Pretrain, seed: int) -> None:
        self._store = ClipStore(corpus, settings.cache_mib)
        self._settings = settings
        self._seed = seed
        manifest = self._store.manifest
        self._n_frames = manifest["n_frames"].astype(int).tolist()
        windows = [max(n - settings.frames + 1, 1) for n in self._n_frames]
        self._weights = clip_weights(
            manifest["source"].tolist(), manifest["specialty"].tolist(), windows
        )

    def at(self, step: int) -> Tensor:
        """The batch of a step: uint8 RGB `(B, T, size_px, size_px, 3)`, a function of the step."""
        wanted = self._settings
        draws = draw_batch(
            self._weights, self._n_frames, wanted.frames, wanted.batch, self._seed, step
        )
        clips = []
        for sample, draw in enumerate(draws):
            rng = generator(self._seed, "crop", step, sample)
            clip = self._store.read(draw.row, draw.frames)
            clips.append(
                random_resized_crop(clip, wanted.size_px, wanted.crop_scale, wanted.hflip, rng)
            )
        return torch.stack(clips)


def prefetched(make: Callable[[int], Tensor], steps: range, ahead: int = 2) -> Iterator[Tensor]:
    """`make(step)` for every step in order, made by a thread up to `ahead` steps early."""
    waiting: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        try:
            for step in steps:
                waiting.append(thread.submit(make, step))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
