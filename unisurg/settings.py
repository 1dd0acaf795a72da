"""params.yaml as frozen, typed settings.

Every field is required: a default lives in params.yaml alone. An unknown, missing or ill-typed key
is an error that names the file, the key and what was expected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(gt=0, multiple_of=16)]


class SettingsError(ValueError):
    """params.yaml cannot be used; the message says which key and why."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Theatre(Section):
    side_px: Side
    corpus_videos: Positive
    corpus_seconds: Positive
    corpus_fps: Positive
    phase_videos: Positive
    phase_fps: Positive
    polyp_train: Positive
    polyp_test: Positive


class Tracking(Section):
    enabled: bool
    uri: str
    artifacts: Path
    experiment: str


class Curate(Section):
    input: Path
    fps: PositiveFloat
    short_side_px: Side
    min_seconds: NonNegativeFloat
    timeout_s: PositiveFloat
    memory_mib: Positive
    workers: Positive
    quality_crf: Annotated[int, Field(ge=0, le=51)]
    picture_fps: PositiveFloat
    max_quarantined: Share
    specialties: dict[str, str]


class Model(Section):
    encoder: str
    predictor: str
    tubelet: tuple[Positive, Positive, Positive]
    drop_path: Share


class BlockRow(Section):
    count: Positive
    scale: Annotated[float, Field(gt=0, le=1)]
    aspect: tuple[PositiveFloat, PositiveFloat]


class Masks(Section):
    ratio: tuple[Share, Share]
    blocks: tuple[BlockRow, ...]


class Objective(Section):
    motion_weight: NonNegativeFloat
    affinity_weight: NonNegativeFloat
    diversity_weight: NonNegativeFloat
    top_k: Positive
    gamma: NonNegativeFloat
    base_weight: NonNegativeFloat
    span: Literal["tubelet", "clip"]
    normalise_scores: bool
    reduce: Literal["mean", "sum"]
    tokens: Literal["mean", "sum"]
    compensate_camera: bool
    temperature: PositiveFloat
    diversity_floor: NonNegativeFloat


class Pretrain(Section):
    frames: Positive
    size_px: Side
    batch: Positive
    steps: Positive
    lr: PositiveFloat
    lr_final: NonNegativeFloat
    warmup_steps: NonNegative
    weight_decay: NonNegativeFloat
    grad_clip: PositiveFloat
    ema: Share
    precision: Literal["float32", "bfloat16"]
    crop_scale: tuple[Share, Share]
    hflip: bool
    cache_mib: Positive
    checkpoint_every: Positive
    health_every: Positive
    masks: Masks
    objective: Objective


class PretrainLong(Section):
    """What the second stage changes; the rest is the first stage's."""

    frames: Positive
    batch: Positive
    steps: Positive
    lr: PositiveFloat
    warmup_steps: NonNegative


class Features(Section):
    batch: Positive
    dtype: Literal["float16", "float32"]
    grid: NonNegative
    fit_every_s: Positive
    random_encoders: NonNegative


ViewName = Literal["tokens", "change"]


class Epochs(Section):
    """One number per family of tasks."""

    phase: Positive
    segmentation: Positive


class Probe(Section):
    seeds: tuple[int, ...]
    epochs: Epochs
    batch: Positive
    depth: NonNegative
    heads: Positive
    view: tuple[ViewName, ...]
    lr: tuple[PositiveFloat, ...]
    weight_decay: tuple[NonNegativeFloat, ...]
    halving: tuple[Share, ...]
    bootstrap: Positive
    baseline: bool


class Benchmark(Section):
    root: Path
    split: str
    frames: Positive
    fps: PositiveFloat
    size_px: Side


class Report(Section):
    ribbons: Positive
    overlays: Positive
    pictures: Positive


class Settings(Section):
    seed: NonNegative
    theatre: Theatre
    tracking: Tracking
    curate: Curate
    model: Model
    pretrain: Pretrain
    pretrain_long: PretrainLong
    features: Features
    probe: Probe
    benchmarks: dict[str, Benchmark]
    report: Report

    @property
    def pretrain_second(self) -> Pretrain:
        """Stage 2 in full: stage 1 with `pretrain_long` laid over it."""
        return self.pretrain.model_copy(update=dict(self.pretrain_long))


def load(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """Read settings from a YAML file, then lay `section.key=value` overrides (YAML values) over it.

    Raises:
        SettingsError: naming the file and every key that is unknown, missing or out of range.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file; run in the repository's root or pass --params"
        ) from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    for override in overrides:
        _override(raw, override)
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, e['loc'])) or '(top)'}: {e['msg']} (found {e['input']!r})"
            for e in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *parents, last = key.split(".")
    section: Any = raw
    for parent in parents:
        section = section.get(parent) if isinstance(section, dict) else None
    if not equals or not isinstance(section, dict) or last not in section:
        raise SettingsError(
            f"--set {override}: expected SECTION.KEY=VALUE with a key of params.yaml,"
            " as in pretrain.steps=20"
        )
    section[last] = yaml.safe_load(value)


def digest(section: BaseModel) -> str:
    """16 hexadecimal digits that change exactly when a value of the section does."""
    canonical = json.dumps(section.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
