"""Frames filmed outside the body -> spans of time that are cut out.

The detector is a plug-in, because none may be bundled (docs/deidentification.md lists those that
exist): a network `detector.onnx`, and beside it `detector.yaml` that says how it wants its frames
and what its answer means. It runs with onnxruntime on the CPU, one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MODEL, CARD = "detector.onnx", "detector.yaml"
Floats = NDArray[np.float32]
Triple = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]
Span = tuple[float, float]
"""[start, end) in seconds."""


class DetectorError(RuntimeError):
    """The plug-in cannot be trusted; the message names the file, what is wrong and the remedy."""


class Card(BaseModel):
    """`detector.yaml`. A pixel v of 0..255 reaches the network as (v / 255 - mean) / std."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the detector's name and version", min_length=1)
    licence: str = Field(description="the licence of its weights", min_length=1)
    width_px: int = Field(description="width of its input, to which frames are resized", gt=0)
    height_px: int = Field(description="height of its input", gt=0)
    layout: Literal["NCHW", "NHWC"] = Field(description="NCHW or NHWC")
    channels: Literal["RGB", "BGR"] = Field(description="RGB or BGR")
    mean: Triple = Field(description="three numbers, of pixels 0..1")
    std: tuple[Positive, Positive, Positive] = Field(description="three numbers above 0")
    output: int = Field(description="which of its outputs holds the answer, from 0", ge=0)
    activation: Literal["softmax", "sigmoid", "none"] = Field(
        description="softmax or sigmoid for logits, none for an output that is 0..1 already"
    )
    outside: int = Field(description="column of the answer that means out of body, from 0", ge=0)
    threshold: float = Field(description="out of body from this probability, 0..1", gt=0, lt=1)


@dataclass(frozen=True)
class OutsideRules:
    """How answers per frame become spans. Each rule may add to what is cut out, none takes away."""

    hold: float
    """Hysteresis: a span goes on while the probability is at least this share 0..1 of the
    threshold that began it."""
    fill_s: float
    """Two spans with less than this between them are one."""
    margin_s: float
    """Cut out before and behind each span."""


class Detector:
    """An out-of-body detector: RGB frames -> probabilities.

    `path` is the folder of the plug-in or its .onnx file. A trial on black frames shows right here
    whether network and card fit each other.

    Raises:
        DetectorError: no such files, a broken card or network, or the two disagree.
    """

    def __init__(self, path: Path, batch: int) -> None:
        self._model = path / MODEL if path.is_dir() else path
        self.card = read_card(self._model.with_suffix(".yaml"))
        if not self._model.is_file():
            raise DetectorError(f"{self._model}: no such file; put the network there")
        self._session = _session(self._model)
        self._input = self._session.get_inputs()[0]
        self._fixed = isinstance(self._input.shape[0], int)
        self.batch = self._input.shape[0] if self._fixed else batch
        self._output = self._chosen_output()
        self(np.zeros((2, self.card.height_px, self.card.width_px, 3), np.uint8))

    @property
    def digest(self) -> str:
        """SHA-256 of network and card: what results depend on."""
        files = (self._model, self._model.with_suffix(".yaml"))
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()

    def __call__(self, frames: Iterable[NDArray[np.uint8]]) -> Floats:
        """Probability (N,) float32 in 0..1 that each of N frames (H, W, 3) uint8 is out of body.

        Frames are taken from the iterable batch by batch; few are in memory at a time.

        Raises:
            DetectorError: the network fails, or its answer is no probability.
        """
        answers = [
            self._answer(batch) for batch in _batches(map(self._prepared, frames), self.batch)
        ]
        return np.concatenate([np.zeros(0, np.float32), *answers])

    def _prepared(self, frame: NDArray[np.uint8]) -> Floats:
        """(H, W, 3) uint8 RGB -> (3, h, w) or (h, w, 3) as the network wants it."""
        from unisurg.video.opencv import opencv

        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
            raise DetectorError(f"wanted frames (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        cv2, card = opencv(), self.card
        small = cv2.resize(frame, (card.width_px, card.height_px), interpolation=cv2.INTER_AREA)
        ordered = small if card.channels == "RGB" else small[..., ::-1]
        scaled = (ordered / 255 - np.array(card.mean)) / np.array(card.std)
        return np.asarray(
            scaled if card.layout == "NHWC" else scaled.transpose(2, 0, 1), np.float32
        )

    def _answer(self, batch: Floats) -> Floats:
        n_frames = len(batch)
        if self._fixed and n_frames < self.batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self.batch - n_frames, axis=0)])
        try:
            raw = self._session.run([self._output], {self._input.name: batch})[0]
        except Exception as error:
            raise self._broken(
                f"onnxruntime failed on frames {batch.shape}: {_first_line(error)}",
                "check width_px, height_px and layout",
            ) from None
        probabilities = self._probabilities(np.asarray(raw), len(batch))[:n_frames]
        if not np.all((probabilities >= 0) & (probabilities <= 1)):  # NaN fails too
            raise self._broken(
                f"its output {self._output!r} is no probability", "set activation to what it needs"
            )
        return probabilities.astype(np.float32)

    def _probabilities(self, raw: NDArray[Any], n_frames: int) -> NDArray[np.float64]:
        card = self.card
        if raw.ndim == 0 or raw.shape[0] != n_frames or raw.size % n_frames:
            raise self._broken(
                f"its output {self._output!r} is {raw.shape} for {n_frames} frames",
                "choose the output with one row per frame, in `output`",
            )
        rows = raw.reshape(n_frames, -1).astype(np.float64)
        if card.outside >= rows.shape[1]:
            raise self._broken(
                f"its answer has {rows.shape[1]} columns, none of them number {card.outside}",
                "correct `outside`",
            )
        if card.activation == "softmax":
            if rows.shape[1] < 2:
                raise self._broken("softmax over one column is always 1", "set activation: sigmoid")
            powers = np.exp(rows - rows.max(axis=1, keepdims=True))
            rows = powers / powers.sum(axis=1, keepdims=True)
        elif card.activation == "sigmoid":
            rows = 1 / (1 + np.exp(-np.clip(rows, -60, 60)))
        return np.asarray(rows[:, card.outside])

    def _chosen_output(self) -> str:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        wanted: list[int] = [self.card.height_px, self.card.width_px]
        wanted.insert(2 if self.card.layout == "NHWC" else 0, 3)
        shape = self._input.shape
        fits = len(shape) == 4 and all(
            not isinstance(have, int) or have == want
            for have, want in zip(shape[1:], wanted, strict=True)
        )
        if len(inputs) != 1 or self._input.type != "tensor(float)" or not fits:
            seen = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise self._broken(
                f"it takes {seen}, the card says float frames [N, {', '.join(map(str, wanted))}]",
                "correct width_px, height_px or layout, or export it with one such input",
            )
        if self.card.output >= len(outputs):
            raise self._broken(f"it has {len(outputs)} outputs", "correct `output`, from 0")
        return str(outputs[self.card.output].name)

    def _broken(self, what: str, remedy: str) -> DetectorError:
        return DetectorError(f"{self._model}: {what}; {remedy}")


