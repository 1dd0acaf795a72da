"""Which of the files that have arrived are recordings that can be read: a look, not yet a scan.

Of each recording the header is read and one frame is decoded, in a child that can be killed.
Whether the rest of it is sound, the stage `scan` finds out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unisurg.corpus.child import Child, Limits
from unisurg.corpus.containers import look_inside, plain
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import HIDDEN, SYSTEM, Recording, find
from unisurg.corpus.known import known_sources
from unisurg.corpus.mapping import Failed, map_videos, runner_of
from unisurg.corpus.normalise import reading_pictures, reading_video
from unisurg.corpus.probe import probe
from unisurg.corpus.refusals import refused
from unisurg.settings import Settings

LEFT_ALONE = {HIDDEN, SYSTEM}
"""Whoever copies into a folder often gives a file a hidden name until it is whole."""


def run(settings: Settings, folder: Path, output: Path) -> None:
    """Write what was found below `folder` to `output`, as JSON:

    - `recordings`: `raw` (name below the folder), `source`, `files` (paths below the folder; an
      archive stands for its members), `reason` (null: it can be read) and `detail`;
    - `others`: paths of files that are no recording, but for hidden ones and those of systems;
    - `unknown_sources`: those without a row in sources.yaml; curation takes of them only what has
      been looked through for frames outside the body.

    Raises:
        SourcesError, OverlapsError: a file of facts beside the recordings cannot be used.
    """
    limits = Limits(settings.curate.timeout_s, settings.curate.memory_mib)
    runner = runner_of(**dict(settings.runner))
    inputs = look_inside(find(folder), folder, limits, runner)
    looked = map_videos(partial(look, limits=limits), inputs.recordings, runner)
    rows = [
        _row(recording, folder, outcome, limits)
        for recording, outcome in zip(inputs.recordings, looked, strict=True)
    ]
    rows += [
        {
            "raw": one.raw,
            "source": one.raw.partition("/")[0],
            "files": [one.raw],
            "reason": str(one.reason),
            "detail": one.why,
        }
        for one in inputs.unreadable
    ]
    known = known_sources(settings.curate.input)
    found = {
        "recordings": rows,
        "others": [other.raw for other in inputs.others if other.suffix not in LEFT_ALONE],
        "unknown_sources": sorted({row["source"] for row in rows} - set(known)),
    }
    output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    bad = sum(row["reason"] is not None for row in rows)
    print(f"intake: {len(rows) - bad} recordings can be read, {bad} cannot")


def look(recording: Recording, limits: Limits) -> None:
    """Pass a recording of which a frame can be decoded; of an archive's member its name suffices.

    Raises:
        Unusable: it cannot be used.
        ChildFailed: it took too long, too much memory, or took its reader down.
    """
    if recording.archive is not None:
        return
    if recording.kind == "unordered":
        raise Unusable(Reason.NOT_A_SEQUENCE, "no number in their names orders the pictures")
    with tempfile.TemporaryDirectory() as scratch, Child(limits.memory_mib) as child:
        files = plain(recording, Path(scratch), limits).files
        work = {"files": files, "pictures": recording.kind == "pictures"}
        child.call(first_frame, work, limits.timeout_s)


def first_frame(files: Sequence[Path], pictures: bool) -> None:
    """The work in the child: decode the first frame that there is.

    Raises:
        Unusable: empty, unreadable, no_video_stream.
    """
    if pictures:
        found = next(iter(reading_pictures(files, 1.0).timed), None)
    else:
        probe(files[0])
        with reading_video(files[0]) as reading:
            found = next(iter(reading.timed), None)
    if found is None:
        raise Unusable(Reason.UNREADABLE, "no frame could be decoded")


def _row(recording: Recording, folder: Path, outcome: object, limits: Limits) -> dict[str, Any]:
    row: dict[str, Any] = {
        "raw": recording.raw,
        "source": recording.source,
        "files": [path.relative_to(folder).as_posix() for path in recording.on_disk],
        "reason": None,
        "detail": "",
    }
    if isinstance(outcome, Failed):
        fault = refused(recording, outcome.error, limits.memory_mib)
        row |= {"reason": str(fault.reason), "detail": fault.detail}
    return row
