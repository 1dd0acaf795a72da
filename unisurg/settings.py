"""params.yaml as frozen, typed settings.

Every field is required: a default lives in params.yaml alone. An unknown, missing or ill-typed key
is an error that names the file, the key and what was expected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from unisurg.addresses import without_secret

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(gt=0, multiple_of=16)]
Address = Annotated[str, AfterValidator(without_secret)]


# What a file that `pretrain.tuned` names may change, and the one that changes nothing.
TUNABLE = ("pretrain", "objectives")
UNTUNED = Path("tuning/untuned.yaml")


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
    polyp_others: Positive
    small_side_px: Side
    small_videos: Annotated[int, Field(ge=4)]
    small_seconds: Positive
    clip_seconds: Positive
    surgicalactions160_clips: Annotated[int, Field(gt=0, lt=100)]
    avos_videos: Positive
    ophnet_videos: Annotated[int, Field(ge=3)]
    polypdiag_train: Positive
    polypdiag_test: Positive
    jigsaws_trials: Annotated[int, Field(gt=0, le=5)]
    jigsaws_seconds: Annotated[int, Field(ge=6)]
    c3vd_sequences: Annotated[int, Field(gt=0, le=9)]
    c3vd_frames: Positive


class Tracking(Section):
    enabled: bool
    uri: Address
    artifacts: Address
    s3_endpoint: Address | None
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


class Runner(Section):
    kind: Literal["processes", "dask", "ray"]
    workers: Positive
    address: str | None


class Scan(Section):
    """As `corpus.scan.scan.ScanKnobs`, whose `fps` is `curate.fps`."""

    cut_ratio: PositiveFloat
    cut_content: PositiveFloat
    min_shot_s: NonNegativeFloat
    box_samples: Annotated[int, Field(ge=2)]
    box_std: PositiveFloat
    median_every_s: Positive
    median_frames: Positive
    median_short_side_px: Positive


class Text(Section):
    """As `corpus.deid.text.TextRules`."""

    sides_px: Annotated[tuple[Positive, ...], Field(min_length=1)]
    pixel_probability: Share
    box_probability: Share
    confidence: Share
    characters: Positive
    most_height: Share
    margin: NonNegativeFloat
    still_spread: NonNegativeFloat
    strong_edge: PositiveFloat


class Outside(Section):
    """As `corpus.deid.outside.OutsideRules`."""

    hold: Share
    fill_s: NonNegativeFloat
    margin_s: NonNegativeFloat


class Deid(Section):
    paint: Literal["all", "personal"]
    most_painted: Share
    detector: Path | None
    detector_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    batch: Positive
    text: Text
    outside: Outside


class Clean(Section):
    """As `corpus.clean.CleanRules`, whose `grid_s` is a video's own."""

    gap_s: PositiveFloat
    black_dark_frac: Share
    frozen_diff: NonNegativeFloat
    frozen_s: NonNegativeFloat
    blur_lap_var: NonNegativeFloat
    blur_s: NonNegativeFloat
    short_s: NonNegativeFloat
    across_cuts: bool


class Search(Section):
    """As `corpus.duplicates.search.SearchRules`."""

    max_bits: Annotated[int, Field(ge=0, le=64)]
    margin_bits: Annotated[int, Field(ge=0, le=64)]
    min_entropy_bits: Annotated[float, Field(ge=0, le=8)]
    max_dark_frac: Share
    min_diff: NonNegativeFloat
    ask_every_s: Positive
    block_frames: Positive


class Votes(Section):
    """As `corpus.duplicates.votes.VoteRules`."""

    bin_s: PositiveFloat
    min_votes: Positive
    short_share: Share
    short_votes: Positive
    max_gap_s: PositiveFloat
    min_share: Share
    contrast: NonNegativeFloat
    near_s: PositiveFloat


class Duplicates(Section):
    search: Search
    votes: Votes
    bridge_s: NonNegativeFloat


class Leaks(Section):
    indices: Path
    require: Literal["all"] | tuple[str, ...]
    min_votes: Positive


