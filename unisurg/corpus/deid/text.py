"""Text burned into the picture: where it is, and whether it looks like personal data.

It is looked for on medians over time, on which the surgery behind it blurs (curation reference
3.4): offline, with the PP-OCR networks that lie in RapidOCR's package. Each picture is looked at in
several sizes, because the network that finds text misses some of it in any single one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.deid.overlays import Rectangle

Picture = NDArray[np.uint8]
Spread = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""

PROOF = "PATIENT 20415"
LEAST_PX = 32
"""The network works on multiples of so many pixels."""
LEAST_TURNS = 3
"""Changes from rising to falling brightness and back, in a row of some letters' width."""
DARK = 16
"""Luma below which a pixel may be the black around a round view."""
SAME = 0.5
"""Two boxes that share this much of the smaller are one."""


class TextError(RuntimeError):
    """Text could not be looked for; the message says why and names the remedy."""


class Kind(StrEnum):
    PERSONAL = "personal"
    TEXT = "text"


@dataclass(frozen=True)
class TextRules:
    """How text is looked for, and what counts as found."""

    sides_px: tuple[int, ...]
    """Short sides to which a picture is brought, one after the other, to find text in it."""
    pixel_probability: float
    """The network's map of text: a pixel counts from this probability, 0..1 ..."""
    box_probability: float
    """... and a box of such pixels from this mean of them."""
    confidence: float
    """Mean probability 0..1 of the characters read, from which a box is text."""
    characters: int
    """Fewer letters and digits than this are no text: single ones are read into tissue."""
    most_height: float
    """A line that is thicker than this share 0..1 of the picture's short side is no text: the
    outline of a round view is read as letters."""
    margin: float
    """Painted around a box, in heights of the box."""
    still_spread: float
    """Grey levels 0..255: what deviates less over time does not move ..."""
    strong_edge: float
    """... and is taken for strokes where luma changes by this many grey levels per pixel."""


@dataclass(frozen=True)
class Found:
    """A piece of text on one median. What it says is for memory only: it may name a person."""

    rectangle: Rectangle
    """With its margin."""
    kind: Kind
    confidence: float
    """Of reading, 0..1; 0 where strokes were found that nobody read."""
    text: str = field(repr=False)