def read_card(path: Path) -> Card:
    """The card of a plug-in.

    Raises:
        DetectorError: missing, no YAML, or a field is absent, unknown or out of range.
    """
    if not path.is_file():
        raise DetectorError(
            f"{path}: no such file; a detector needs a card beside it with the fields "
            f"{', '.join(Card.model_fields)} (docs/deidentification.md)"
        )
    try:
        return Card.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise DetectorError(f"{path}: no YAML: {_first_line(error)}; correct it") from None
    except ValidationError as error:
        raise DetectorError(f"{path}: {_field_error(error)}") from None


def outside_spans(
    oob_p: Floats, grid_s: float, duration_s: float, threshold: float, rules: OutsideRules
) -> list[Span]:
    """Spans to cut out, ascending, apart from each other, within [0, duration_s].

    Frame k stands for [k grid_s, (k + 1) grid_s), the last one to the end of the video. Every frame
    at or above the threshold lies in a span: one bad second is never smoothed away.

    Raises:
        DetectorError: a frame without an answer, or no frame.
    """
    if not len(oob_p) or not np.all(np.isfinite(oob_p)):
        raise DetectorError("not every frame has an answer; run the detector on all of them")
    spans: list[Span] = []
    for first, behind in _runs(oob_p >= min(1.0, rules.hold) * threshold):
        if not np.any(oob_p[first:behind] >= threshold):
            continue
        end_s = duration_s if behind == len(oob_p) else behind * grid_s + rules.margin_s
        start_s = max(0.0, first * grid_s - rules.margin_s)
        if spans and start_s - spans[-1][1] < rules.fill_s:
            start_s = spans.pop()[0]
        spans.append((min(start_s, duration_s), min(end_s, duration_s)))
    return [span for span in spans if span[1] > span[0]]


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """[first, behind) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)


def _batches(frames: Iterator[Floats], size: int) -> Iterator[Floats]:
    while batch := list(islice(frames, size)):
        yield np.stack(batch)


def _session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    load: Callable[..., Any] = onnxruntime.InferenceSession
    try:
        return load(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DetectorError(
            f"{model}: onnxruntime {onnxruntime.__version__} cannot load it: {_first_line(error)}; "
            "export it anew, with an opset that this version knows and without custom operators"
        ) from None


def _field_error(error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:
        return f"wanted the fields {', '.join(Card.model_fields)}; write them as `name: value`"
    field = str(first["loc"][0])
    if field not in Card.model_fields:
        return f"field {field!r} is not known; remove it (known: {', '.join(Card.model_fields)})"
    return f"field {field!r}: {first['msg']}; give {Card.model_fields[field].description}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
