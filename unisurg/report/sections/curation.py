"""What came in, what is kept, and why the rest is not: recordings, and every second of them."""

from __future__ import annotations

import pandas as pd

from unisurg.corpus.facts import Reason
from unisurg.corpus.intervals import State
from unisurg.report.amounts import counted, megabytes, share, unit_for
from unisurg.report.blocks import Block, Picture, Section, Table, Text, missing
from unisurg.report.curated import Curated
from unisurg.report.drawing import as_vector
from unisurg.report.funnel import funnel_figure
from unisurg.report.inputs import MANIFEST
from unisurg.report.states import REASONS, STATES

NAMED = 3
"""Recordings of each reason whose ids are listed."""
ROUNDING_S = 1.0


def section(curated: Curated | None) -> Section:
    title = "The corpus: what came in and what is kept"
    if curated is None:
        return Section("corpus", title, [missing(MANIFEST, "corpus")])
    blocks: list[Block] = [Text(_summary(curated)), _conservation(curated), _sources(curated)]
    if len(curated.intervals):
        blocks += [_funnel(curated), _states(curated)]
    if len(curated.quarantine):
        blocks += [_quarantine(curated), Text(NAMES, "note")]
    if curated.throughput is not None and len(curated.throughput):
        blocks.append(_throughput(curated.throughput))
    return Section("corpus", title, blocks)


NAMES = (
    "Recordings go by opaque ids here, since a file’s name may be a patient’s. `unisurg recordings"
    " ID` tells the name, on the machine that holds the raw files."
)


def fates(curated: Curated) -> pd.DataFrame:
    """A row per recording: its source, and `fate`: kept, nothing left, refused, no use, or lost."""
    kept, refused = set(curated.manifest["recording"]), set(curated.quarantine["recording"])
    readable = set(curated.recordings["recording"])

    def fate(recording: str) -> str:
        if recording in kept:
            return "kept"
        if recording not in readable:
            return "no use" if recording in refused else "lost"
        return "refused" if recording in refused else "nothing left"

    found = curated.found[["recording", "source"]]
    return found.assign(fate=[fate(recording) for recording in found["recording"]])


def _summary(curated: Curated) -> str:
    told, unit = fates(curated)["fate"].value_counts(), unit_for(curated.in_s)
    rows = curated.manifest
    sources = curated.found["source"].nunique()
    rates = sorted({f"{fps:g}" for fps in rows["fps"]})
    kept = (
        f" Of {told['kept']} something is kept: {unit.of(curated.kept_s)} {unit.name}, in"
        f" {counted(len(rows), 'clip')} of {counted(int(rows['n_frames'].sum()), 'frame')} in all,"
        f" {' or '.join(rates)} a second."
        if len(rows)
        else " Nothing is kept."
    )
    others = curated.others["suffix"].value_counts().sort_index()
    beside = ", ".join(f"{count} {WITHOUT.get(suffix, suffix)}" for suffix, count in others.items())
    return (
        f"{counted(len(curated.found), 'recording')} came in from {counted(sources, 'source')}."
        f" {len(curated.recordings)} were read: {unit.of(curated.in_s)} {unit.name} of"
        f" video.{kept}"
        + (f" Beside them lay files that are no recordings: {beside}." if beside else "")
    )


WITHOUT = {
    "(none)": "without a suffix",
    "(hidden)": "hidden",
    "(unknown)": "of an unknown suffix",
}


def _conservation(curated: Curated) -> Text:
    """That recordings and seconds sum, or loudly that they do not."""
    told = fates(curated)["fate"].value_counts()
    parts = {name: int(told.get(name, 0)) for name in FATES}
    lost = int(told.get("lost", 0))
    painted_s = float(curated.intervals["seconds"].sum())
    off_s = abs(painted_s - curated.in_s)
    counted = " + ".join(f"{count} {FATES[name]}" for name, count in parts.items())
    said = (
        f"{sum(parts.values())} recordings = {counted}. {painted_s:,.1f} seconds in all states ="
        f" {curated.in_s:,.1f} seconds of all recordings that were read."
    )
    if lost or off_s > ROUNDING_S:
        return Text(
            f"SOMETHING IS LOST OR INVENTED: {lost} recordings stand in no table, and the seconds"
            f" are {off_s:,.1f} apart. Curate the recordings again. {said}",
            "loud",
        )
    return Text(f"Nothing is lost: {said}", "note")


FATES = {
    "kept": "kept in whole or in part",
    "nothing left": "of which no second is left",
    "refused": "refused as a whole",
    "no use": "of no use: unreadable, too short, or the same bytes as another",
}


