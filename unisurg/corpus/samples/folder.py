"""The folder of samples below a corpus: its tables, and how they are written and read.

samples/<state>/<video_id>-<frame>.jpg    what one frame shows; `keep` is of the finished clips
samples/pair/<number>-<a or b>.jpg        both sides of footage that is there twice
samples/samples.csv, samples/pairs.csv    what each of them is
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.intervals import State
from unisurg.corpus.parts import whole_file
from unisurg.video import jpeg

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = "samples"
PAIR = "pair"
MOST = 24
"""Frames of each reason, and kept ones of each source."""
MOST_PAIRS = 12
PIXELATED = frozenset({State.OOB, State.NONSURGICAL, State.REFUSED})
"""States that are shown in a few squares, if at all: people and screens may be seen there, and text
that is cut out is not painted."""
ACROSS_PX = 16
"""Width and height at most of such a picture."""
SAMPLE_COLUMNS: dict[str, str] = {
    "file": "str",  # path below the folder of samples
    "state": "str",  # unisurg.corpus.intervals.State
    "source": "str",
    "recording": "str",  # opaque, as in the manifest
    "at_s": "float64",  # since the recording's first frame
    "reason": "str",
}
PAIR_COLUMNS: dict[str, str] = {
    **dict.fromkeys(("a_file", "b_file", "a_source", "b_source"), "str"),
    **dict.fromkeys(("a_recording", "b_recording"), "str"),
    **dict.fromkeys(("a_s", "b_s"), "float64"),  # when each shows the picture
    "span_s": "float64",
    "votes": "int64",
    "mean_hamming": "float64",
    "mirrored": "bool",
}
TABLES = {"samples.csv": SAMPLE_COLUMNS, "pairs.csv": PAIR_COLUMNS}

Row = Mapping[str, Any]


class SampleError(RuntimeError):
    """A picture of the samples cannot be read; the message names the file and the remedy."""


def write_tables(folder: Path, samples: Iterable[Row], pairs: Iterable[Row]) -> None:
    """Write both tables, whole or not at all, their rows in the order given."""
    import pandas as pd

    for (name, columns), rows in zip(TABLES.items(), (samples, pairs), strict=True):
        table = pd.DataFrame(list(rows), columns=list(columns)).astype(columns)
        with whole_file(folder / name) as aside:
            table.to_csv(aside, index=False, lineterminator="\n", float_format="%.6g")


def read_tables(corpus: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of samples and of pairs of a corpus; no rows where none were taken."""
    import pandas as pd

    found = []
    for name, columns in TABLES.items():
        path = corpus / SAMPLES / name
        rows = pd.read_csv(path, dtype=columns, keep_default_na=False) if path.is_file() else None
        found.append(pd.DataFrame(columns=list(columns)) if rows is None else rows)
    samples, pairs = found
    return samples, pairs


def read_picture(corpus: Path, file: str) -> NDArray[np.uint8]:
    """A picture of the tables, uint8 RGB (H, W, 3).

    Raises:
        SampleError: it is not there, or is none.
    """
    path = corpus / SAMPLES / file
    content = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else None
    picture = jpeg.decode(content) if content is not None and len(content) else None
    if picture is None:
        raise SampleError(f"{path}: no picture; run the stage `corpus` again")
    return picture
