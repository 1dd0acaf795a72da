"""Pictures to judge curation by: what is kept, what is not, and footage that is there twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from unisurg.corpus.intervals import State
from unisurg.corpus.samples.folder import ACROSS_PX, MOST, PIXELATED, read_picture
from unisurg.report.amounts import clock, counted
from unisurg.report.blocks import Block, Picture, Section, Text
from unisurg.report.contact import Tile, beside, contact_figure
from unisurg.report.curated import Curated
from unisurg.report.drawing import as_photo
from unisurg.report.states import STATES

MOST_REASONS = 3
UNSEEN = (
    "No picture of a recording that was refused is shown, not even a blurred one: nobody knows what"
    " is in it. Nothing can be shown of what could not be decoded."
)


def section(curated: Curated) -> Section:
    blocks: list[Block] = [
        Text(
            f"At most {MOST} frames of each source, and of each reason, spread evenly over"
            " recordings and over time; none was picked by eye. Above each: its source, the"
            " recording’s id, and the time in it."
        )
    ]
    kept = curated.samples[curated.samples["state"] == State.KEEP]
    blocks += [_kept(curated, str(source), of) for source, of in kept.groupby("source", sort=True)]
    for state in STATES:
        own = curated.samples[curated.samples["state"] == state]
        if state is not State.KEEP and len(own):
            blocks.append(_rejected(curated, state, own))
    if {State.REFUSED, State.UNDECODABLE} & set(curated.intervals["state"]):
        blocks.append(Text(UNSEEN, "note"))
    if len(curated.pairs):
        blocks.append(_pairs(curated))
    return Section("samples", "Samples: kept, not kept, and there twice", blocks)


def _kept(curated: Curated, source: str, rows: pd.DataFrame) -> Picture:
    return Picture(
        as_photo(contact_figure(list(_tiles(curated, rows)))),
        f"A contact sheet of {counted(len(rows), 'frame')} that are kept of {source}.",
        f"Kept of {source}: frames of the finished clips, as pretraining sees them.",
    )


def _rejected(curated: Curated, state: State, rows: pd.DataFrame) -> Picture:
    told = STATES[state]
    hidden = (
        f" Reduced to at most {ACROSS_PX} squares across before they left the restricted folder."
        if state in PIXELATED
        else " Text in the picture was painted black."
    )
    return Picture(
        as_photo(contact_figure(list(_tiles(curated, rows)))),
        f"A contact sheet of {counted(len(rows), 'frame')} that are not kept: {told.name}.",
        f"Not kept, {told.name}: {told.meaning}.{hidden} {_reasons(rows)}",
    )


def _reasons(rows: pd.DataFrame) -> str:
    """What was said of the frames, where there is little to say."""
    reasons = sorted(set(rows["reason"]))
    return f"Reason told: {'; '.join(reasons)}." if len(reasons) <= MOST_REASONS else ""


def _tiles(curated: Curated, rows: pd.DataFrame) -> Iterable[Tile]:
    for row in rows.to_dict("records"):
        lines = row["source"], f"{row['recording']}  {clock(row['at_s'])}"
        yield Tile(read_picture(curated.corpus, row["file"]), lines)


def _pairs(curated: Curated) -> Picture:
    tiles = [_pair(curated, row) for row in curated.pairs.to_dict("records")]
    return Picture(
        as_photo(contact_figure(tiles, columns=2)),
        f"{counted(len(tiles), 'pair')} of frames of footage that two recordings share.",
        f"There twice: {len(tiles)} of {curated.n_pairs} stretches of footage that two recordings"
        " share, from the fewest votes to the most. Both frames are from the middle of the stretch;"
        " a vote is a second at which both recordings show the same; bits are how far their"
        " 64-bit hashes are apart, on average.",
    )


def _pair(curated: Curated, row: dict[str, Any]) -> Tile:
    sides = [read_picture(curated.corpus, row[f"{side}_file"]) for side in "ab"]
    where = [
        f"{row[f'{side}_source']} {row[f'{side}_recording']}  {clock(row[f'{side}_s'])}"
        for side in "ab"
    ]
    mirrored = ", mirrored" if row["mirrored"] else ""
    votes = (
        f"{row['span_s']:.0f} s in common, {row['votes']} votes,"
        f" {row['mean_hamming']:.1f} bits{mirrored}"
    )
    return Tile(beside(*sides), (where[0], f"and {where[1]}", votes))
