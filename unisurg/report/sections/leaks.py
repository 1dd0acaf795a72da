"""That nothing of a benchmark's held-out operations is trained on, and what that rests on."""

from __future__ import annotations

import pandas as pd

from unisurg.report.amounts import clock, counted
from unisurg.report.blocks import Block, Section, Table, Text
from unisurg.report.curated import COVERAGE, Curated

CHECKED = "checked"
MOST_HITS = 60
RULES = {
    "identity": "by name",
    "copy": "copy of one that is held out",
    "content": "by content",
}


def section(curated: Curated) -> Section:
    blocks: list[Block] = []
    if curated.coverage is None:
        said = f"Not here: {COVERAGE}. So nothing is known of what was checked."
        blocks.append(Text(said, "missing"))
    else:
        blocks += [Text(_verdict(curated.coverage)), _coverage(curated.coverage)]
    hits = curated.leak_hits
    if len(hits):
        blocks.append(_hits(curated))
    else:
        blocks.append(Text("No recording was found to be held out by a benchmark."))
    return Section("leaks", "Leaks: what benchmarks hold out", blocks)


def _verdict(coverage: pd.DataFrame) -> str:
    checked = int((coverage["state"] == CHECKED).sum())
    return (
        "An operation that a benchmark validates or tests on must not be trained on. Held against"
        f" every validation and test case by content: {checked} of {len(coverage)} benchmarks. For"
        " all others, that no leak was found does NOT mean that there is none. `unisurg leaks index"
        " BENCHMARK` makes what is missing."
    )


def _coverage(coverage: pd.DataFrame) -> Table:
    rows, strong = [], set()
    for number, row in enumerate(coverage.sort_values("benchmark").to_dict("records")):
        if row["state"] != CHECKED:
            strong.add(number)
        rows.append(
            [row["benchmark"], row["state"], str(row["cases"]), f"{int(row['seconds']) / 60:,.0f}",
             _remark(row)]
        )  # fmt: skip
    return Table(
        ["benchmark", "state", "cases", "minutes", "remark"],
        rows,
        "Benchmarks, and whether the corpus was held against their validation and test cases by"
        " content: the cases on record, and the minutes of them that can be searched. In bold: not"
        " or not fully checked.",
        frozenset({2, 3}),
        frozenset(strong),
    )


def _remark(row: dict[str, object]) -> str:
    missing, short = (str(row[name]).split() for name in ("missing", "unsearchable"))
    said = [
        f"{counted(len(missing), 'case')} not on record" if missing else "",
        f"{counted(len(short), 'case')} too short or too dark to be found" if short else "",
        "made of the embedded theatre’s copy, which shows no operation"
        if str(row.get("rendered")) == "True"
        else "",
    ]
    return "; ".join(filter(None, said))


def _hits(curated: Curated) -> Table:
    known = curated.recordings.set_index("video_id")
    ordered = curated.leak_hits.sort_values(["benchmark", "b_id", "a_id"])
    rows = []
    for row in ordered.head(MOST_HITS).to_dict("records"):
        own = known.loc[row["a_id"]]
        measured = row["votes"] > 0
        rows.append(
            [
                str(own["source_id"]), str(own["recording"]), str(row["b_id"]), str(row["part"]),
                RULES.get(row["rule"], row["rule"]),
                f"{clock(row['a_start_s'])} for {row['span_s']:.0f} s" if measured else "",
                str(row["votes"]) if measured else "",
                f"{row['mean_hamming']:.1f}" if measured else "",
            ]
        )  # fmt: skip
    more = f" The first {MOST_HITS} of {len(ordered)}." if len(ordered) > MOST_HITS else ""
    return Table(
        ["source", "recording", "is", "part", "found", "from, for", "votes", "bits"],
        rows,
        "Recordings that a benchmark holds out, and the evidence: where in the recording the shared"
        " footage begins and how long it is, seconds that vote for it, and the mean distance of"
        " their 64-bit hashes. A hit takes all recordings of the operation out of the corpus."
        + more,
        frozenset({6, 7}),
    )
