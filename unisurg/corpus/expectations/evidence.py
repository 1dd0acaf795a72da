"""Does what the scan and the de-identification found fit the videos that it was found in?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from unisurg.corpus.deid.decide import State as Deidentified
from unisurg.corpus.deid.overlays import ROUNDING
from unisurg.corpus.expectations.expected import Between, Suite, none_of
from unisurg.corpus.expectations.frames import by_video
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.expectations.ranges import by_video_rules

TOLERANCE_S = 1e-6
KNOWN = none_of("stranger", "is of a video that the scan has read")


def evidence_suites(places: Places, videos: pd.DataFrame) -> list[Suite]:
    """Frames, shots, verdicts, the detector's answers, spans and rectangles against the videos: of
    no other, and of each as many as there should be."""
    facts = videos.set_index("video_id")
    verdicts = places.read("deid/verdicts")
    rectangles = places.read("deid/rectangles")
    return [
        _frames(places, facts),
        _oob(places, facts, verdicts),
        _spans(places, "scan/shots", facts, _not_whole, "shots fill every video, end to end"),
        _spans(places, "deid/outside", facts, _not_apart, "spans lie in their video, apart"),
        _spans(places, "deid/pages", facts, _not_inside, "spans lie in their video"),
        _verdicts(verdicts, facts),
        _rectangles(rectangles, facts),
    ]


def _frames(places: Places, facts: pd.DataFrame) -> Suite:
    rows = _beside(by_video(places.file("scan/frames"), "frames"), facts)
    rows["lacking"] = rows["n_frames"] - rows["rows"]
    rows["late_s"] = rows["pts_s_most"] - rows["duration_s"]
    return Suite(
        "scan/frames",
        rows,
        ("video_id",),
        (
            *by_video_rules("frames"),
            Between("lacking", 0, 0, "a row for every frame of every video, and no other"),
            Between("late_s", None, TOLERANCE_S, "no frame is shown after its video's end"),
        ),
    )


def _oob(places: Places, facts: pd.DataFrame, verdicts: pd.DataFrame) -> Suite:
    rows = _beside(by_video(places.file("deid/oob"), "oob"), facts)
    passed = verdicts.loc[verdicts["deid_state"] == Deidentified.DETECTOR, "video_id"]
    wanted = rows["video_id"].isin(passed) | (rows["rows"] > 0)
    rows["unseen"] = (rows["n_frames"] - rows["rows"]).where(wanted, 0)
    seen = Between("unseen", 0, 0, "of a video that the detector passed, it saw every frame")
    return Suite("deid/oob", rows, ("video_id",), (*by_video_rules("oob"), seen))


def _spans(
    places: Places,
    table: str,
    facts: pd.DataFrame,
    fault: Callable[[pd.DataFrame, float], str],
    rule: str,
) -> Suite:
    """A row per video, and what is wrong with its spans."""
    spans, duration = places.read(table), facts["duration_s"].to_dict()
    own = dict(iter(spans.sort_values("start_s").groupby("video_id")))
    known = sorted({*duration, *own})
    rows = pd.DataFrame({"video_id": pd.Series(known, dtype=str)})
    rows["fault"] = [
        fault(own.get(v, spans.iloc[:0]), duration[v]) if v in duration else "no such video"
        for v in known
    ]
    return Suite(table, rows, ("video_id",), (none_of("fault", rule),))


def _not_whole(shots: pd.DataFrame, duration_s: float) -> str:
    starts, ends = shots["start_s"].to_numpy(), shots["end_s"].to_numpy()
    if shots["shot_id"].tolist() != list(range(len(shots))):
        return "shots are not numbered 0, 1, 2, ..."
    edges = np.abs(np.append(starts, duration_s) - np.insert(ends, 0, 0.0))
    return "" if len(shots) and edges.max() <= TOLERANCE_S else "a gap, an overlap or no shot"


def _not_apart(spans: pd.DataFrame, duration_s: float) -> str:
    edges = spans[["start_s", "end_s"]].to_numpy().ravel()
    inside = np.concatenate([[0.0], edges, [duration_s + TOLERANCE_S]])
    return "" if (np.diff(inside) >= 0).all() else "spans overlap or leave the video"


def _not_inside(spans: pd.DataFrame, duration_s: float) -> str:
    ends = spans["end_s"]
    inside = (
        (spans["start_s"] >= 0) & (spans["start_s"] <= ends) & (ends <= duration_s + TOLERANCE_S)
    )
    return "" if inside.all() else "a span leaves the video"


def _verdicts(verdicts: pd.DataFrame, facts: pd.DataFrame) -> Suite:
    given = verdicts.groupby("video_id").size()
    known = sorted({*facts.index, *given.index})
    rows = pd.DataFrame({"video_id": pd.Series(known, dtype=str)})
    rows["verdicts"] = [int(given.get(video, 0)) for video in known]
    rows["videos"] = [int(video in facts.index) for video in known]
    return Suite(
        "deid/verdicts",
        rows,
        ("video_id",),
        (
            Between("verdicts", 1, 1, "every video has a verdict"),
            Between("videos", 1, 1, "every verdict is on a video that the scan has read"),
        ),
    )


def _rectangles(rectangles: pd.DataFrame, facts: pd.DataFrame) -> Suite:
    rows = rectangles.assign(
        right=rectangles["x"] + rectangles["w"],
        bottom=rectangles["y"] + rectangles["h"],
        stranger=np.where(rectangles["video_id"].isin(facts.index), "", "no such video"),
    )
    rules = (
        Between("right", 0, 1 + ROUNDING, "lies in the picture, whose width is 1"),
        Between("bottom", 0, 1 + ROUNDING, "lies in the picture, whose height is 1"),
        KNOWN,
    )
    return Suite("deid/rectangles", rows, ("video_id", "x", "y"), rules)


def _beside(found: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """A row per video that has rows or should have, with what the scan says of it."""
    told = facts[["n_frames", "duration_s"]].reset_index()
    rows = told.merge(found, on="video_id", how="outer")
    counts = ["n_frames", "rows", "breaks"]
    rows[counts] = rows[counts].fillna(0).astype("int64")
    return rows
