"""All names of each video: recordings with the same bytes are one video, whatever they are called.

A corpus keeps a video under one name, but any of them may tell which operation it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unisurg.corpus.parts import whole_file

if TYPE_CHECKING:
    import pandas as pd

NAMES = "names.csv"
COLUMNS = ("video_id", "raw", "dataset_d", "dataset_video", "procedure_id")
"""As in the table of videos; `raw` is the recording's path below the input."""


class NamesError(FileNotFoundError):
    """There is no such table; the message names the remedy."""


def write_names(folder: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write `names.csv`, whole or not at all, sorted by video and path."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS)).sort_values(["video_id", "raw"])
    with whole_file(folder / NAMES) as aside:
        table.to_csv(aside, index=False, lineterminator="\n")


def read_names(folder: Path) -> pd.DataFrame:
    """The table that `write_names` wrote.

    Raises:
        NamesError: it is not there.
    """
    import pandas as pd

    path = folder / NAMES
    if not path.is_file():
        raise NamesError(f"{path}: no such file; run `unisurg scan` again")
    return pd.read_csv(path, keep_default_na=False, dtype=str)
