"""What an encoder is worth to a trial: a k-NN probe, fitted to training cases, scored on validation
cases. No test case is ever opened here.

Nothing is trained, so equal encoders have equal scores, and a probe costs little more than to
encode its clips. Those are decoded once for all trials.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unisurg.benchmarks import Benchmark, find
from unisurg.evaluation import store
from unisurg.evaluation.extraction import cache
from unisurg.evaluation.extraction.cases import ProbeCase, read_cases, spacing
from unisurg.evaluation.extraction.clips import chunks
from unisurg.evaluation.extraction.features import pool
from unisurg.evaluation.extraction.frames import Footage
from unisurg.evaluation.extraction.windows import clip_windows
from unisurg.evaluation.probing.choosing import choose, silent
from unisurg.evaluation.probing.knn import NeighbourHeads
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.models.encoder import VisionTransformer
from unisurg.models.writing import replacing
from unisurg.models.zoo import ClipEncoder
from unisurg.settings import Settings
from unisurg.tasks.families import Facts, make_task

FAMILIES = ("phase", "action")


class ProbeError(ValueError):
    """`tune.benchmark` cannot judge a trial; the message says what to change."""


@dataclass(frozen=True)
class ValidationProbe:
    """A benchmark's training and validation cases, ready to be encoded.

    Attributes:
        task: a `Classification`, which is a `Task` as well.
        digest: of all that decides a score beside the encoder.
    """

    settings: Settings
    benchmark: Benchmark
    task: Any
    cases: tuple[ProbeCase, ...]
    footage: Footage
    scratch: Path
    digest: str

    @property
    def metric(self) -> str:
        return self.benchmark.main

    def prepare(self) -> None:
        """Decode what is not yet there; of several processes one does."""
        with cache.alone(self.scratch, self.benchmark.name):
            self.footage.prepare(self.cases)
            for case in self.cases:
                if not self._place(case).exists():
                    with replacing(self._place(case)) as file:
                        np.save(file, self._clips(case))

    def score(self, encoder: VisionTransformer) -> float:
        """The main metric on the validation cases, of the best point of the k-NN's grid there."""
        eyes = ClipEncoder(encoder)
        seen = {part: self._encoded(eyes, part) for part in ("train", "val")}
        kind = NeighbourHeads("knn", self.task, self.settings.probe)
        train, val, seed = seen["train"], seen["val"], self.settings.seed
        return choose(kind, self.task, self.metric, train, val, None, seed, silent).score

    def _clips(self, case: ProbeCase) -> np.ndarray:
        """All clips (S, T, H, W, 3) uint8 of a case, every frame decoded once."""
        features, parts = self.settings.features, []
        for source in case.sources:
            frames = self.footage.open(source)
            try:
                length, rate = len(frames), frames.rate
                windows = clip_windows(source, self.footage.wanted, features.window, rate, length)
                parts += [c.windows for c in chunks(frames.read, windows, features.batch)]
            finally:
                frames.close()
        return np.concatenate(parts)

    def _encoded(self, encoder: ClipEncoder, part: str) -> Samples:
        found = []
        for case in (case for case in self.cases if case.split == part):
            pixels = np.load(self._place(case), mmap_mode="r")
            stored = store.StoredCase(self.scratch, case.case, case.split, case.group)
            tokens = store.Tokens(self._tokens(encoder, pixels))
            found.append(Clips(stored, store.PRETRAINED, tokens, case.labels))
        return Samples(tuple(found))

    def _tokens(self, encoder: ClipEncoder, pixels: np.ndarray) -> np.ndarray:
        """Tokens (S, t, h, w, D) float32 of clips (S, T, H, W, 3)."""
        features, parts = self.settings.features, []
        for start in range(0, len(pixels), features.batch):
            clips = torch.from_numpy(np.array(pixels[start : start + features.batch]))
            parts.append(pool(encoder.encode(clips.to(encoder.device)), features.grid).cpu())
        return torch.cat(parts).float().numpy()

    def _place(self, case: ProbeCase) -> Path:
        name = hashlib.sha256(f"{self.digest} {case.case}".encode()).hexdigest()[:16]
        return self.scratch / "clips" / f"{name}.npy"


def validation_probe(settings: Settings, scratch: Path, videos: Path) -> ValidationProbe:
    """The probe of `tune.benchmark`, a clip every `tune.fit_every_s` seconds.

    Args:
        scratch: where decoded clips are kept.
        videos: where normalised videos are, as those of `unisurg features`.

    Raises:
        ProbeError: its task has no k-NN probe, or its split has no validation case.
        BenchmarkError: the copy of the data set cannot be used.
    """
    tune, wanted = settings.tune, settings.benchmarks[settings.tune.benchmark]
    thinned = settings.features.model_copy(update={"fit_every_s": tune.fit_every_s})
    settings = settings.model_copy(update={"features": thinned})
    benchmark = find(tune.benchmark, wanted.root)
    if benchmark.task not in FAMILIES:
        raise ProbeError(
            f"tune.benchmark: {benchmark.name} is of family {benchmark.task}, which has no k-NN"
            f" probe; choose one of {' or '.join(FAMILIES)}"
        )
    cases = tuple(case for case in read_cases(benchmark, settings) if case.split != "test")
    for part in ("train", "val"):
        if not any(case.split == part for case in cases):
            raise ProbeError(
                f"tune.benchmark: split {wanted.split} of {benchmark.name} has no case in {part};"
                " choose another"
            )
    every_s, label_every_s = spacing(cases, tune.fit_every_s)
    facts = Facts(
        benchmark.task,
        benchmark.name,
        len(benchmark.classes),
        wanted.size_px,
        label_every_s,
        benchmark.classes,
    )
    task = make_task(facts, settings.probe)
    footage = Footage(wanted, settings.curate, videos, settings.model.tubelet[1])
    digest = _digest(settings, cases, footage, every_s)
    return ValidationProbe(settings, benchmark, task, cases, footage, scratch, digest)


def _digest(
    settings: Settings, cases: Sequence[ProbeCase], footage: Footage, every_s: float
) -> str:
    probe, curate = settings.probe, settings.curate
    facts = {
        "cases": [[case.case, case.split, footage.case_digest(case)] for case in cases],
        "labels": [hashlib.sha256(case.labels.tobytes()).hexdigest() for case in cases],
        "block": settings.benchmarks[settings.tune.benchmark].model_dump(mode="json"),
        "features": [settings.features.window, settings.features.grid, every_s],
        "video": [curate.short_side_px, curate.quality_crf],
        "probe": [list(probe.view), list(probe.neighbours), settings.seed],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
