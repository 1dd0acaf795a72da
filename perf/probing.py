"""The bill of probing one encoder on one benchmark: `python perf/probing.py`.

Counts FLOPs of the official protocol and of ours, `dense` and `fast`, by formula (probing_bill.py):
for ViT-L at Cholec80's real size, and for a benchmark as params.yaml has it. Of the latter also
seconds are measured: a sample of real clips through each part, in turns, and multiplied by the
number of clips. Decoding is in neither. Exit status 1: a bound is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from probing_bill import (
    OFFICIAL_DEPTH,
    OFFICIAL_HEADS,
    Bill,
    Counts,
    Prices,
    Shape,
    official,
    official_prices,
    our_prices,
    ours,
    widths,
    windows_over,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unisurg.benchmarks import Benchmark, find
from unisurg.benchmarks.base import IGNORED, VideoCase
from unisurg.evaluation.extraction.cases import ProbeCase, Video, read_cases
from unisurg.evaluation.extraction.clips import CaseClips
from unisurg.evaluation.extraction.features import pool
from unisurg.evaluation.extraction.frames import Footage, whole_frame
from unisurg.evaluation.probing.fitting import Hyper, Plan, fit, runner
from unisurg.models.checkpoints import load_encoder
from unisurg.models.sizes import ENCODERS
from unisurg.models.zoo import ClipEncoder
from unisurg.settings import Protocol, Settings, load
from unisurg.tasks.heads import AttentiveProbe

BOUNDS: dict[Protocol, float] = {"dense": 1 / 8, "fast": 1 / 50}
# Cholec80, official: labelled seconds of the 40 videos of train and val, and of the 40 of test.
CHOLEC80_TRAIN, CHOLEC80_TEST, CHOLEC80_VIDEOS, CHOLEC80_VAL_SHARE = 86_304, 98_194, 80, 8 / 40
CHOLEC80_PIXELS = (480, 854)
LARGE_FRAMES, LARGE_PX, WHOLE_PX = 64, 256, (192, 256)
SAMPLE, REPEATS = 16, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--benchmark", default="cholec80", help="of videos, to be measured")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/pretrain_long/encoder"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = load(options.params)
    missed = at_real_size(settings)
    missed += as_configured(settings, options.benchmark, options.encoder)
    for bound in missed:
        print(f"MISSED: {bound}")
    sys.exit(bool(missed))


def at_real_size(settings: Settings) -> list[str]:
    """ViT-L on Cholec80, by formula: on the official square, then on the whole picture, as ours is.

    The whole picture at a short side of 192 has about as many tokens as the square of 256.
    """
    every_s, probe = settings.features.fit_every_s, settings.probe
    square = Shape(ENCODERS["large"], LARGE_FRAMES, LARGE_PX, LARGE_PX, classes=7)
    sizes = [whole_frame(*CHOLEC80_PIXELS, px, square.tubelet[1]) for px in WHOLE_PX]
    whole = [dataclasses.replace(square, height=h, width=w) for h, w in sizes]
    fit_clips = CHOLEC80_TRAIN // every_s
    val = round(CHOLEC80_VAL_SHARE * fit_clips)
    mean_s = (CHOLEC80_TRAIN + CHOLEC80_TEST) / CHOLEC80_VIDEOS
    windows = windows_over([mean_s] * CHOLEC80_VIDEOS, square, fps=1.0)
    counts = Counts(CHOLEC80_TRAIN, CHOLEC80_TEST, fit_clips - val, val, windows, refit=True)
    reference = official(counts, official_prices(square))
    print(f"ViT-L on Cholec80, {counts}")
    print(told(f"official, {square.height} x {square.width}", reference, reference))
    missed = []
    for shape in (square, *whole):
        prices = our_prices(shape, probe, settings.features.grid)
        for protocol, bound in BOUNDS.items():
            name = f"{protocol}, {shape.height} x {shape.width}"
            bill = ours(counts, prices, probe, shape.encoder.dim, probe.epochs.phase, protocol)
            print(told(name, bill, reference))
            if bill.total > bound * reference.total:
                missed.append(f"ViT-L on Cholec80: {name}: bound 1/{1 / bound:.0f}")
    return missed


def as_configured(settings: Settings, name: str, folder: Path) -> list[str]:
    """A benchmark as params.yaml has it: FLOPs by formula, and seconds measured in this run."""
    benchmark = find(name, settings.benchmarks[name].root)
    cases = read_cases(benchmark, settings)
    encoder = ClipEncoder(load_encoder(folder))
    clips, length_s = sample(cases, settings, name, encoder)
    wanted, probe = settings.benchmarks[name], settings.probe
    _, frames, height, width, _ = clips.shape
    shape = Shape(
        encoder.module.size, frames, height, width, len(benchmark.classes), encoder.tubelet
    )
    counts = counts_of(benchmark, cases, settings, windows_over(length_s, shape, wanted.fps))
    print(f"{name} as configured, {shape.tokens} tokens a clip, {counts}")
    flops = official_prices(shape), our_prices(shape, probe, settings.features.grid)
    seconds = measured(encoder, torch.from_numpy(clips), shape, settings)
    missed = []
    for unit, (theirs, our) in {"FLOPs": flops, "seconds": seconds}.items():
        reference = official(counts, theirs)
        print(told(f"official, {unit}", reference, reference))
        for protocol, bound in BOUNDS.items():
            bill = ours(counts, our, probe, shape.encoder.dim, probe.epochs.phase, protocol)
            print(told(f"{protocol}, {unit}", bill, reference))
            if unit == "FLOPs" and bill.total > bound * reference.total:
                missed.append(f"{name} as configured: {protocol}: bound 1/{1 / bound:.0f}")
    return missed


def counts_of(
    benchmark: Benchmark, cases: list[ProbeCase], settings: Settings, windows: int
) -> Counts:
    """Labelled seconds as the official protocol takes them, and the clips that ours takes."""
    wanted = settings.benchmarks[benchmark.name]
    labelled = {"train": 0, "val": 0, "test": 0}
    for case in benchmark.read(wanted.root, wanted.split):
        assert isinstance(case, VideoCase), "both protocols are one where cases are no videos"
        labelled[case.split] += int((case.labels != IGNORED).sum())
    ours_of = {part: sum(len(c) for c in cases if c.split == part) for part in labelled}
    refit = benchmark.split(wanted.split).refit
    train = labelled["train"] + (labelled["val"] if refit else 0)
    return Counts(train, labelled["test"], ours_of["train"], ours_of["val"], windows, refit)


def sample(
    cases: list[ProbeCase], settings: Settings, name: str, encoder: ClipEncoder
) -> tuple[np.ndarray, list[float]]:
    """Clips (SAMPLE, T, H, W, 3) uint8 of the first test video, and every video's seconds."""
    patch = encoder.tubelet[1]
    footage = Footage(settings.benchmarks[name], settings.curate, Path(".scratch/features"), patch)
    first = next(case for case in cases if case.split == "test")
    clips = CaseClips(first, footage, settings.features.window)
    spread = np.linspace(0, len(clips) - 1, SAMPLE).astype(int)
    pixels = clips.batch(spread.tolist())
    clips.close()
    videos = [source for case in cases for source in case.sources if isinstance(source, Video)]
    return pixels, [video.labelled_s for video in videos]


