"""Videos of a folder that show an operation of a validation or test set -> none of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from unisurg.corpus import seconds, tables
from unisurg.corpus.duplicates.comparison import comparing
from unisurg.corpus.duplicates.mapped import read_frames
from unisurg.corpus.duplicates.search import SearchRules, prints
from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.intervals import State, paint
from unisurg.corpus.leak import CHECKED, HeldOut, coverage, leaks, removed, told_coverage
from unisurg.corpus.leak_index import PARTS, read_accounts, read_indices
from unisurg.corpus.mapping import Runner
from unisurg.corpus.names import read_names
from unisurg.corpus.overlaps import closure
from unisurg.corpus.scan.folder import FRAMES
from unisurg.corpus.seconds import Painted
from unisurg.settings import Duplicates, Leaks

STAGE = "leak"
COVERAGE = "coverage.csv"
PROCEDURES = "procedures.csv"
"""video_id and procedure_id, by which a hit in one video takes out others."""


def _nothing(dataset: str, video: str = "") -> tuple[str, ...]:
    return ()


class LeakageError(ValueError):
    """The check for leaks cannot be made; the message names the remedy."""


@dataclass(frozen=True)
class HeldOutOf:
    """What benchmarks hold out, told by their owners' code: the corpus knows no benchmark."""

    held_out: HeldOut
    """(data set, its name of a recording, empty where nobody knows it) -> what holds it out."""
    expected: Mapping[str, Collection[str]]
    """Benchmark -> its validation and test cases; none where they are not known."""
    possible: HeldOut = _nothing
    """The same of benchmarks that may hold it out, by a documented overlap without names; it counts
    until the benchmark has been checked by content."""
    named: Callable[[str], Collection[str]] = _nothing
    """Data set -> benchmarks that its names alone keep it apart from."""
    required: Collection[str] = ()
    """Benchmarks without whose check by content nothing may be curated."""

    def by_name(self, checked: Collection[str]) -> HeldOut:
        """What holds a recording out where these benchmarks have been checked by content."""

        def held(dataset: str, video: str) -> Iterable[Any]:
            unsure = (name for name in self.possible(dataset, video) if name not in checked)
            return [*map(self._told, self.held_out(dataset, video)), *unsure]

        return held

    def _told(self, holder: Any) -> Any:
        """The benchmark alone where no list has its case: that is then the name of a file, which
        may be a person's."""
        if not isinstance(holder, str):
            return holder if getattr(holder, "part", "") in PARTS else str(holder.benchmark)
        benchmark, _, case = holder.partition("/")
        return holder if case in self.expected.get(benchmark, ()) else benchmark


def leak_rules(section: Duplicates, leaks: Leaks) -> Duplicates:
    """The rules of duplicates, but for the votes: an index has four frames for each second, so
    chance has four times as many to meet, and takes a whole procedure where it does."""
    votes = section.votes.model_copy(update={"min_votes": leaks.min_votes})
    return section.model_copy(update={"votes": votes})


def leak_folder(
    scan: Path,
    deduplicated: Path,
    output: Path,
    scratch: Path,
    section: Duplicates,
    indices: Path,
    benchmarks: HeldOutOf,
    runner: Runner,
) -> Painted:
    """Hold all videos against benchmarks, by name and by content, and paint the procedures hit.

    All frames are compared, those that were refused as well: what a second shows tells of which
    operation the video is. Videos that share footage are of one procedure here. Writes leak_hits
    and intervals (`.parquet`), coverage.csv and procedures.csv.

    Args:
        scratch: keeps what videos were compared with, so that no run does it again.
        section: rules of search and votes, as of `leak_rules`.
        indices: folder of the hashes of held-out recordings, as of `leak_index.write_index`.

    Raises:
        LeakageError: no such folder, or a benchmark that is required was not checked.
        NamesError: the scan does not tell all names of its videos.
        ValueError: an index that cannot be used.
        ConservationError: seconds were lost or invented.
        ComparisonError: some videos could not be compared, or another run is at it.
    """
    _check_folder(indices)
    names = read_names(scan)
    covered = checked_coverage(indices, section, benchmarks, names["dataset_d"])
    output.mkdir(parents=True, exist_ok=True)
    videos = tables.of(scan, "videos")
    search, votes = SearchRules(**dict(section.search)), VoteRules(**dict(section.votes))
    index = read_indices(indices)
    procedures = united(videos, tables.of(deduplicated, "clusters"), names)
    named = names.rename(columns={"dataset_d": "dataset", "dataset_video": "video"})
    named["procedure_id"] = named["video_id"].map(procedures)
    checked = set(covered.loc[covered["state"] == CHECKED, "benchmark"])
    spoken = chain(read_frames(scan / FRAMES, search), [prints(index, search)])
    with comparing(scratch / STAGE, spoken, search, votes, runner) as compared:
        hits = leaks(compared, named, index, benchmarks.by_name(checked))
    painted = _painted(seconds.read(deduplicated, videos), hits, procedures)
    tables.put(output, "leak_hits", hits)
    own = pd.DataFrame(sorted(procedures.items()), columns=["video_id", "procedure_id"])
    own.to_csv(output / PROCEDURES, index=False, lineterminator="\n")
    covered.to_csv(output / COVERAGE, index=False, lineterminator="\n")
    seconds.write(output, painted, videos)
    return painted


