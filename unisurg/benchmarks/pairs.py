"""Videos and the files that label them, matched by the name of the case."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from unisurg.benchmarks.base import BenchmarkError, Findings, listed, natural

Place = tuple[Path, re.Pattern[str]]


def labelled_videos(
    labels: Place,
    videos: Place,
    findings: Findings,
    may_lack: Collection[str] = (),
    known: re.Pattern[str] | None = None,
) -> dict[str, tuple[Path, Path]]:
    """Label file and video of every case that has both, in natural order of the cases.

    Args:
        labels, videos: a folder and the names in it; the pattern's groups, joined, name the case.
        known: names of other files that belong there; any further file is a note.
        may_lack: cases whose labels the owners themselves do not ship; a warning, no error.

    Raises:
        BenchmarkError: a folder is missing, or has no file of that kind.
    """
    labelled, filmed = files_like(*labels), files_like(*videos)
    findings.missing += labelled.keys() ^ filmed.keys()
    for case in sorted(labelled.keys() ^ filmed.keys(), key=natural):
        if case in filmed:
            tell = findings.warning if case in may_lack else findings.error
            tell(filmed[case], f"has no labels in {labels[0]}", "restore them or remove the video")
        else:
            findings.error(
                labelled[case], f"has no video in {videos[0]}", "restore it or remove the labels"
            )
    _note_others({labels[0], videos[0]}, [labels[1], videos[1]], known, findings)
    both = sorted(labelled.keys() & filmed.keys(), key=natural)
    return {case: (labelled[case], filmed[case]) for case in both}


def files_like(folder: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    """Files of a folder by the name of their case.

    Raises:
        BenchmarkError: the folder is missing, or has no file of that kind.
    """
    if not folder.is_dir():
        raise BenchmarkError(folder, "no such folder", "the root must be the data set's own layout")
    matches = [(path, pattern.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    found = {"".join(match.groups()): path for path, match in matches if match}
    if not found:
        raise BenchmarkError(
            folder, f"no file named like {pattern.pattern} in it", "copy them there"
        )
    return found


def _note_others(
    folders: Collection[Path],
    patterns: Sequence[re.Pattern[str]],
    known: re.Pattern[str] | None,
    findings: Findings,
) -> None:
    wanted = [*patterns, *([] if known is None else [known])]
    for folder in sorted(folders):
        names = [path.name for path in folder.iterdir() if path.is_file()]
        others = [n for n in names if not any(pattern.fullmatch(n) for pattern in wanted)]
        if others:
            findings.note(
                folder,
                f"{len(others)} files that are neither labels nor videos: {listed(others, 4)}",
                "they are not read",
            )
