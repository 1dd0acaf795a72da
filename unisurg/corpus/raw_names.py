"""Which file a recording is: the one table that leads from an opaque id back to a raw name.

It lies where only its owner may enter: in the folder of the stage `scan`, or, of a corpus that was
curated in one go, in its folder `restricted`. It goes nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unisurg.corpus.parts import whole_file
from unisurg.corpus.scan.folder import OWNER_ONLY

if TYPE_CHECKING:
    import pandas as pd

RAW_NAMES, RESTRICTED = "raw_names.csv", "restricted"
COLUMNS = ("recording", "raw", "said")
"""`raw` is a path below the input; `said` what an error said in words that are not ours, which may
quote it."""


class RawNamesError(FileNotFoundError):
    """The table is not there; the message names the remedy."""


def write_raw_names(folder: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write `raw_names.csv`, whole or not at all, sorted by path, for its owner alone."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(OWNER_ONLY)
    table = pd.DataFrame(list(rows), columns=list(COLUMNS)).sort_values(["raw", "recording"])
    with whole_file(folder / RAW_NAMES) as aside:
        table.to_csv(aside, index=False, lineterminator="\n")


def copy_raw_names(folder: Path, target: Path) -> None:
    """Put the table of one folder into another, for its owner alone."""
    write_raw_names(target, read_raw_names(folder).to_dict("records"))


def restricted_of(folder: Path) -> Path:
    """The folder that holds the raw names for a corpus, or for what the stage `scan` wrote.

    Raises:
        RawNamesError: there is none.
    """
    places = [folder / RESTRICTED, folder, folder.parent / "scan"]
    for place in places:
        if (place / RAW_NAMES).is_file():
            return place
    raise RawNamesError(
        f"{folder}: no {RAW_NAMES} in {', '.join(map(str, places))}; ask on the machine that has "
        "curated it, or run `unisurg scan` there again"
    )


def read_raw_names(folder: Path) -> pd.DataFrame:
    """The table of a folder, as of `restricted_of`; columns as in COLUMNS."""
    import pandas as pd

    return pd.read_csv(folder / RAW_NAMES, keep_default_na=False, dtype=str)