def checked_coverage(
    indices: Path, section: Duplicates, benchmarks: HeldOutOf, datasets: Iterable[str]
) -> pd.DataFrame:
    """What "clean" will rest on, once every benchmark that is required is known to be checked.

    Args:
        datasets: of the recordings; with none of them, nothing is apart by name.

    Raises:
        LeakageError: no such folder; or a required benchmark is unknown, or not `checked`.
        ValueError: an index that cannot be used.
    """
    _check_folder(indices)
    apart = [set(benchmarks.named(dataset)) for dataset in sorted(set(datasets))]
    covered = coverage(
        benchmarks.expected,
        read_indices(indices),
        SearchRules(**dict(section.search)),
        VoteRules(**dict(section.votes)),
        read_accounts(indices),
        set.intersection(*apart) if apart else (),
    )
    states = dict(zip(covered["benchmark"], covered["state"], strict=True))
    unknown = sorted(set(benchmarks.required) - set(states))
    if unknown:
        raise LeakageError(
            f"leaks.require: no benchmark {', '.join(unknown)}; there are: {', '.join(states)}; "
            "mend the name, or make the index of data of your own (`unisurg leaks index`)"
        )
    short = covered[covered["benchmark"].isin(benchmarks.required) & (covered["state"] != CHECKED)]
    if len(short):
        raise LeakageError(
            f"{indices}: leaks.require asks for benchmarks that were not checked by content:\n"
            f"{told_coverage(short)}\n"
            "make the index of each with `unisurg leaks index NAME --root FOLDER`, or take it off "
            "leaks.require"
        )
    return covered


def _check_folder(indices: Path) -> None:
    if not indices.is_dir():
        raise LeakageError(
            f"{indices}: no such folder; make it (it may be empty), or set leaks.indices"
        )


def united(
    videos: pd.DataFrame, clusters: pd.DataFrame, names: pd.DataFrame | None = None
) -> dict[str, str]:
    """Video -> procedure; those that share footage have one, the smallest of theirs.

    Args:
        names: all names of each video, with the procedure that each tells; these are one.
    """
    own = dict(zip(videos["video_id"], videos["procedure_id"], strict=True))
    same = [
        (own[video], own[canonical])
        for video, canonical in zip(clusters["video_id"], clusters["cluster"], strict=True)
    ]
    if names is not None:
        told = zip(names["video_id"], names["procedure_id"], strict=True)
        same += [(own[video], procedure) for video, procedure in told if procedure != video]
    smallest = closure((("", one), ("", other)) for one, other in same)
    return {video: smallest.get(("", of), ("", of))[1] for video, of in own.items()}


def read_procedures(folder: Path) -> dict[str, str]:
    """Video -> procedure, as `leak_folder` wrote it.

    Raises:
        LeakageError: it is not there.
    """
    path = folder / PROCEDURES
    if not path.is_file():
        raise LeakageError(f"{path}: no such file; run `unisurg leak` and `unisurg corpus`")
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    return dict(zip(table["video_id"], table["procedure_id"], strict=True))


def read_coverage(folder: Path) -> pd.DataFrame:
    """The table that `leak_folder` wrote.

    Raises:
        LeakageError: it is not there.
    """
    path = folder / COVERAGE
    if not path.is_file():
        raise LeakageError(f"{path}: no such file; run `unisurg leak`")
    return pd.read_csv(path, keep_default_na=False, na_values={"frames_per_s": ""})


def _painted(painted: Painted, hits: pd.DataFrame, procedures: Mapping[str, str]) -> Painted:
    first = hits.drop_duplicates("procedure_id").set_index("procedure_id")
    gone = removed(hits)
    result: Painted = {}
    for video, intervals in painted.items():
        procedure = procedures[video]
        if procedure in gone and intervals:
            hit = first.loc[procedure]
            part = f" ({hit['part']})" if hit["part"] else ""
            sure = "is" if "/" in hit["b_id"] else "may be of"
            reason = f"{procedure} {sure} {hit['b_id']}{part} by {hit['rule']}"
            span = [(0.0, intervals[-1].end_s)]
            intervals = paint(intervals, span, State.LEAK, reason, STAGE)
        result[video] = intervals
    return result
