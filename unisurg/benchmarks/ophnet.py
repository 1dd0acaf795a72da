"""OphNet2024: 52 phases of ophthalmic surgery in 14,674 clips of 743 videos.

    annotation/OphNet2024_loca_challenge_phase.csv
        `video_id,start,end,split,surgery_id,phase_id`, CRLF, times in seconds, rows of a video in
        the order of time
    OphNet2024_trimmed_phase/case_0002/case_0002_0.mp4   clips, numbered by the rows of their video
    OphNet2024_all/case_0002.mp4                         or the whole videos, cut at start and end

The table may also lie beside the videos or in OphNet2024_trimmed_phase/, and there as
OphNet2024_loca_challenge_phase_trimmed.csv with a seventh column `segment_path`. The other tables
are other tasks: `loca_all` numbers 96 phases, `loca_challenge` parts a phase by its operations.
Segments may overlap and leave gaps; each is a clip with a label of its own. Hu et al., OphNet,
ECCV 2024; names of the phases as in the owners' label sheet, 51 being all with fewer than 15 clips.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unisurg.benchmarks.base import (
    PARTS,
    Benchmark,
    BenchmarkError,
    Case,
    ClipCase,
    Counts,
    Findings,
    Part,
    Split,
    StatedSplit,
    split_cases,
)
from unisurg.benchmarks.clips import with_files
from unisurg.benchmarks.tables import read_rows, whole

PHASES = (
    "Viscoelastic Injection",
    "Nuclear Management (for cataract surgery)",
    "Step Interval",
    "Non-functional Segment",
    "Intraocular Lens Implantation",
    "Incision Closure",
    "Corneal Incision Creation",
    "Capsulorhexis",
    "Cortex Aspiration",
    "Recipient Corneal Bed Preparation",
    "Anterior Chamber Injection/Washing",
    "Viscoelastic Aspiration",
    "Capsular Membrane Staining",
    "Corneal Graft Suturing",
    "Viscoelastic Application on Cornea",
    "Corneal-Scleral Tunnel Creation",
    "Swab Wiping",
    "Conjunctival Incision Creation",
    "Anterior Chamber Gas Injection",
    "Ocular Surface Irrigation",
    "Surgical Marking",
    "Subconjunctival Drug Injection",
    "Donor Corneal Graft Preparation",
    "Scleral Hemostasis",
    "Corneal Interlamellar Injection",
    "Drainage Tube Implantation",
    "Use of Iris Expander",
    "Drainage Device Preparation",
    "Scleral Flap Creation",
    "Anterior Chamber Washing",
    "Suspension Suture",
    "Drainage Device Implantation",
    "Intraoperative Gonioscopy Application",
    "Corneal Measurement",
    "Scleral Flap Suturing",
    "Scleral Tunnel Creation",
    "Placement of Bandage Contact Lens",
    "Peripheral Iridectomy",
    "Anterior Chamber Drainage Device Implantation",
    "Antimetabolite Application",
    "Scleral Support Ring Manipulation",
    "Deep Sclerectomy",
    "Anterior Vitrectomy",
    "Placement of Eyelid Speculum",
    "Hooking of Extraocular Muscle",
    "Observation of Corneal Astigmatism",
    "Pupil Dilation",
    "Iris Prolapse Management",
    "Measurement on the Scleral",
    "Goniotomy",
    "Trabeculectomy",
    "Others",
)
COLUMNS = ("video_id", "start", "end", "split", "surgery_id", "phase_id")
TABLE = "OphNet2024_loca_challenge_phase"
TRIMMED = "OphNet2024_trimmed_phase"
WHOLE = "OphNet2024_all"

SPLITS: dict[str, Split] = {
    "official": StatedSplit(note="the column `split` of the owners' table, whole videos each."),
}


@dataclass(frozen=True)
class Segment:
    """One row: a phase of a video from `start_s` to `end_s`; `clip` is its trimmed file's name."""

    line: int
    video: str
    clip: str
    start_s: float
    end_s: float
    part: Part
    phase: int