def _sources(curated: Curated) -> Table:
    unit, told = unit_for(curated.in_s), fates(curated)
    counts = told.groupby(["source", "fate"]).size().unstack(fill_value=0)
    came_s = curated.intervals.groupby("source")["seconds"].sum()
    kept = curated.intervals[curated.intervals["state"] == State.KEEP]
    kept_s = kept.groupby("source")["seconds"].sum()
    totals: dict[str, pd.Series] = {
        "came": counts.sum(axis=1),
        **{fate: counts.get(fate, pd.Series(0, counts.index)) for fate in FATES},
    }

    def row(name: str, of: dict[str, int], in_s: float, left_s: float) -> list[str]:
        numbers = [f"{count:,}" for count in of.values()]
        return [name, *numbers, unit.of(in_s), unit.of(left_s), share(left_s, in_s)]

    rows = [
        row(
            str(source),
            {name: int(count[source]) for name, count in totals.items()},
            float(came_s.get(source, 0.0)),
            float(kept_s.get(source, 0.0)),
        )
        for source in sorted(counts.index)
    ]
    of_all = {name: int(count.sum()) for name, count in totals.items()}
    rows.append(row("all sources", of_all, float(came_s.sum()), float(kept_s.sum())))
    head = ["source", "came in", "kept", "nothing left", "refused", "no use",
            f"{unit.name} in", f"{unit.name} kept", "kept"]  # fmt: skip
    return Table(
        head,
        rows,
        "Recordings by source, and what became of them; the time is that of all that were read."
        " Kept is a recording of which at least one clip is; of one with nothing left every second"
        " was taken away; one that is refused was not de-identified, or could not be written"
        " clean; of no use is one that is unreadable, too short, or the same bytes as another.",
        frozenset(range(1, len(head))),
        frozenset({len(rows) - 1}),
    )


def _funnel(curated: Curated) -> Picture:
    unit = unit_for(curated.in_s)
    names = ", ".join(
        f"{STATES[state].name} {share(seconds, curated.in_s)}"
        for state in STATES
        if (seconds := curated.seconds_in(state))
    )
    return Picture(
        as_vector(funnel_figure(curated.intervals, unit)),
        f"Stacked bars, one per source: {names} of all time.",
        "Where the time went. Each bar is all of a source’s time that was read, in per cent;"
        f" at its end, its length in {unit.name}.",
    )


def _states(curated: Curated) -> Table:
    unit, left = unit_for(curated.in_s), curated.in_s
    rows = [["came in", "all recordings that were read", _count(curated.intervals),
             unit.of(left), share(left, left), unit.of(left)]]  # fmt: skip
    for state, told in STATES.items():
        own = curated.intervals[curated.intervals["state"] == state]
        seconds = float(own["seconds"].sum())
        if not len(own):
            continue
        left -= seconds if state is not State.KEEP else 0.0
        rows.append([told.name, told.meaning, _count(own), unit.of(seconds),
                     share(seconds, curated.in_s), unit.of(left)])  # fmt: skip
    head = ["", "meaning", "recordings", unit.name, "of what came in", f"{unit.name} left"]
    return Table(
        head,
        rows,
        "What became of every second, in the order in which seconds are taken away; what is left"
        " after all of that is kept. A recording may stand in several rows.",
        frozenset({2, 3, 4, 5}),
        frozenset({0, len(rows) - 1}),
    )


def _count(intervals: pd.DataFrame) -> str:
    return f"{intervals['video_id'].nunique():,}"


def _quarantine(curated: Curated) -> Table:
    rows = [
        [
            str(reason).replace("_", " "),
            REASONS[Reason(reason)],
            f"{len(group):,}",
            megabytes(float(group["raw_bytes"].sum())),
            ", ".join(group["recording"].head(NAMED)) + (" …" if len(group) > NAMED else ""),
        ]
        for reason, group in curated.quarantine.groupby("reason", sort=True)
    ]
    return Table(
        ["reason", "meaning", "recordings", "MB", "ids"],
        rows,
        "In quarantine: recordings of which nothing may be used, by reason, with the size of their"
        " files in megabytes. quarantine.csv lists each with what was seen.",
        frozenset({2, 3}),
    )


def _throughput(rows: pd.DataFrame) -> Table:
    unit = unit_for(float(rows["seconds"].sum()))

    def row(name: str, of: pd.Series) -> list[str]:
        seconds, cpu_s = float(of["seconds"]), float(of["cpu_s"])
        speed = f"{seconds / cpu_s:,.1f}" if cpu_s else "–"
        return [name, f"{int(of['videos']):,}", unit.of(seconds, 2), unit.of(cpu_s, 2), speed]

    ordered = [of for _, of in rows.sort_values(["codec", "height_px"]).iterrows()]
    cells = [row(f"{of['codec']}, {of['height_px']} lines", of) for of in ordered]
    cells.append(row("all", rows[["videos", "seconds", "cpu_s"]].sum()))
    one = unit.name.removesuffix("s")
    return Table(
        ["codec and size", "recordings", f"{unit.name} of video", f"core-{unit.name}",
         f"{unit.name} per core-{one}"],
        cells,
        "Throughput of the scan: how long the one decode of each recording took one core, counted"
        " when it was decoded, in this run or an earlier one.",
        frozenset({1, 2, 3, 4}),
        frozenset({len(cells) - 1}),
    )  # fmt: skip