class Repetition(Section):
    most_passes: PositiveFloat


class Model(Section):
    encoder: str
    predictor: str
    decoder: str
    tubelet: tuple[Positive, Positive, Positive]
    drop_path: Share
    rotary: Literal["exact", "vjepa2"]
    rotary_dtype: Literal["float32", "bfloat16"]


class Shards(Section):
    quality: Annotated[int, Field(ge=1, le=100)]
    shard_mib: Positive


class BlockRow(Section):
    count: Positive
    scale: Annotated[float, Field(gt=0, le=1)]
    aspect: tuple[PositiveFloat, PositiveFloat]
    temporal: Annotated[float, Field(gt=0, le=1)]


class Masks(Section):
    kind: Literal["multiblock", "tube"]
    ratio: tuple[Share, Share] | None
    truncate: Literal["prefix", "random", "none"]
    blocks: Annotated[tuple[BlockRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _tubes_have_a_ratio(self) -> Masks:
        if self.kind == "tube" and self.ratio is None:
            raise ValueError("kind tube needs a ratio, as in ratio: [0.75, 0.95]")
        if self.ratio is not None and self.ratio[0] > self.ratio[1]:
            raise ValueError(f"ratio {list(self.ratio)}: the smaller number comes first")
        return self

    @property
    def through_time(self) -> bool:
        """Whether a masked position is masked at every time step, so that masks are tubes."""
        return self.kind == "tube" or all(row.temporal == 1 for row in self.blocks)


class Objective(Section):
    name: str
    motion_weight: NonNegativeFloat
    affinity_weight: NonNegativeFloat
    diversity_weight: NonNegativeFloat
    pixel_weight: NonNegativeFloat
    top_k: NonNegative
    gamma: NonNegativeFloat
    base_weight: NonNegativeFloat
    span: Literal["tubelet", "clip"]
    normalise_scores: bool
    reduce: Literal["mean", "sum"]
    tokens: Literal["mean", "sum"]
    compensate_camera: bool
    temperature: PositiveFloat
    diversity_floor: NonNegativeFloat
    normalise_pixels: bool

    @property
    def latent(self) -> bool:
        """Whether an addend compares latents, which takes a predictor and a target encoder."""
        return self.motion_weight + self.affinity_weight + self.diversity_weight > 0

    @property
    def pixels(self) -> bool:
        """Whether pixels are reconstructed, which takes a decoder."""
        return self.pixel_weight > 0

    @model_validator(mode="after")
    def _has_an_addend(self) -> Objective:
        if not (self.latent or self.pixels):
            raise ValueError("every weight is 0, so there is nothing to learn")
        if self.motion_weight and not (self.top_k or self.base_weight):
            raise ValueError("top_k and base_weight are both 0, so no token has a weight")
        return self


class Pretrain(Section):
    frames: Positive
    size_px: Side
    batch: Positive
    accumulate: Positive
    steps: Positive
    cap_passes: PositiveFloat | None
    lr: PositiveFloat
    lr_final: NonNegativeFloat
    warmup_steps: NonNegative
    schedule: Literal["cosine", "constant"]
    cooldown_steps: NonNegative
    weight_decay: NonNegativeFloat
    grad_clip: PositiveFloat
    ema: Share
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    compile: bool
    parallel: Literal["ddp", "fsdp"]
    crop_scale: tuple[Share, Share]
    hflip: bool
    workers: Positive
    prefetch: Positive
    cache_mib: NonNegative
    checkpoint_every: Positive
    keep_checkpoints: Positive
    health_every: Positive
    knn_clips: NonNegative
    masks: Masks
    objective: Objective
    tuned: Path

    @model_validator(mode="after")
    def _fits_together(self) -> Pretrain:
        if self.objective.span == "clip" and self.objective.latent and not self.masks.through_time:
            raise ValueError(
                f"objective {self.objective.name} follows a position through the clip (span: clip):"
                " masks need kind tube, or temporal 1.0 in every row of blocks"
            )
        if self.cooldown_steps > self.steps:
            raise ValueError(f"cooldown_steps {self.cooldown_steps}: there are {self.steps} steps")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} does not divide into {self.accumulate} parts")
        return self


class PretrainLong(Section):
    """What the second stage changes; the rest is the first stage's."""

    frames: Positive
    batch: Positive
    steps: Positive
    lr: PositiveFloat
    warmup_steps: NonNegative


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the smaller number comes first")
    return ends


Ascending = AfterValidator(_ascending)
Shares = Annotated[tuple[Share, Share], Ascending]
# A block that lasts or covers nothing hides nothing.
OpenShares = Annotated[tuple[OpenShare, OpenShare], Ascending]


class Space(Section):
    """Ranges of `unisurg.tuning.space`, both ends included."""

    ratio_low: Shares
    ratio_width: Shares
    count: Annotated[tuple[Positive, Positive], Ascending]
    scale: OpenShares
    temporal: OpenShares
    top_k: Annotated[tuple[NonNegative, NonNegative], Ascending]
    gamma: Annotated[tuple[NonNegativeFloat, NonNegativeFloat], Ascending]
    base_weight: Annotated[tuple[PositiveFloat, PositiveFloat], Ascending]


class Tune(Section):
    trials: Positive
    workers: Positive
    storage: Address | None
    multi: bool
    startup: Annotated[int, Field(ge=2)]
    steps: Positive
    warmup_steps: NonNegative
    health_every: Positive
    probe_every: Positive
    benchmark: str
    fit_every_s: Positive
    again: tuple[NonNegative, ...]
    space: Space


Protocol = Literal["dense", "fast"]
# Blocks of an encoder, counted from 0; `last` is what it gives in the end.
Depths = Literal["last"] | Annotated[tuple[NonNegative, ...], Field(min_length=1)]
WindowKind = Literal["causal", "centred"]


class Features(Section):
    protocol: Protocol
    window: WindowKind
    batch: Positive
    dtype: Literal["float16", "float32"]
    grid: NonNegative
    depths: Depths
    fit_every_s: Positive
    random_encoders: NonNegative


# Names that results give to something else.
RESERVED = {"pretrained", "random", "difference", "truth", "moments", "image"}


class Baseline(Section):
    """A further frozen encoder: of timm, or of a folder or file of weights."""

    model: str
    weights: str
    benchmarks: tuple[str, ...]

    @property
    def timm(self) -> str | None:
        """Name of a timm model; None where `model` is a path."""
        kind, colon, name = self.model.partition(":")
        return name if colon and kind == "timm" else None


ViewName = Literal["tokens", "change"]
KindName = Literal["attentive", "linear", "knn", "temporal"]


class Epochs(Section):
    """One number per family of tasks."""

    phase: Positive
    action: Positive
    segmentation: Positive
    depth: Positive
    triplet: Positive
    skill: Positive


class Temporal(Section):
    width: Positive
    layers: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    epochs: Positive


class LabelEfficiency(Section):
    benchmarks: tuple[str, ...]
    fractions: tuple[Annotated[float, Field(gt=0, lt=1)], ...]


class Probe(Section):
    kinds: Annotated[tuple[KindName, ...], Field(min_length=1)]
    seeds: tuple[int, ...]
    epochs: Epochs
    batch: Positive
    depth: NonNegative
    heads: Positive
    view: tuple[ViewName, ...]
    lr: tuple[PositiveFloat, ...]
    weight_decay: tuple[NonNegativeFloat, ...]
    halving: tuple[Share, ...]
    neighbours: Annotated[tuple[Positive, ...], Field(min_length=1)]
    temporal: Temporal
    smoothing_s: NonNegative
    label_efficiency: LabelEfficiency
    bootstrap: Positive
    baseline: bool


class Finetune(Section):
    benchmarks: tuple[str, ...]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    epochs: Positive
    warmup_epochs: NonNegativeFloat
    batch: Positive
    lr: PositiveFloat
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegativeFloat
    drop_path: Share
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    baseline: bool


class Benchmark(Section):
    """One block; `every` and `undistort` belong to benchmarks of depth alone, `fps` to all others.

    Nobody knows the rate of a sequence with depth: its time is counted in frames, 1 a unit.
    """

    root: Path
    split: str
    frames: Positive
    fps: PositiveFloat = 1.0
    size_px: Side
    every: Positive | None = None
    undistort: bool | None = None

    @model_validator(mode="after")
    def _counts_in_one_unit(self) -> Benchmark:
        if ("fps" in self.model_fields_set) == (self.every is not None):
            raise ValueError("needs fps, or in a block of depth `every` in its place")
        return self

    @property
    def known_fps(self) -> float | None:
        """`fps`, None of sequences with depth."""
        return self.fps if self.every is None else None


class Report(Section):
    ribbons: Positive
    overlays: Positive
    pictures: Positive


class Package(Section):
    benchmark: str


class Promotion(Section):
    model: Annotated[str, Field(min_length=1, pattern=r"^[^/:@]+$")]
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    margin: NonNegativeFloat


class Ingest(Section):
    drop: Path | None
    quarantine: Path | None
    settle_s: NonNegativeFloat
    patience_s: NonNegativeFloat
    commit: bool

    @model_validator(mode="after")
    def _has_a_quarantine(self) -> Ingest:
        if self.drop is not None and self.quarantine is None:
            raise ValueError("drop needs quarantine, a folder for what cannot be taken up")
        return self


Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]


