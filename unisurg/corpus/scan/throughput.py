"""How long the one decode of each recording took, told apart by what decides it.

It is counted when a recording is decoded, kept with what the decode gave, and told again by runs
that need not decode it. It differs between runs, so it stands in no table of the scan.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unisurg.corpus.parts import whole_file

THROUGHPUT = "throughput.json"
CPU = "cpu_s"
"""Where it stands among what was measured of a recording."""


def children_cpu_s() -> float:
    """Processor seconds of this process's children that have ended, by the system's account."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_throughput(path: Path, measured: Iterable[dict[str, Any]]) -> None:
    """Write, as JSON, the recordings read by codec and height of their pictures.

    A row of its list `decoded` has `codec`, `height_px`, and the sums of `videos`, `seconds` of
    video and `cpu_s` of processor time.

    Args:
        measured: of each recording, as `unisurg.corpus.scan.kept.Kept.measured`.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for one in measured:
        codec, height = one["vcodec"], int(one["coded_height_px"])
        blank = {"codec": codec, "height_px": height, "videos": 0, "seconds": 0.0, "cpu_s": 0.0}
        row = rows.setdefault((codec, height), blank)
        row["videos"] += 1
        row["seconds"] += one["duration_s"]
        row["cpu_s"] += one[CPU]
    told = {"decoded": [rows[key] for key in sorted(rows)]}
    with whole_file(path) as aside:
        aside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
