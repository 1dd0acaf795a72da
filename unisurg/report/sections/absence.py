"""What stands where a result would: that its stage failed, and why, or that it has not run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unisurg.report.blocks import Text, missing
from unisurg.report.inputs import Inputs


def absent(path: Path, stages: Sequence[str], inputs: Inputs) -> list[Text]:
    """Of a file that `stages` make, the last of them itself."""
    failed = [inputs.failed[stage] for stage in stages if stage in inputs.failed]
    if not failed:
        return [missing(path, stages[-1])]
    return [
        Text(
            f"FAILED: {attempt.stage}. {attempt.error}. The other results"
            " stand. Once this is mended, `dvc repro` goes on from there.",
            "loud",
        )
        for attempt in failed
    ]