class Schedules(Section):
    """When flows start by themselves: five fields of cron, in `timezone`."""

    timezone: str
    ingest: Cron | None
    pipeline: Cron | None
    retrain: Cron | None
    evaluate: Cron | None
    tune: Cron | None


class Orchestration(Section):
    task_runner: Literal["threads", "dask", "ray"]
    address: Address | None
    ingest: Ingest
    schedules: Schedules

    @model_validator(mode="after")
    def _clusters_have_an_address(self) -> Orchestration:
        if (self.task_runner == "threads") != (self.address is None):
            raise ValueError("address is a cluster's, with dask or ray, and null with threads")
        return self


class Settings(Section):
    seed: NonNegative
    theatre: Theatre
    tracking: Tracking
    curate: Curate
    runner: Runner
    scan: Scan
    deid: Deid
    clean: Clean
    duplicates: Duplicates
    leaks: Leaks
    repetition: Repetition
    model: Model
    shards: Shards
    objectives: dict[str, Objective]
    pretrain: Pretrain
    pretrain_long: PretrainLong
    tune: Tune
    features: Features
    baselines: dict[str, Baseline]
    probe: Probe
    finetune: Finetune
    benchmarks: dict[str, Benchmark]
    report: Report
    package: Package
    promotion: Promotion
    orchestration: Orchestration

    @model_validator(mode="after")
    def _names_are_of_blocks(self) -> Settings:
        lists = {
            "finetune.benchmarks": self.finetune.benchmarks,
            "probe.label_efficiency.benchmarks": self.probe.label_efficiency.benchmarks,
            "package.benchmark": (self.package.benchmark,),
            "tune.benchmark": (self.tune.benchmark,),
            "promotion.benchmarks": self.promotion.benchmarks,
            **{f"baselines.{name}.benchmarks": b.benchmarks for name, b in self.baselines.items()},
        }
        for key, names in lists.items():
            unknown = [name for name in names if name not in self.benchmarks]
            if unknown:
                raise ValueError(
                    f"{key}: no block {unknown[0]!r} in benchmarks; there are "
                    + ", ".join(self.benchmarks)
                )
        reserved = sorted(RESERVED & set(self.baselines))
        if reserved:
            raise ValueError(f"baselines.{reserved[0]}: the name is taken; choose another")
        return self

    def require_block(self, name: str) -> None:
        """Make sure that the benchmark has a block.

        Raises:
            SettingsError: it has none; names those there are.
        """
        if name not in self.benchmarks:
            known = ", ".join(self.benchmarks)
            raise SettingsError(f"benchmarks: no block {name!r}; there are: {known}")

    @property
    def pretrain_second(self) -> Pretrain:
        """Stage 2 in full: stage 1 with `pretrain_long` laid over it."""
        return Pretrain.model_validate({**dict(self.pretrain), **dict(self.pretrain_long)})


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
    return _checked(path, raw)


