"""Samples of a corpus, taken where footage that nobody may see still lies, and made safe there.

A frame of a clip that is kept is shown as it is kept. Of what is not kept, the scan's frame is
shown with its text painted black; what was filmed outside the body, and pages of text, which are
cut out and not painted, in a few squares. Of a video that was refused as a whole nothing is shown,
not even squares: nobody knows what is in it.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.deid.decide import State as Deidentified
from unisurg.corpus.deid.overlays import Rectangle
from unisurg.corpus.intervals import Interval, State
from unisurg.corpus.samples import picture
from unisurg.corpus.samples.choose import spread, thinned
from unisurg.corpus.samples.folder import (
    MOST,
    MOST_PAIRS,
    PAIR,
    PIXELATED,
    SAMPLES,
    write_tables,
)
from unisurg.corpus.scan import folder
from unisurg.corpus.seconds import Painted

UNSEEN = frozenset({State.KEEP, State.REFUSED, State.UNDECODABLE})
"""States of which the scan's frames are not shown: kept ones are in the clips, nothing may be seen
of refused ones, and of undecodable ones there is no frame."""


@dataclass(frozen=True)
class Scanned:
    """The scan's frames of the videos of which something may be seen."""

    clips: Path
    """Folder of the scan."""
    rows: Mapping[str, Mapping[str, Any]]
    """Of the table of videos, by id."""
    painted: Painted
    rectangles: Mapping[str, tuple[Rectangle, ...]]

    def frames(self, video: str, interval: Interval) -> range:
        """Those whose time lies whole in the interval."""
        row = self.rows[video]
        return seconds.frames_within(interval, row["n_frames"], row["clip_fps"], row["duration_s"])

    def at(self, video: str, number: int) -> Interval:
        """The interval that holds all of a frame's time, refused where several share it."""
        intervals, at_s = self.painted[video], number / self.rows[video]["clip_fps"]
        near = bisect_right(intervals, at_s, key=attrgetter("start_s"))
        for interval in intervals[max(0, near - 1) : near + 1]:  # an end may be off by a rounding
            if number in self.frames(video, interval):
                return interval
        return Interval(0.0, 0.0, State.REFUSED, "", "")

    def pictures(self, video: str, numbers: Iterable[int]) -> Iterator[tuple[int, picture.Frame]]:
        """Safe pictures of frames of which something may be seen."""
        clip, fps = folder.clip(self.clips, video), self.rows[video]["clip_fps"]
        for number, frame in picture.frames_at(clip, fps, list(numbers)):
            hidden = self.at(video, number).state in PIXELATED
            safe = picture.pixelated if hidden else picture.clear
            yield number, safe(frame, self.rectangles.get(video, ()))


def take_samples(scan: Path, deid: Path, corpus: Path) -> None:
    """Write the folder of samples of a corpus whose tables and clips have been written.

    The same corpus gives the same bytes.

    Args:
        scan, deid: folders of these stages, which nobody else should see.
        corpus: with clips, manifest, recordings, intervals and dup_pairs.
    """
    place = corpus / SAMPLES
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    scanned = _scanned(scan, deid, corpus)
    samples = [*_kept(corpus, place), *_rejected(scanned, place)]
    write_tables(place, samples, _pairs(scanned, tables.of(corpus, "dup_pairs"), place))


def _scanned(scan: Path, deid: Path, corpus: Path) -> Scanned:
    videos = tables.read(corpus / manifest.RECORDINGS, "recordings")
    painted = seconds.read(corpus, videos)
    seen = {
        row["video_id"]: row
        for row in videos.to_dict("records")
        if row["deid_state"] in (Deidentified.PROVIDER, Deidentified.DETECTOR)
        and not any(i.state is State.REFUSED for i in painted[row["video_id"]])
    }
    rectangles = tables.of(deid, "rectangles").groupby("video_id")
    return Scanned(
        scan,
        seen,
        {video: painted[video] for video in seen},
        {
            str(video): tuple(Rectangle(*row) for row in rows[list("xywh")].to_numpy().tolist())
            for video, rows in rectangles
        },
    )