def read(root: Path, split: Split, findings: Findings) -> list[Case]:
    """Clips of the split, named like their trimmed files; a group is a video."""
    table = _table(root)
    segments = {Path(s.clip).stem: s for s in read_segments(table, findings)}
    trimmed = (root / TRIMMED).is_dir() and any((root / TRIMMED).glob("case_*"))
    if not trimmed and not (root / WHOLE).is_dir():
        raise BenchmarkError(
            root,
            f"neither {TRIMMED}/case_NNNN/ nor {WHOLE}/ in it",
            "unpack one of the two archives there",
        )
    findings.note(root, f"videos from {TRIMMED if trimmed else WHOLE}", "nothing to do")
    groups = {case: segment.video for case, segment in segments.items()}
    stated = {case: segment.part for case, segment in segments.items()}
    parts = split_cases(groups, split, findings, stated)
    clips = (_clip(root, case, segments[case], part, trimmed) for case, part in parts.items())
    return with_files(clips, table, findings)


def _clip(root: Path, case: str, segment: Segment, part: Part, trimmed: bool) -> ClipCase:
    if trimmed:
        video, start, end = root / TRIMMED / segment.video / segment.clip, None, None
    else:
        video, start, end = root / WHOLE / f"{segment.video}.mp4", segment.start_s, segment.end_s
    return ClipCase(case, video, part, segment.phase, start, end, segment.video)


def read_segments(path: Path, findings: Findings) -> list[Segment]:
    """Rows of the table in its order; a row that cannot be read is a finding and left out."""
    named = path.stem.endswith("_trimmed")
    columns = (*COLUMNS, "segment_path") if named else COLUMNS
    segments: list[Segment] = []
    numbers: Counter[str] = Counter()
    latest: dict[str, Segment] = {}
    overlaps = gaps = 0
    for line, row in read_rows(path, columns, findings):
        video = row["video_id"]
        clip = f"{video}_{numbers[video]}.mp4"
        numbers[video] += 1
        segment = _segment(path, line, row, clip, findings)
        before = latest.get(video)
        if segment is None:
            continue
        if before is not None:
            overlaps += segment.start_s < before.end_s
            gaps += segment.start_s > before.end_s
            if segment.start_s < before.start_s:
                findings.error(
                    path,
                    f"starts before line {before.line} of the same video",
                    "clips are numbered by the rows of a video: restore the owners' order",
                    line,
                )
        latest[video] = segment
        segments.append(segment)
    findings.note(
        path, f"{overlaps} segments overlap the one before, {gaps} leave a gap", "nothing to do"
    )
    return segments


def _segment(
    path: Path, line: int, row: dict[str, str], clip: str, findings: Findings
) -> Segment | None:
    start, end = _seconds(row["start"]), _seconds(row["end"])
    parts: dict[str, Part] = {part: part for part in PARTS}
    phase = whole(row["phase_id"])
    if start is None or end is None or not 0 <= start < end:
        problem = f"start {row['start']!r} and end {row['end']!r}"
        remedy = "seconds are expected, start before end"
    elif row["split"] not in parts:
        problem, remedy = f"unknown split {row['split']!r}", f"splits are {', '.join(PARTS)}"
    elif phase is None or not 0 <= phase < len(PHASES):
        problem = f"phase {row['phase_id']!r} is none of 0 to {len(PHASES) - 1}"
        remedy = "loca_all numbers 96 phases, the challenge 52: get the challenge's table"
    elif Path(row.get("segment_path", clip)).name != clip:
        problem = f"segment_path {row['segment_path']!r} where {clip} was expected"
        remedy = "clips are numbered by the rows of a video: get the owners' table"
    else:
        return Segment(line, row["video_id"], clip, start, end, parts[row["split"]], phase)
    findings.error(path, problem, remedy, line)
    return None


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _table(root: Path) -> Path:
    places = [root / "annotation", root, root / TRIMMED]
    names = [f"{TABLE}.csv", f"{TABLE}_trimmed.csv"]
    for path in (place / name for name in names for place in places):
        if path.is_file():
            return path
    raise BenchmarkError(
        places[0] / names[0],
        "missing",
        "copy it from github.com/minghu0830/OphNet-benchmark; its other tables are other tasks",
    )


OPHNET = Benchmark(
    name="ophnet",
    title="OphNet2024, phases of ophthalmic surgery",
    task="action",
    classes=PHASES,
    splits=SPLITS,
    unit="clip",
    main="f1_macro_over_clips",
    licence="annotations MIT; YouTube videos",
    access="huggingface.co/datasets/xioamiyh/OphNet2024, tables at "
    "github.com/minghu0830/OphNet-benchmark",
    reader=read,
    counts=Counts(
        split="official",
        cases={"train": 8773, "val": 2964, "test": 2937},
        classes=52,
        source="the owners' table, of 445, 144 and 154 videos",
    ),
)