def measured(
    encoder: ClipEncoder, clips: Tensor, shape: Shape, settings: Settings
) -> tuple[Prices, Prices]:
    """Seconds a clip of each part, official and ours: medians over turns, processor time."""
    probe, dim, batch = settings.probe, shape.encoder.dim, settings.features.batch
    tokens = torch.cat([encoder.encode(part) for part in clips.split(batch)])
    everything = tokens.flatten(1, 3).clone()
    pooled = pool(tokens, settings.features.grid).flatten(1, 3).clone()
    labels = torch.arange(len(clips)) % shape.classes
    official_heads = [
        AttentiveProbe(dim, shape.classes, OFFICIAL_DEPTH, shape.encoder.heads)
        for _ in range(OFFICIAL_HEADS)
    ]
    wide = {width: pooled.repeat(1, 1, width // dim) for width in set(widths(probe, dim))}
    heads = {w: AttentiveProbe(w, shape.classes, probe.depth, probe.heads) for w in wide}
    parts: dict[str, Callable[[], object]] = {
        "encoder": lambda: [encoder.encode(part) for part in clips.split(batch)],
        "official trained": lambda: trained_officially(official_heads, everything, labels),
        "official tested": lambda: tested(official_heads, everything),
    }
    for width in wide:
        head, seen = heads[width], wide[width]
        parts[f"trained {width}"] = partial(trained, head, seen, labels, settings)
        parts[f"tested {width}"] = partial(tested, [head], seen)
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(REPEATS + 1):  # the first is not counted
        for name in parts if turn % 2 else reversed(parts):
            start = time.process_time()
            parts[name]()
            spent[name] += [(time.process_time() - start) / len(clips)] if turn else []
    price = {name: statistics.median(values) for name, values in spent.items()}
    for name, value in price.items():
        print(f"  {name}: {1e3 * value:.3f} ms a clip")
    return (
        Prices(price["encoder"], {dim: price["official trained"]}, {dim: price["official tested"]}),
        Prices(
            price["encoder"],
            {width: price[f"trained {width}"] for width in wide},
            {width: price[f"tested {width}"] for width in wide},
        ),
    )


def trained_officially(heads: list[AttentiveProbe], tokens: Tensor, labels: Tensor) -> None:
    """A step of every head for each four clips; blocks are computed again in the backward pass."""
    optimisers = [torch.optim.AdamW(head.parameters(), lr=1e-4) for head in heads]
    for part, wanted in zip(tokens.split(4), labels.split(4), strict=True):
        for head, optimiser in zip(heads, optimisers, strict=True):
            logits = checkpoint(head, part, use_reentrant=False)
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, wanted).backward()
            optimiser.step()


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Clips that need no reading; see `unisurg.evaluation.probing.fitting.Source`."""

    tokens: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, ids: np.ndarray) -> Tensor:
        return self.tokens[ids]

    def targets(self, ids: np.ndarray) -> Tensor:
        return self.labels[ids]


def trained(head: AttentiveProbe, tokens: Tensor, labels: Tensor, settings: Settings) -> None:
    """An epoch of one head, by the code that the probe stage runs."""
    hyper = Hyper("tokens", 1e-3, 0.05)
    start = runner(hyper, lambda: head, lambda module, clips: torch.empty(0), seed=0)
    plan = Plan(epochs=1, batch=settings.probe.batch, halving=())
    source = InMemory(tokens, labels)
    fit(source, F.cross_entropy, [start], plan, 0, lambda step, values: None, judge=None)


@torch.inference_mode()
def tested(heads: Sequence[nn.Module], tokens: Tensor) -> None:
    for part in tokens.split(16):
        for head in heads:
            head(part)


def told(name: str, bill: Bill, reference: Bill) -> str:
    share = reference.total / bill.total
    return (
        f"  {name:24} {bill.total:9.3g} = encoder {bill.encoder:9.3g} + training"
        f" {bill.training:9.3g} + testing {bill.testing:9.3g}; 1/{share:.1f} of official"
    )


if __name__ == "__main__":
    main()