class TextReader:
    """RapidOCR's networks, loaded once. They are tried on a known line before they are believed.

    Raises:
        TextError: not installed, networks not in the package, or the known line is not read.
    """

    def __init__(self, rules: TextRules) -> None:
        self.rules = rules
        self._engine = _engine(rules)
        if not rules.sides_px or not all(map(self._reads_proof, rules.sides_px)):
            raise TextError(
                f"the reader does not read a plain line at short sides {rules.sides_px}: install "
                "rapidocr 3.10 anew, or choose sides of 300 to 800 pixels"
            )

    def read(
        self, medians: Iterable[Picture], spreads: Iterable[Spread] | None = None
    ) -> list[list[Found]]:
        """Text of each median (h, w, 3) uint8 RGB, a list for each of them.

        `spreads`, where given, holds the standard deviation (h, w) of luma over the same time as
        each median: then boxes that do not move count even if they cannot be read, and so does
        what only looks like strokes (the rule without OCR of the curation reference 3.4).

        Raises:
            TextError: a picture that is none, or the networks fail.
        """
        pairs = zip(
            medians, repeat(None) if spreads is None else spreads, strict=spreads is not None
        )
        return [self._found(median, spread) for median, spread in pairs]

    def _found(self, median: Picture, spread: Spread | None) -> list[Found]:
        if median.ndim != 3 or median.shape[-1] != 3 or median.dtype != np.uint8:
            raise TextError(f"wanted a median (h, w, 3) uint8, got {median.shape} {median.dtype}")
        if spread is not None and spread.shape != median.shape[:2]:
            raise TextError(f"median {median.shape} and spread {spread.shape} differ in size")
        lines = [line for side in self.rules.sides_px for line in self._lines(median, side)]
        thickest = self.rules.most_height * min(median.shape[:2])
        lines = [line for line in lines if line.thickness <= thickest]
        kept = [line for line in lines if self._counts(line, spread)]
        if spread is not None:
            kept += [Line(box, "", 0.0) for box in stroke_boxes(median, spread, self.rules)]
        return self._described(merged(kept), *median.shape[:2])

    def _lines(self, picture: Picture, side_px: int) -> list[Line]:
        """Everything that looks like a line of text, whether it can be read or not."""
        from unisurg.video.opencv import opencv

        cv2 = opencv()
        scale = side_px / min(picture.shape[:2])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        bgr = cv2.resize(picture[..., ::-1], None, fx=scale, fy=scale, interpolation=how)
        try:
            answer = self._engine(np.ascontiguousarray(bgr))
        except Exception as error:
            raise TextError(f"RapidOCR failed: {type(error).__name__}: {error}") from None
        boxes = getattr(answer, "boxes", None)
        if boxes is None:
            return []
        texts, scores = getattr(answer, "txts", None), getattr(answer, "scores", None)
        if texts is None or scores is None or not len(boxes) == len(texts) == len(scores):
            raise TextError("RapidOCR found text and did not read it: install rapidocr 3.10")
        corners = np.asarray(boxes, np.float64) / scale
        spans = np.hstack([corners.min(axis=1), corners.max(axis=1)]).tolist()
        return [
            Line((x0, y0, x1, y1), str(text), float(score))
            for (x0, y0, x1, y1), text, score in zip(spans, texts, scores, strict=True)
        ]

    def _counts(self, line: Line, spread: Spread | None) -> bool:
        if sum(map(str.isalnum, line.text)) < self.rules.characters:
            return False
        if line.confidence >= self.rules.confidence:
            return True
        if spread is None:
            return False
        x0, y0, x1, y1 = (max(0, int(side)) for side in line.box)
        inside = spread[y0 : y1 + 1, x0 : x1 + 1]
        return bool(inside.size and np.median(inside) <= self.rules.still_spread)

    def _described(self, lines: Sequence[Line], height: int, width: int) -> list[Found]:
        personal = personal_lines(lines)
        found = []
        for line, is_personal in zip(lines, personal, strict=True):
            x0, y0, x1, y1 = line.box
            rim = self.rules.margin * (y1 - y0) + 1
            left, top = max(0.0, x0 - rim), max(0.0, y0 - rim)
            w, h = min(float(width), x1 + rim) - left, min(float(height), y1 + rim) - top
            if w > 0 and h > 0:
                place = Rectangle(left / width, top / height, w / width, h / height)
                kind = Kind.PERSONAL if is_personal else Kind.TEXT
                found.append(Found(place, kind, line.confidence, line.text))
        return found

    def _reads_proof(self, side_px: int) -> bool:
        from unisurg.video.opencv import opencv

        cv2 = opencv()
        picture = np.full((side_px, 2 * side_px, 3), (90, 40, 40), np.uint8)
        place, white = (side_px // 4, side_px // 2), (255, 255, 255)
        cv2.putText(picture, PROOF, place, cv2.FONT_HERSHEY_SIMPLEX, side_px / 400, white, 2)
        read = "".join(line.text for line in self._lines(picture, side_px))
        return PROOF.replace(" ", "") in read.replace(" ", "")


@dataclass(frozen=True)
class Line:
    """One line as it was read."""

    box: Box
    text: str
    confidence: float

    @property
    def thickness(self) -> float:
        """Pixels; of a line that is written upwards its width."""
        x0, y0, x1, y1 = self.box
        return min(x1 - x0, y1 - y0)


def merged(lines: Iterable[Line]) -> list[Line]:
    """Lines that lie on each other as one, with the best reading and the box of all of them."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda one: (-one.confidence, one.box, one.text)):
        for i, other in enumerate(kept):
            if _shared(line.box, other.box) >= SAME:
                kept[i] = replace(other, box=_around(line.box, other.box))
                break
        else:
            kept.append(line)
    return sorted(kept, key=lambda one: (one.box[1], one.box[0]))


def united(found: Iterable[Found]) -> list[Found]:
    """What was found on several pictures in one place as one, with the rectangle around all of
    it; personal where any of it is."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (-f.confidence, f.rectangle, f.text)):
        for i, other in enumerate(kept):
            if _shared(_corners(one.rectangle), _corners(other.rectangle)) >= SAME:
                rectangle = _joined(one.rectangle, other.rectangle)
                kind = Kind.PERSONAL if Kind.PERSONAL in (one.kind, other.kind) else other.kind
                kept[i] = replace(other, rectangle=rectangle, kind=kind)
                break
        else:
            kept.append(one)
    return sorted(kept, key=lambda f: f.rectangle)


# What looks like personal data, in the languages of our sources. Reading loses spaces, so a word
# ends where letters end.
DATE = re.compile(
    r"\d{1,4}\s?[./-]\s?\d{1,2}\s?[./-]\s?\d{2,4}"
    r"|\d{1,2}[\s.-]*(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*[\s.,-]*\d{2,4}",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d(?:[\s-]?\d){4,}")
LISTED_NAME = re.compile(r"^[^\W\d_][\w'’.-]+\s?,\s?[^\W\d_][\w'’. -]+$")
LABEL = re.compile(
    r"(?<![^\W\d_])(?:"
    r"patient(?:in|e|en)?|paziente|paciente|pat|name|surname|vorname|nachname|nom|pr[ée]nom|nombre|"
    r"apellidos?|cognome|nome|naam|d\.?o\.?b|born|birth\s?date|date\s?of\s?birth|geb(?:oren|urtsdatum)?|"
    r"n[ée]e?|nacido|mrn|ssn|nhs|p?id|case|fall(?:nr|nummer)?|accession|acc|age|alter|sex|gender|"
    r"dr|dra|prof|surgeon|physician|doctor|op[ée]rateur|chirurg(?:ien|o|in)?"
    r")(?![^\W\d_])",
    re.IGNORECASE,
)
PLACE = re.compile(
    r"h[oôó]pital|hospital|h[oô]spit|klinik|clinic|cl[íi]nica|clinique|ospedale|krankenhaus|spital|"
    r"ziekenhuis|sjukhus|szpital|sygehus|medical\s?cent|universit|m[ée]decin|praxis|病院|医院",
    re.IGNORECASE,
)


def looks_personal(text: str) -> bool:
    """Whether a line alone looks like personal data: a label, date, number, name or hospital."""
    return any(p.search(text) for p in (DATE, NUMBER, LABEL, PLACE)) or bool(
        LISTED_NAME.match(text.strip())
    )


def personal_lines(lines: Sequence[Line]) -> list[bool]:
    """For each line, whether it looks personal, or stands right of or below a bare label."""
    labels = [line.box for line in lines if LABEL.search(line.text)]
    return [
        looks_personal(line.text) or any(_answers(line.box, label) for label in labels)
        for line in lines
    ]


def stroke_boxes(median: Picture, spread: Spread, rules: TextRules) -> list[Box]:
    """Boxes of what stands still and has the many upright strokes of writing; no OCR.

    The rims of a round view and of black bars stand still as well, but have two strokes at most.
    Where the whole picture stands still nothing can be told, and the list is empty.
    """
    from unisurg.video.opencv import opencv

    cv2 = opencv()
    luma = cv2.cvtColor(median, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = (cv2.Sobel(luma, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    strong = np.hypot(across, down) >= rules.strong_edge
    still = strong & (cv2.erode(spread, np.ones((3, 3))) <= rules.still_spread)
    lit = spread[luma >= DARK]
    if not lit.size or np.median(lit) <= rules.still_spread:
        return []
    side = min(luma.shape)
    window = max(8, side // 10), max(3, side // 50)  # some letters wide, most of a letter high
    turns = cv2.boxFilter(_turns(np.where(still, np.sign(across), 0)), -1, window, normalize=False)
    writing = still & (turns / window[1] >= LEAST_TURNS)
    reach = np.ones((max(1, side // 100), max(3, side // 30)), np.uint8)
    joined = cv2.morphologyEx(writing.astype(np.uint8), cv2.MORPH_CLOSE, reach)
    n_parts, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    return [
        (left, top, left + w, top + h)
        for left, top, w, h, _ in stats[1:n_parts].tolist()
        if side / 80 <= h <= side / 7 and w >= 1.2 * h
    ]


def _turns(signs: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 where a row's brightness falls after it last rose or rises after it last fell, else 0."""
    columns = np.arange(signs.shape[1])
    last = np.maximum.accumulate(np.where(signs != 0, columns, 0), axis=1)
    before = np.take_along_axis(signs, last, axis=1)[:, :-1]
    turned = np.zeros(signs.shape, np.float32)
    turned[:, 1:] = signs[:, 1:] * before < 0
    return turned


def _engine(rules: TextRules) -> Any:
    """RapidOCR with networks named by their path: with a path it never asks the network for one."""
    import logging

    try:
        import rapidocr
    except ImportError as error:
        raise TextError(f"rapidocr cannot be imported ({error}): install rapidocr 3.10") from None
    models = Path(rapidocr.__file__).parent / "models"
    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    threads = "EngineConfig.onnxruntime"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,  # burned-in text stands upright
            "Global.text_score": 0.0,  # what is unsure is ours to judge
            "Global.max_side_len": 1 << 14,
            f"{threads}.intra_op_num_threads": 1,
            f"{threads}.inter_op_num_threads": 1,
            "Det.model_path": str(_network(models, "det")),
            "Det.limit_side_len": LEAST_PX,  # pictures come in the size that they should have
            "Det.thresh": rules.pixel_probability,
            "Det.box_thresh": rules.box_probability,
            "Rec.model_path": str(_network(models, "rec")),
        }
    )


def _network(folder: Path, task: str) -> Path:
    found = sorted(folder.glob(f"*_{task}_*.onnx"))
    if len(found) != 1:
        raise TextError(
            f"{folder}: {len(found)} networks *_{task}_*.onnx, wanted one: install rapidocr 3.10"
        )
    return found[0]


def _shared(a: Box, b: Box) -> float:
    """Common area as a share of the smaller box."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = ((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b))
    return max(0.0, w) * max(0.0, h) / max(1e-9, min(areas))


def _joined(a: Rectangle, b: Rectangle) -> Rectangle:
    """The rectangle around both; equal ones stay as they are, to the last bit."""
    if a == b:
        return a
    x0, y0, x1, y1 = _around(_corners(a), _corners(b))
    return Rectangle(x0, y0, min(1 - x0, x1 - x0), min(1 - y0, y1 - y0))


def _corners(place: Rectangle) -> Box:
    x, y, w, h = place
    return x, y, x + w, y + h


def _around(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _answers(box: Box, label: Box) -> bool:
    """Whether a box starts right of a label in its row, or in the row below it."""
    height = label[3] - label[1]
    middle = (box[1] + box[3]) / 2
    beside = label[1] <= middle <= label[3] and 0 <= box[0] - label[2] <= 4 * height
    below = 0 <= box[1] - label[3] <= height and abs(box[0] - label[0]) <= 2 * height
    return beside or below
