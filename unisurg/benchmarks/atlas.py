"""Atlas-Neurosurgical: phases of neurosurgery, in the layout of your own data.

    labels.csv      `video,start_s,end_s,label,split` or `video,second,label,split`
    *.mp4 ...       wherever the column `video` says

SurgMotion reports results, but nobody has published the videos, their layout, their labels or their
split, and not what data set it is. Whoever has it writes the table that `unisurg.benchmarks.own`
describes, with the phases by number: the baseline configurations have 7 outputs, hence 0 to 6.
Some of SurgMotion's own have 5; then only 0 to 4 occur, and metrics leave the others out. The split
is the table's; results are comparable with published ones only if the lists are the same.
"""

from __future__ import annotations

from pathlib import Path

from unisurg.benchmarks import own
from unisurg.benchmarks.base import Benchmark, Case, Counts, Findings, Split

PHASES = tuple(str(number) for number in range(7))


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Cases of the split; labels are per second, shape (S,)."""
    return own.read_with(PHASES, root, split, findings)


ATLAS = Benchmark(
    name="atlas",
    title="Atlas-Neurosurgical, phases of neurosurgery",
    task="phase",
    classes=PHASES,
    splits={name: own.SPLITS[name] for name in ("column", "column-train-test")},
    unit="video",
    main="f1_sm_per_video_unrelaxed",
    licence="private",
    access="it is not public; if you have it, write labels.csv as docs/benchmarks.md says",
    reader=read,
    counts=Counts(
        split="column",
        cases={},
        classes=7,
        source="outputs of SurgMotion's baseline configurations; nothing else is published",
    ),
)