def laid_over(settings: Settings, values: Mapping[str, Any], source: str = "values") -> Settings:
    """Settings with some changed, by their names in params.yaml, as in `objectives.dense.top_k`.

    Args:
        source: where the values come from, for the message.

    Raises:
        SettingsError: a key that params.yaml does not have, or a value out of range.
    """
    raw = settings.model_dump(mode="json", exclude_unset=True)
    raw["pretrain"]["objective"] = settings.pretrain.objective.name
    for key, value in values.items():
        if not _put(raw, key, value):
            raise SettingsError(f"{source}: {key}: no such key in params.yaml")
    return _checked(source, raw)


def tuned(settings: Settings) -> Settings:
    """Settings with the values of the file that `pretrain.tuned` names laid over them.

    Raises:
        SettingsError: there is no such file, it has no mapping `values`, or one that cannot be
            used.
    """
    path = settings.pretrain.tuned
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))["values"]
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file, and pretrain.tuned of params.yaml names it; run `dvc repro"
            f" tuning/dvc.yaml`, or set it to {UNTUNED}"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError):
        values = None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected a mapping `values`, as `unisurg tune` writes it")
    foreign = [key for key in values if key.split(".")[0] not in TUNABLE]
    if foreign:
        raise SettingsError(
            f"{path}: {foreign[0]}: only {' and '.join(TUNABLE)} can be tuned; change others in"
            " params.yaml"
        )
    return laid_over(settings, values, str(path))


