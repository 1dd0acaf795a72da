"""All pairs of many videos, each compared once ever, on any number of cores.

The work is shared out by video, and what a video was found to share with others is an entry of the
ledger. So a run compares only pairs that no run has compared, one that was killed goes on, and
neither shows in the result.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from unisurg.corpus.duplicates import ledger, mapped
from unisurg.corpus.duplicates.ledger import Entry, Ledger, Open
from unisurg.corpus.duplicates.pairs import in_common, merged
from unisurg.corpus.duplicates.search import Prints, SearchRules, blocks
from unisurg.corpus.duplicates.votes import VoteRules
from unisurg.corpus.mapping import Failed, Runner, map_videos
from unisurg.progress import counting

NODES, DIGESTS = "nodes.npy", "digests.npy"
"""Beside the prints, of the videos that are compared: their numbers, int64 (n,); uint64 (n,)."""


class ComparisonError(RuntimeError):
    """Videos could not be compared; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """A video, and those that it is to be held against, all by their place among the nodes."""

    node: int
    others: bytes
    """Bits of bool (n,), as of `np.packbits`: a number each would be gigabytes for many videos."""
    cost: float
    """Pairs of frames."""


@dataclass(frozen=True)
class Comparison:
    """Videos, the rules that they are compared by, and where that is done."""

    folder: Path
    """Of the prints, as `mapped.write` wrote them; gone with the run."""
    kept: Path
    """Of the ledger."""
    search: SearchRules
    votes: VoteRules
    runner: Runner

    def videos(self) -> list[str]:
        """Those that can be compared."""
        return mapped.read(self.folder).videos.tolist()

    def within(self) -> pd.DataFrame:
        """Footage in common of all videos, a_id < b_id.

        Returns:
            columns as PAIR_COLUMNS, sorted: the same whichever pairs were compared by earlier runs.

        Raises:
            ComparisonError: some work failed; all other work was done, and is kept.
        """
        nodes = np.argsort(mapped.read(self.folder).videos)
        wanted = np.triu(np.ones((len(nodes), len(nodes)), bool), 1)
        return self._pairs(nodes, [""] * len(nodes), wanted)

    def between(self, left: Iterable[str], right: Iterable[str]) -> pd.DataFrame:
        """Footage that videos of `left`, as a, share with videos of `right`, as b; as `within`.

        Raises:
            ValueError: a video is on both sides.
        """
        number = {video: i for i, video in enumerate(self.videos())}
        lefts, rights = sorted(set(left)), sorted(set(right))
        if both := sorted(set(lefts) & set(rights)):
            raise ValueError(f"{', '.join(both[:5])}: on both sides; give them other names")
        nodes = np.array([number[video] for video in [*lefts, *rights]], np.int64)
        wanted = np.zeros((len(nodes), len(nodes)), bool)
        wanted[: len(lefts), len(lefts) :] = True
        return self._pairs(nodes, ["a"] * len(lefts) + ["b"] * len(rights), wanted)

    def _ledger(self) -> Ledger:
        search = asdict(self.search)
        del search["block_frames"]  # decides how much memory is used, not what is found
        return Ledger(self.kept, {"search": search, "votes": asdict(self.votes)})

    def _pairs(self, nodes: np.ndarray, sides: list[str], wanted: np.ndarray) -> pd.DataFrame:
        """Of those pairs (i, j) of nodes (n,), i < j, that are `wanted` (n, n); i is their a."""
        digests = _digests(mapped.read(self.folder), nodes, sides)
        np.save(self.folder / NODES, nodes)
        np.save(self.folder / DIGESTS, digests)
        kept, open_ = self._ledger(), Open(digests, wanted | wanted.T)
        rows = [
            open_.close(node, entry)
            for node, digest in enumerate(digests)
            for entry in kept.entries(digest)
        ]
        jobs = self._jobs(nodes, open_)
        told = counting("compare", len(jobs))
        work = partial(compare, self.folder, kept, self.search, self.votes)
        paths = map_videos(work, jobs, self.runner, told, lambda job: job.cost)
        for job, path in zip(jobs, paths, strict=True):
            if isinstance(path, Failed):
                raise ComparisonError(
                    f"{self.videos()[nodes[job.node]]} could not be compared with other videos: "
                    f"{path.error}; what was done is kept: run it again"
                ) from path.error
            rows.append(open_.close(job.node, ledger.read(path)))
        return merged(rows)

    def _jobs(self, nodes: np.ndarray, open_: Open) -> list[Job]:
        frames = mapped.read(self.folder)
        size = np.bincount(frames.video, minlength=len(frames.videos))[nodes].astype(float)
        jobs = []
        for node, others in open_.shared_out():
            asked = np.zeros(len(nodes), bool)
            asked[others] = True
            cost = float(size[node] * size[others].sum())
            jobs.append(Job(node, np.packbits(asked).tobytes(), cost))
        return jobs


@contextmanager
def comparing(
    scratch: Path, parts: Iterable[Prints], search: SearchRules, votes: VoteRules, runner: Runner
) -> Iterator[Comparison]:
    """A comparison of the videos of all `parts`.

    Args:
        scratch: a folder that all workers see, for the ledger; one run at a time uses it.

    Raises:
        ComparisonError: another run is at work in it. A process that dies lets go.
        ValueError: two videos have the same name.
    """
    kept = scratch.resolve()
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ComparisonError(
                f"{kept}: another run is at work in it; wait for its end, or use another scratch"
            ) from None
        folder = kept / "prints"
        shutil.rmtree(folder, ignore_errors=True)  # which a killed run left
        folder.mkdir()
        try:
            mapped.write(folder, parts)
            yield Comparison(folder, kept, search, votes, runner)
        finally:
            shutil.rmtree(folder)


def compare(folder: Path, kept: Ledger, search: SearchRules, votes: VoteRules, job: Job) -> Path:
    """Hold one video against others, block by block, and keep what is found; in any process."""
    frames = mapped.read(folder)
    nodes, digests = (np.load(folder / name) for name in (NODES, DIGESTS))
    others = np.flatnonzero(np.unpackbits(np.frombuffer(job.others, np.uint8)))
    own, found = frames.of(nodes[[job.node]]), []
    for side, chosen in (("a", others > job.node), ("b", others < job.node)):
        for block in blocks(frames, nodes[others[chosen]], search.block_frames):
            a, b = (own, frames.of(block)) if side == "a" else (frames.of(block), own)
            found.append(in_common(a, b, search, votes))
    rows = merged(found)
    of = dict(zip(frames.videos[nodes[others]].tolist(), digests[others], strict=True))
    other = rows["b_id"].where(rows["a_id"] == own.videos[0], rows["a_id"])
    of_row = np.array([of[video] for video in other], np.uint64)
    return kept.add(digests[job.node], Entry(digests[others], of_row, rows))


def _digests(frames: Prints, nodes: np.ndarray, sides: list[str]) -> np.ndarray:
    """uint64 (n,): of what each video says to the search, and its side of a pair."""
    starts = np.searchsorted(frames.video, np.arange(len(frames.videos) + 1, dtype=np.int32))
    digests = np.zeros(len(nodes), np.uint64)
    for place, (node, side) in enumerate(zip(nodes.tolist(), sides, strict=True)):
        digest = hashlib.sha256(f"{side}/{frames.videos[node]}".encode())
        for values in (frames.pts_s, frames.second, frames.asks, frames.asked, frames.stored):
            digest.update(values[starts[node] : starts[node + 1]].tobytes())
        digests[place] = int.from_bytes(digest.digest()[:8], "big")
    return digests
