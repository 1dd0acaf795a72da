"""What probes and fine-tuning have reported, read back: metrics/NAME.json as typed facts.

Reading is strict: a file that lacks a field says which one, and which stage writes it anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from unisurg.settings import Protocol, WindowKind

METRICS = Path("metrics")
TUNED_METRICS = METRICS / "finetune"
SHARE = "%"
# How the names of errors and of rank correlations begin, and what parts of a name say its unit.
ERRORS = ("mae", "abs_rel", "sq_rel", "rmse")
CORRELATIONS = ("spearman",)
UNITS = {"points": "points", "mm": "mm", "log": "ln"}


class ReportedError(ValueError):
    """A file of results is missing or cannot be read; the message says which, and the remedy."""


def lower_is_better(metric: str) -> bool:
    """Whether a metric, by its exact name, counts errors."""
    return metric.startswith(ERRORS)


def unit_of(metric: str) -> str:
    """Unit in which a metric is shown, by its exact name: `SHARE`, unless the name has another.

    A correlation has none.
    """
    if metric.startswith(CORRELATIONS):
        return ""
    return next((UNITS[part] for part in metric.split("_") if part in UNITS), SHARE)


def in_unit(metric: str, value: float) -> float:
    """A value as it is shown: a share in 0..1 times 100, any other as it is."""
    return 100 * value if unit_of(metric) == SHARE else value


def written(metric: str, value: float | None, sign: str = "") -> str:
    """A value as it is shown, without its unit: one digit of a share, two of any other.

    A value that there is not, None or NaN, is a dash. `sign` is "+" where a plus is to be written.
    """
    if value is None or math.isnan(value):
        return "-"
    digits = 1 if unit_of(metric) == SHARE else 2
    return f"{in_unit(metric, value):{sign}.{digits}f}"


def spanned(metric: str, mean: float, low: float, high: float, sign: str = "") -> str:
    """A value and its interval as `61.2 [58.0, 64.1]`, see `written`."""
    middle, *bounds = (written(metric, value, sign) for value in (mean, low, high))
    return f"{middle} [{', '.join(bounds)}]"


def known(seeds: Iterable[float | None]) -> list[float]:
    """The values of those seeds that have a number."""
    return [value for value in seeds if value is not None and not math.isnan(value)]


class Facts(BaseModel):
    """Further keys may stand beside the ones that are read here."""

    model_config = ConfigDict(frozen=True)


class Estimate(Facts):
    """Mean over seeds, 95 % bootstrap interval over test cases, value of each seed.

    In 0..1, or in the unit that the metric's name says, see `unit_of`. A seed without a number on
    these cases is None.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float | None, ...]


Measures = dict[str, Estimate]
Choices = dict[str, dict[str, Any]]


class Baseline(Facts):
    """A further encoder; `difference` is pretrained minus it. `chosen` goes by seed."""

    metrics: Measures
    difference: Measures = {}
    chosen: Choices = {}


class Comparison(Facts):
    """The pretrained encoder and perhaps a random one; `chosen` goes by encoder, then by seed."""

    pretrained: Measures
    random: Measures = {}
    difference: Measures = {}
    chosen: dict[str, Choices] = {}


class Head(Comparison):
    """The same for one kind of head, with the baselines."""

    baselines: dict[str, Baseline] = {}


class Fewer(Facts):
    """The main metric where a share `fraction` of the training cases was used."""

    fraction: float
    cases: int
    pretrained: Estimate
    random: Estimate | None = None
    difference: Estimate | None = None


class Results(Head):
    """Everything a probe reports of one benchmark; the head at the top is of the kind `kind`.

    `fps` is None where nobody knows the rate of the frames; then so is `lookahead_s`, unless
    `lookahead_frames` is 0.
    """

    benchmark: str
    task: str
    split: str
    protocol: Protocol
    window: WindowKind
    lookahead_s: float | None
    lookahead_frames: int = 0
    frames: int
    fps: float | None
    kind: str
    cases: dict[str, int]
    clips: dict[str, int]
    unit: str
    main: str
    cholec80_train_in_test: tuple[str, ...] | None = None
    """Test cases that are training videos of Cholec80; None of a benchmark that cannot have any."""
    kinds: dict[str, Head] = {}
    label_efficiency: tuple[Fewer, ...] = ()

    @model_validator(mode="after")
    def _has_its_main_metric(self) -> Results:
        _require(self.main, self.pretrained)
        return self

    @property
    def lookahead(self) -> str:
        """What features may know of after the labelled moment, in words; empty where nothing."""
        if self.lookahead_s is None:
            return f"{self.lookahead_frames} frames"
        return f"{self.lookahead_s:g} s" if self.lookahead_s else ""

    @property
    def heads(self) -> dict[str, Head]:
        """Every kind of head by name, the main one first."""
        others = {name: head for name, head in self.kinds.items() if name != self.kind}
        return {self.kind: self, **others}


class Tuned(Comparison):
    """What fine-tuning reports of one benchmark."""

    main: str

    @model_validator(mode="after")
    def _has_its_main_metric(self) -> Tuned:
        _require(self.main, self.pretrained)
        return self


def _require(main: str, measures: Measures) -> None:
    if main not in measures:
        raise ValueError(f"pretrained has no value of the main metric {main}")


def metrics_path(benchmark: str) -> Path:
    """Of the probe, below the repository's root."""
    return METRICS / f"{benchmark}.json"


def tuned_path(benchmark: str) -> Path:
    """Of fine-tuning, below the repository's root."""
    return TUNED_METRICS / f"{benchmark}.json"


def read_results(root: Path, benchmark: str) -> Results | None:
    """What the probe of a benchmark reports; None if it has not run.

    Raises:
        ReportedError: the file is not what a probe writes.
    """
    return _read(root / metrics_path(benchmark), Results, f"probe@{benchmark}")


def read_tuned(root: Path, benchmark: str) -> Tuned | None:
    """What fine-tuning on a benchmark reports; None if it has not run.

    Raises:
        ReportedError: the file is not what fine-tuning writes.
    """
    return _read(root / tuned_path(benchmark), Tuned, f"finetune@{benchmark}")


F = TypeVar("F", bound=Facts)


def _read(path: Path, kind: type[F], stage: str) -> F | None:
    if not path.is_file():
        return None
    remedy = f"write it anew with `dvc repro -f -s {stage}`"
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportedError(f"{path}: not valid JSON ({error}); {remedy}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "(top)"
        problem = first["msg"].removeprefix("Value error, ")
        raise ReportedError(f"{path}: {field}: {problem}; {remedy}") from None
