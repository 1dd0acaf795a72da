"""The folder that the stage `scan` writes: names of its files, and how they are read.

videos.parquet, frames.parquet, shots.parquet    tables of `unisurg.corpus.tables`
clips/<video_id>.mp4      frame k is row k of the frames; NOT de-identified
medians/<video_id>.npz    one picture per span of time, and the stills beside them; text of patients
                          may be read in both
inputs.csv, quarantine.csv                       as of `unisurg.corpus.manifest`
raw_names.csv, names.csv  which file a recording is, and all names of each video: a name may be a
                          patient's, and so may what videos.parquet has in `tables.RAW_COLUMNS`

All of it is for its owner alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisurg.corpus.scan.medians import Pictures
from unisurg.video.opencv import opencv

VIDEOS, FRAMES, SHOTS = "videos.parquet", "frames.parquet", "shots.parquet"
CLIPS, MEDIANS = "clips", "medians"
MEDIAN, STILL = "median", "still"
"""Kinds of pictures in a file of medians."""
OWNER_ONLY = 0o700
"""Mode of folders with pixels that nobody has de-identified, or with raw names."""


def clip(folder: Path, video_id: str) -> Path:
    """The clip of a video below the folder of the scan."""
    return folder / CLIPS / f"{video_id}.mp4"


def medians(folder: Path, video_id: str) -> Path:
    """The medians of a video below the folder of the scan."""
    return folder / MEDIANS / f"{video_id}.npz"


def write_medians(path: Path, medians: Pictures, stills: Pictures) -> None:
    """Write pictures as the JPEG files that they are kept as, one array of bytes each."""
    kinds = {MEDIAN: medians.files, STILL: stills.files}
    arrays = {
        f"{kind}_{i:05d}": np.frombuffer(picture, np.uint8)
        for kind, pictures in kinds.items()
        for i, picture in enumerate(pictures)
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_medians(path: Path) -> Sequence[NDArray[np.uint8]]:
    """The medians of one video, uint8 RGB `(h, w, 3)`, each decoded when it is asked for."""
    return _stored(path, MEDIAN)


def read_stills(path: Path) -> Sequence[NDArray[np.uint8]]:
    """The stills of one video beside its medians (`unisurg.corpus.scan.stills`), likewise."""
    return _stored(path, STILL)


def _stored(path: Path, kind: str) -> _Stored:
    with np.load(path, allow_pickle=False) as files:
        return _Stored([files[name] for name in sorted(files) if name.startswith(f"{kind}_")])


class _Stored(Sequence[NDArray[np.uint8]]):
    """Pictures as JPEG files: an hour of medians is 10 MB of them, and 90 MB of pixels."""

    def __init__(self, files: Sequence[NDArray[np.uint8]]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return _Stored(self._files[i])
        cv2 = opencv()
        return cv2.cvtColor(cv2.imdecode(self._files[i], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
