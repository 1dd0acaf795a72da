"""Your own data: a folder of videos and a `labels.csv`, no code.

    labels.csv      `video,start_s,end_s,label,split`: spans in seconds, end excluded; or
                    `video,second,label,split`: one row per labelled second
    classes.txt     the classes in order, one a line; without it, in order of first appearance
    *.mp4 ...       wherever the column `video` says, relative to the folder

A last column `group` may follow `split`: the patient or the operation, where one has several
videos. The label of second i is that of the span with start_s <= i < end_s. Seconds without a label
are ignored (-1), counted and told; overlapping spans are an error. `split` is train, val or test,
the same for all rows of a video; a video without any is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unisurg.benchmarks.base import (
    IGNORED,
    LABEL_TOLERANCE_S,
    PARTS,
    Benchmark,
    BenchmarkError,
    Case,
    Findings,
    Part,
    ShareSplit,
    Split,
    StatedSplit,
    VideoCase,
    require_parts,
    split_cases,
)
from unisurg.benchmarks.media import VideoFacts, video_facts
from unisurg.benchmarks.tables import Row, read_lines, read_rows, whole

LABELS, CLASSES = "labels.csv", "classes.txt"
SPANS = ("video", "start_s", "end_s", "label", "split")
SECONDS = ("video", "second", "label", "split")
GROUP = "group"
_TABLES = (SPANS, SECONDS, (*SPANS, GROUP), (*SECONDS, GROUP))

SPLITS: dict[str, Split] = {
    "column": StatedSplit(note="the column `split` of labels.csv: train, val and test."),
    "column-train-test": StatedSplit(
        note="the column `split` of labels.csv: train and test. Probes are chosen on the last "
        "fifth of train in natural order, then trained again on all of train.",
        val=0.2,
        refit=True,
    ),
    "shares": ShareSplit(
        note="the column `split` is not read: in natural order the first 60 % train, the next 20 % "
        "validate, the last 20 % test.",
        train=0.6,
        val=0.2,
    ),
}


@dataclass(frozen=True)
class Span:
    """One labelled stretch, seconds, end excluded; `line` is its row in labels.csv."""

    start_s: float
    end_s: float
    label: str
    line: int


@dataclass
class Video:
    """What labels.csv says of one video; `line` is its first row."""

    name: str
    part: Part | None
    group: str
    line: int
    spans: list[Span] = field(default_factory=list)


def own(name: str, root: Path) -> Benchmark:
    """The benchmark that lies in folder `root`.

    Raises:
        BenchmarkError: there is no labels.csv, or no label in it.
    """
    root = Path(root)
    found = classes(root, Findings(root, strict=False))
    if not found:
        raise BenchmarkError(
            root / LABELS,
            "no label can be read",
            f"write one row per span or second: {','.join(SPANS)} or {','.join(SECONDS)}",
        )
    return Benchmark(
        name=name,
        title=f"{name}, own data",
        task="phase",
        classes=found,
        splits=SPLITS,
        unit="video",
        main="f1_sm_per_video_unrelaxed",
        licence="your own",
        access=f"a folder of videos and {LABELS}, see docs/benchmarks.md",
        reader=read,
    )


def classes(root: Path, findings: Findings) -> tuple[str, ...]:
    """Classes of classes.txt, else the labels of labels.csv in order of first appearance.

    Faults of classes.txt are findings.
    """
    given = root / CLASSES
    if given.is_file():
        names = [line.strip() for line in read_lines(given, findings)]
        for number, name in enumerate(names, start=1):
            if not name or name in names[: number - 1]:
                problem = f"class {name!r} twice" if name else "an empty line"
                findings.error(given, problem, "one class a line, each once", number)
        return tuple(dict.fromkeys(name for name in names if name))
    # The rows' own faults are told when they are read for their labels, not twice.
    rows = _rows(root / LABELS, Findings(root, strict=False))
    return tuple(dict.fromkeys(row["label"] for _, row in rows if row["label"]))


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of a user's own data, the classes being its own."""
    return read_with(classes(root, findings), root, split, findings)


