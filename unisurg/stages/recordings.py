"""Opaque ids -> the files behind them and what became of these, on the machine that holds them."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.fates import fates
from unisurg.corpus.raw_names import RawNamesError
from unisurg.stages import aligned


def told_of(id: str | None, corpus: Path) -> str:
    """All recordings as a table; or, of those that `id` names, all that is known.

    Args:
        id: of a recording, a video or a clip.

    Raises:
        RawNamesError: raw names that are not here, or an id that nothing has.
    """
    table = fates(corpus)
    if id is None:
        head = ["recording", "state", "raw", "reason"]
        return aligned([head, *table[head].to_numpy().tolist()])
    about = table[(table["recording"] == id) | (table["video_id"] == id.partition("-")[0])]
    if about.empty:
        raise RawNamesError(
            f"{corpus}: no recording, video or clip {id}; without one, all are told"
        )
    rows = [
        [name, value]
        for row in about.to_dict("records")
        for name, value in row.items()
        if value != ""
    ]
    return aligned(rows)
