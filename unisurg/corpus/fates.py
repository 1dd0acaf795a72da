"""What became of each recording, by the tables of a corpus, or of the stage `scan` before there is
one; with its raw name, where the machine knows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unisurg.corpus import manifest, seconds, tables
from unisurg.corpus.intervals import State, seconds_by_state
from unisurg.corpus.raw_names import read_raw_names, restricted_of
from unisurg.corpus.scan import folder as scans

if TYPE_CHECKING:
    import pandas as pd

GONE = "(no longer there)"
"""In place of a raw name that a later scan has not met."""


def fates(folder: Path) -> pd.DataFrame:
    """One row per input: recording, video_id, raw, state, reason, said.

    Its state is `quarantined`, `other` (it is no recording), `kept` where seconds of it are, the
    state of most of its seconds where none are, or `scanned` where there is no corpus yet. The
    reason says why, or how many seconds are in which state.

    Args:
        folder: a corpus, whose raw names lie in it or beside it; or what the stage `scan` wrote.

    Raises:
        RawNamesError: the raw names are not on this machine.
        ManifestError, TableError: a table is missing.
    """
    restricted = restricted_of(folder)
    corpus = folder if (folder / manifest.RECORDINGS).is_file() else None
    of = corpus or restricted
    table = manifest.read_inputs(of).set_index("recording")
    names = read_raw_names(restricted).set_index("recording")
    gone = manifest.read_quarantine(of).set_index("recording")
    told = _told(corpus) if corpus else _scanned(restricted)
    told = told.reindex(table.index).fillna("")
    told.loc[table["kind"] == manifest.OTHER, "state"] = manifest.OTHER
    told.loc[gone.index, "state"] = "quarantined"
    told.loc[gone.index, "reason"] = gone["reason"] + ": " + gone["detail"]
    told["raw"] = names["raw"].reindex(table.index).fillna(GONE)
    told["said"] = names["said"].reindex(table.index).fillna("")
    return told.reset_index()[["recording", "video_id", "raw", "state", "reason", "said"]]


def _scanned(scan: Path) -> pd.DataFrame:
    videos = tables.read(scan / scans.VIDEOS, "videos").set_index("recording")
    return videos[["video_id"]].assign(state="scanned", reason="")


def _told(corpus: Path) -> pd.DataFrame:
    """By recording: video_id, state and reason, as the intervals tell."""
    videos = tables.read(corpus / manifest.RECORDINGS, "recordings").set_index("recording")
    painted = seconds.read(corpus, videos)
    lasts = [seconds_by_state(painted[video]) for video in videos["video_id"]]
    return videos[["video_id"]].assign(
        state=[_state(of) for of in lasts],
        reason=[", ".join(f"{state} {s:.1f} s" for state, s in of.items()) for of in lasts],
    )


def _state(lasts: dict[State, float]) -> str:
    if State.KEEP in lasts:
        return "kept"
    return str(max(lasts, key=lambda state: lasts[state])) if lasts else "empty"