def _kept(corpus: Path, place: Path) -> Iterator[dict[str, Any]]:
    """Rows of frames of the finished clips, of every source."""
    for source, pieces in manifest.read_manifest(corpus).groupby("source", sort=True):
        ordered = pieces.sort_values(["video_id", "start_s"])
        clips = {row["clip_id"]: row for row in ordered.to_dict("records")}
        chosen: dict[str, list[int]] = defaultdict(list)
        for name, number in _spread_over(clips):
            chosen[name].append(number)
        for name, numbers in chosen.items():
            row = clips[name]
            for number, frame in picture.frames_at(corpus / row["clip"], row["fps"], numbers):
                at_s, shown = row["start_s"] + number / row["fps"], picture.clear(frame, ())
                yield _row(
                    place, State.KEEP, str(source), row["recording"], at_s, "",
                    f"{name}-{number}", shown,
                )  # fmt: skip


def _spread_over(clips: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int]]:
    """(clip, frame of it), spread over videos: a video's frames are counted through its clips."""
    first: dict[str, int] = {}
    ranges: dict[str, list[range]] = defaultdict(list)
    for name, row in clips.items():
        of = ranges[row["video_id"]]
        first[name] = of[-1].stop if of else 0
        of.append(range(first[name], first[name] + row["n_frames"]))
    return [
        (name, number - first[name])
        for video, number in spread(ranges, MOST)
        for name, row in clips.items()
        if row["video_id"] == video and 0 <= number - first[name] < row["n_frames"]
    ]


def _rejected(scanned: Scanned, place: Path) -> Iterator[dict[str, Any]]:
    """Rows of frames of every state that was refused and may be seen."""
    ranges: dict[State, dict[str, list[range]]] = defaultdict(lambda: defaultdict(list))
    for video, intervals in scanned.painted.items():
        for interval in intervals:
            if interval.state not in UNSEEN:
                ranges[interval.state][video].append(scanned.frames(video, interval))
    for state in sorted(ranges):
        chosen: dict[str, list[int]] = defaultdict(list)
        for video, number in spread(ranges[state], MOST):
            chosen[video].append(number)
        for video, numbers in chosen.items():
            row = scanned.rows[video]
            for number, shown in scanned.pictures(video, numbers):
                at_s, reason = number / row["clip_fps"], scanned.at(video, number).reason
                yield _row(
                    place, state, row["source_id"], row["recording"], at_s, reason,
                    f"{video}-{number}", shown,
                )  # fmt: skip


def _row(
    place: Path, state: State, source: str, recording: str, at_s: float, reason: str, name: str,
    shown: picture.Frame,
) -> dict[str, Any]:  # fmt: skip
    file = f"{state}/{name}.jpg"
    picture.write(place / file, shown)
    return {
        "file": file, "state": str(state), "source": source, "recording": recording, "at_s": at_s,
        "reason": reason,
    }  # fmt: skip


def _pairs(scanned: Scanned, found: pd.DataFrame, place: Path) -> list[dict[str, Any]]:
    """Rows of stretches that two videos share, from the fewest votes to the most."""
    ordered = found.sort_values(["votes", "a_id", "b_id", "a_start_s", "b_start_s"])
    seen = [row for row in ordered.to_dict("records") if _both_seen(scanned, row)]
    rows = []
    for pair, row in enumerate(thinned(seen, MOST_PAIRS)):
        sides: dict[str, Any] = {}
        for side in "ab":
            video, number = row[f"{side}_id"], _middle(scanned, row, side)
            [(_, shown)] = scanned.pictures(video, [number])
            file = f"{PAIR}/{pair:02d}-{side}.jpg"
            picture.write(place / file, shown)
            facts = scanned.rows[video]
            sides |= {
                f"{side}_file": file,
                f"{side}_source": facts["source_id"],
                f"{side}_recording": facts["recording"],
                f"{side}_s": number / facts["clip_fps"],
            }
        rows.append({**row, **sides})
    return rows


def _both_seen(scanned: Scanned, pair: Mapping[str, Any]) -> bool:
    return all(
        pair[f"{side}_id"] in scanned.rows
        and scanned.at(pair[f"{side}_id"], _middle(scanned, pair, side)).state
        not in (State.REFUSED, State.UNDECODABLE)
        for side in "ab"
    )


def _middle(scanned: Scanned, pair: Mapping[str, Any], side: str) -> int:
    """The frame in the middle of a shared stretch."""
    row = scanned.rows[pair[f"{side}_id"]]
    middle_s = pair[f"{side}_start_s"] + pair["span_s"] / 2
    return min(int(middle_s * row["clip_fps"]), int(row["n_frames"]) - 1)