def _checked(source: Path | str, raw: Any) -> Settings:
    _name_objectives(source, raw)
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(f"{source}: {_fault(detail)}" for detail in error.errors())
        ) from None


def _fault(detail: Any) -> str:
    """One broken rule: the key, what was expected, and the value unless it is a whole section."""
    key = ".".join(map(str, detail["loc"])) or "(top)"
    found = "" if isinstance(detail["input"], dict | BaseModel) else f" (found {detail['input']!r})"
    return f"{key}: {detail['msg'].removeprefix('Value error, ')}{found}"


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not _put(raw, key, yaml.safe_load(value)):
        raise SettingsError(
            f"--set {override}: expected SECTION.KEY=VALUE with a key of params.yaml,"
            " as in pretrain.steps=20"
        )


def _put(raw: dict[str, Any], key: str, value: Any) -> bool:
    """Set `section.key` of nested mappings; False where there is none."""
    *parents, last = key.split(".")
    section: Any = raw
    for parent in parents:
        section = section.get(parent) if isinstance(section, dict) else None
    if not isinstance(section, dict) or last not in section:
        return False
    section[last] = value
    return True


def _name_objectives(path: Path | str, raw: Any) -> None:
    """Give each row of `objectives` its name, and `pretrain.objective` the row that it names."""
    rows = raw.get("objectives") if isinstance(raw, dict) else None
    if not isinstance(rows, dict) or not isinstance(raw.get("pretrain"), dict):
        return  # the missing section is told with all other faults
    raw["objectives"] = {
        name: {**row, "name": name} if isinstance(row, dict) else row for name, row in rows.items()
    }
    name = raw["pretrain"].get("objective")
    if isinstance(name, str):
        if name not in rows:
            raise SettingsError(
                f"{path}: pretrain.objective: no row {name!r} in objectives; there are "
                + ", ".join(rows)
            )
        raw["pretrain"]["objective"] = raw["objectives"][name]


def digest(section: BaseModel) -> str:
    """16 hexadecimal digits that change exactly when a value of the section does."""
    canonical = json.dumps(section.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
