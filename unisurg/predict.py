"""A new video -> its phases, second by second, by a packaged model.

The video is curated, windowed and encoded by the code that made the features of the benchmark, so
that a test video gets the very predictions that the probe gave it. Every window is causal: what is
said of a second rests on the frames up to it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from unisurg import package
from unisurg.evaluation import store
from unisurg.evaluation.extraction.cache import Writer
from unisurg.evaluation.extraction.cases import Clip, Video
from unisurg.evaluation.extraction.clips import chunks
from unisurg.evaluation.extraction.features import pool
from unisurg.evaluation.extraction.frames import Footage
from unisurg.evaluation.extraction.windows import clip_windows
from unisurg.evaluation.probing.fitting import Head, Hyper, device_of
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.samples import Clips, Samples
from unisurg.evaluation.probing.trained import TrainedHeads
from unisurg.evaluation.store import PRETRAINED, StoredCase
from unisurg.models.zoo import ClipEncoder, load_pretrained
from unisurg.package import Facts, PackageError
from unisurg.tasks.families import Facts as TaskFacts
from unisurg.tasks.families import make_task

EVERY_S = 1.0
VIDEO, SECOND, PHASE, CONFIDENCE = COLUMNS = ("video", "second", "phase", "confidence")


@dataclass(frozen=True)
class PhaseModel:
    """A packaged model in memory, on the GPU where there is one."""

    facts: Facts
    encoder: ClipEncoder
    state: dict[str, Tensor]

    @staticmethod
    def load(folder: Path) -> PhaseModel:
        """The model of a package's folder.

        Raises:
            PackageError: the folder holds no package, or its encoder is another one.
            CheckpointError: the weights are damaged.
        """
        facts, state = package.read(folder)
        encoder = ClipEncoder(load_pretrained(folder / package.ENCODER))
        if encoder.digest != facts.encoder:
            raise PackageError(
                f"{folder / package.ENCODER}: not the encoder that the head was trained on; write"
                " the package anew with `dvc repro -f -s package`"
            )
        return PhaseModel(facts, encoder.to(str(device_of())), state)

    def phases(self, video: Path) -> pd.DataFrame:
        """Rows (S,) of a video's file: `second` from its start, `phase`, `confidence` in 0..1.

        Raises:
            OSError, BenchmarkError: the file is missing, or cannot be read as a video.
        """
        with tempfile.TemporaryDirectory(prefix="unisurg-predict-") as scratch:
            clips = self._clips(video, Path(scratch))
            scores = self._head(clips).logits(clips).double().softmax(1).cpu()
            best = scores.max(1)
            names = [self.facts.index.classes[label] for label in best.indices.tolist()]
            columns = (clips.moments, names, best.values.numpy())
            return pd.DataFrame(dict(zip((SECOND, PHASE, CONFIDENCE), columns, strict=True)))

    def predict(self, model_input: Any, params: Any = None) -> pd.DataFrame:
        """What MLflow calls: rows of `COLUMNS` for one or several videos, in their order.

        Args:
            model_input: a path, several, or a table with the column `video`.
            params: of MLflow; there are none.
        """
        videos = _paths(model_input)
        found = [self.phases(Path(video)).assign(video=video) for video in videos]
        return pd.concat(found, ignore_index=True)[list(COLUMNS)]

    def _clips(self, video: Path, scratch: Path) -> Clips:
        """The tokens of every second, on disk below `scratch`."""
        facts, encoder = self.facts, self.encoder
        footage = Footage(facts.block, facts.curate, scratch, encoder.tubelet[1])
        frames = footage.open(Clip(video, None, None))
        try:
            seconds = len(frames) / frames.rate
            moments = np.arange(0.0, seconds, EVERY_S)
            source = Video(video, frames.rate, moments, EVERY_S, seconds)
            windows = clip_windows(
                source, facts.block, facts.features.window, frames.rate, len(frames)
            )
            case = StoredCase(scratch, "case", "test")
            path = store.tokens_path(scratch, PRETRAINED, case.case)
            with Writer(path, len(windows), facts.features.dtype) as writer:
                for chunk in chunks(frames.read, windows, facts.features.batch):
                    pixels = torch.from_numpy(chunk.windows).to(encoder.device)
                    tokens = pool(encoder.encode(pixels), facts.features.grid)
                    writer.add(tokens.cpu().numpy())
                writer.finish(None, None)
        finally:
            frames.close()
        unknown = np.zeros(len(moments), np.int64)
        store.write_truth(scratch, case.case, labels=unknown, moments=moments)
        return Clips.of(case, PRETRAINED)

    def _head(self, like: Clips) -> Head:
        """The head, its form taken from the tokens and its state from the package."""
        facts = self.facts
        index = replace(facts.index, test_every_s=EVERY_S)
        task = make_task(
            TaskFacts(
                index.task,
                index.benchmark,
                len(index.classes),
                index.size_px,
                EVERY_S,
                index.classes,
            ),
            facts.probe,
        )
        kinds = kinds_of(task, index, facts.probe)
        (kind,) = (kind for kind in kinds if kind.name == facts.kind)
        assert isinstance(kind, TrainedHeads)
        head = kind.unfitted(Hyper(**dict(facts.hyper)), Samples((like,)), facts.seed)
        head.module.load_state_dict(self.state)
        return head


def _paths(given: Any) -> list[str]:
    """Paths of videos, however MLflow hands them on."""
    if isinstance(given, str | Path):
        return [str(given)]
    if isinstance(given, pd.DataFrame):  # to which it turns plain lists as well, without a name
        given = given[VIDEO] if VIDEO in given else given.iloc[:, 0]
    return [str(video) for video in given]


def _load_pyfunc(path: str) -> PhaseModel:
    """MLflow's name for what loads a model from its data."""
    return PhaseModel.load(Path(path))