def read_with(names: Sequence[str], root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels per second, shape (S,), S the video's length rounded up.

    A case is named by the column `video` without its ending, a folder by a dash: `a/b.mp4` is
    `a-b`.

    Args:
        names: the classes in the order of their indices; any other label is an error.
    """
    table = root / LABELS
    videos = _videos(table, names, findings)
    stated = {case: video.part for case, video in videos.items() if video.part is not None}
    parts = split_cases(
        {case: video.group for case, video in videos.items()}, split, findings, stated
    )
    require_parts(list(parts.values()), findings)
    index = {name: i for i, name in enumerate(names)}
    cases: list[Case] = []
    for case, part in parts.items():
        video = videos[case]
        facts = _facts(root, video, findings)
        if facts is not None:
            labels = _seconds(table, video, facts.seconds, index, findings)
            path = root / video.name
            cases.append(VideoCase(case, path, part, labels, facts.fps, 1.0, video.group))
    return cases


def _rows(table: Path, findings: Findings) -> list[Row]:
    """Rows of labels.csv, whichever of its headers it has."""
    if not table.is_file():
        findings.error(table, "no such file", f"write it: {','.join(SPANS)}")
        return []
    lines = read_lines(table, findings)
    header = tuple(name.strip() for name in lines[0].split(",")) if lines else ()
    columns = next((columns for columns in _TABLES if columns == header), None)
    if columns is None:
        findings.error(
            table,
            f"the header is {','.join(header)!r}",
            f"it must be {','.join(SPANS)} or {','.join(SECONDS)}, and may end with ,{GROUP}",
            1,
        )
        return []
    return read_rows(table, columns, findings)


def _videos(table: Path, names: Sequence[str], findings: Findings) -> dict[str, Video]:
    """What labels.csv says, by case."""
    videos: dict[str, Video] = {}
    unknown: set[str] = set()
    for line, row in _rows(table, findings):
        part = _part(table, line, row["split"], findings)
        case = Path(row["video"]).with_suffix("").as_posix().replace("/", "-")
        new = Video(row["video"], part, row.get(GROUP) or case, line)
        video = videos.setdefault(case, new)
        if (video.name, video.part, video.group) != (new.name, new.part, new.group):
            findings.error(
                table,
                f"{new.name} is in {new.part}, group {new.group}, but line {video.line} has "
                f"{video.name} in {video.part}, group {video.group}",
                "all rows of a video must say the same, and videos need names of their own",
                line,
            )
        label = row["label"]
        if label in names:
            span = _span(table, line, row, findings)
            video.spans += [] if span is None else [span]
        elif label not in unknown:
            problem = f"unknown label {label!r}" if label else "an empty label"
            remedy = f"add it to {CLASSES}" if label else "leave unlabelled time out"
            findings.error(table, problem, remedy, line)
            unknown.add(label)
    return videos


def _part(table: Path, line: int, text: str, findings: Findings) -> Part | None:
    part = next((part for part in PARTS if part == text), None)
    if part is None and text:
        findings.error(table, f"split is {text!r}", "it must be train, val, test or empty", line)
    return part


def _span(table: Path, line: int, row: Mapping[str, str], findings: Findings) -> Span | None:
    if "second" in row:
        second = whole(row["second"])
        if second is not None and second >= 0:
            return Span(second, second + 1, row["label"], line)
        findings.error(
            table, f"second is {row['second']!r}", "it must be a whole number from 0", line
        )
        return None
    try:
        start, end = float(row["start_s"]), float(row["end_s"])
    except ValueError:
        start = end = math.nan
    if 0 <= start < end < math.inf:
        return Span(start, end, row["label"], line)
    findings.error(
        table,
        f"from {row['start_s']!r} to {row['end_s']!r}",
        "start_s and end_s are seconds, 0 <= start_s < end_s",
        line,
    )
    return None


def _facts(root: Path, video: Video, findings: Findings) -> VideoFacts | None:
    table, path = root / LABELS, root / video.name
    if Path(video.name).is_absolute() or ".." in Path(video.name).parts:
        findings.error(
            table, f"video {video.name!r} lies outside the folder", "move it inside", video.line
        )
    elif not path.is_file():
        findings.missing.append(video.name)
        findings.error(table, f"no video {video.name!r} in the folder", "copy it there", video.line)
    else:
        facts = video_facts(path, findings)
        if facts is None or facts.seconds > 0:
            return facts
        findings.error(path, "does not tell its length", "write it anew, as mp4")
    return None


def _seconds(
    table: Path,
    video: Video,
    seconds: float,
    index: Mapping[str, int],
    findings: Findings,
) -> np.ndarray:
    """Class index per second, shape (ceil(seconds),) int64; what is wrong or empty is told."""
    labels = np.full(math.ceil(seconds - 1e-6), IGNORED, np.int64)
    previous: Span | None = None
    for span in sorted(video.spans, key=lambda span: (span.start_s, span.line)):
        if previous is not None and span.start_s < previous.end_s:
            findings.error(
                table,
                f"{video.name} from {span.start_s:g} to {span.end_s:g} s overlaps "
                f"line {previous.line} ({previous.start_s:g} to {previous.end_s:g} s)",
                "a second has one label: cut one of the two",
                span.line,
            )
        if span.end_s > seconds + LABEL_TOLERANCE_S:
            findings.error(
                table,
                f"{video.name} is labelled up to {span.end_s:g} s, but lasts {seconds:.1f} s",
                "the labels are of another video, or the video is cut",
                span.line,
            )
        first, last = math.ceil(span.start_s), math.ceil(span.end_s)
        if first == last:
            findings.warning(
                table,
                f"{video.name} from {span.start_s:g} to {span.end_s:g} s holds no whole second",
                "it labels nothing, since one label is kept per second",
                span.line,
            )
        labels[first:last] = index[span.label]
        if previous is None or span.end_s > previous.end_s:
            previous = span
    empty = int((labels == IGNORED).sum())
    if empty:
        findings.note(
            table, f"{empty} of the {len(labels)} seconds of {video.name} have no label", "left out"
        )
    return labels
