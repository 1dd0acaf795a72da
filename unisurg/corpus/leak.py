"""No operation of a benchmark's validation or test set is trained on, and what that rests on.

Three rules, any is enough: the recording is held out by name (identity), it shows footage of one
that is (copy), or of a benchmark's index (content, `unisurg.corpus.leak_index`). A hit removes the
whole procedure. A benchmark without an index was not checked, and that is not clean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unisurg.corpus.duplicates.comparison import Comparison
from unisurg.corpus.duplicates.search import SearchRules, prints
from unisurg.corpus.duplicates.votes import PAIR_COLUMNS, VoteRules
from unisurg.corpus.leak_index import Account

HIT_COLUMNS: dict[str, str] = {
    **PAIR_COLUMNS,
    "rule": "str",  # identity | copy | content
    "benchmark": "str",
    "part": "str",  # val | test; by identity also unknown, or empty where nobody tells
    "procedure_id": "str",  # of a, what the hit removes
}
COVERAGE_COLUMNS: dict[str, str] = {
    "benchmark": "str",
    "state": "str",  # checked | partly checked | by name only | not checked
    "cases": "int32",  # on record
    "seconds": "int32",  # of them, usable for the search
    "frames_per_s": "float64",  # of the sparsest case
    "missing": "str",  # expected and not on record, separated by blanks
    "unsearchable": "str",  # on record, but too short or too dark to be found
    "rendered": "bool",  # the index is of the embedded theatre's copy, which shows no operation
}
MOST = 8
"""Cases that are told in words; the tables name all."""
CHECKED, PARTLY, NAMED, NEVER = "checked", "partly checked", "by name only", "not checked"
HeldOut = Callable[[Any, Any], Iterable[Any]]
"""(data set, its name of a recording) -> what holds it out: objects with a `benchmark`, and with a
`case` and a `part` if they are known (as `unisurg.corpus.overlaps.Held`), or names `benchmark` or
`benchmark/case`."""


def leaks(
    compared: Comparison, videos: pd.DataFrame, index: pd.DataFrame, held_out: HeldOut
) -> pd.DataFrame:
    """What of the corpus is held out by a benchmark, by any of the rules.

    Args:
        compared: the corpus' videos with all frames, whatever became of them, since a recording
            that is of no use to train on still tells which others are copies of it; and the index.
        videos: a row per video, or per name of it: video_id, dataset, video (the data set's own
            name of it), procedure_id.
        index: as of `index_of`, of any benchmarks.
        held_out: what holds a recording out by name.

    Returns:
        columns as HIT_COLUMNS, a being of the corpus; times, votes and bits of a hit by identity
        are nan or 0.

    Raises:
        ValueError: a video compared is not in `videos`, or one has no procedure or two.
    """
    own = set(compared.videos()) - set(index["video_id"])
    _check_known(own, videos)
    procedure = dict(zip(videos["video_id"], videos["procedure_id"], strict=True))
    named = _by_identity(videos, held_out)
    copies = _by_copy(compared, own, named)
    hits = pd.concat([named, copies, _by_content(compared, own, index)])
    hits["procedure_id"] = hits["a_id"].map(procedure)
    hits = hits[list(HIT_COLUMNS)].astype(HIT_COLUMNS)
    return hits.sort_values(["a_id", "b_id", "rule", "a_start_s"], ignore_index=True)


def removed(hits: pd.DataFrame) -> set[str]:
    """The procedures that must go: one hit in any video of a procedure takes all of it."""
    return set(hits["procedure_id"])


def coverage(
    expected: Mapping[str, Collection[str]],
    index: pd.DataFrame,
    search: SearchRules,
    votes: VoteRules,
    accounts: Sequence[Account] = (),
    named: Collection[str] = (),
) -> pd.DataFrame:
    """What the word "clean" rests on, a row per benchmark, columns as COVERAGE_COLUMNS.

    `checked` means that every expected case is on record and can be found by its content; where the
    cases are not known, and no index accounts for them, nobody can say that.

    Args:
        expected: benchmark -> its validation and test cases; none where they are not known.
        accounts: of the indices, those that have one.
        named: benchmarks that names alone keep apart from every recording of the corpus.
    """
    spoken = prints(index, search)
    usable_s = dict(zip(spoken.videos.tolist(), spoken.usable_s.tolist(), strict=True))
    short = {case for case, seconds in usable_s.items() if seconds < votes.needed(0)}
    rendered = {account.benchmark for account in accounts if account.rendered}
    rows = []
    for benchmark in sorted({*expected, *index["benchmark"]}):
        own = index[index["benchmark"] == benchmark]
        cases = set(own["video_id"])
        accounted = [account for account in accounts if account.benchmark == benchmark]
        stated = expected.get(benchmark, ())
        told = {f"{benchmark}/{case}" for case in stated} or (cases if accounted else set())
        unread = {f"{benchmark}/{case}" for one in accounted for case in one.unread}
        wanted = told | unread
        whole = wanted and wanted <= cases and not cases & short and benchmark not in rendered
        without = NAMED if benchmark in named else NEVER
        rows.append(
            {
                "benchmark": benchmark,
                "state": (CHECKED if whole else PARTLY) if cases else without,
                "cases": len(cases),
                "seconds": sum(usable_s[case] for case in cases),
                "frames_per_s": _frames_per_s(own),
                "missing": " ".join(sorted(wanted - cases)),
                "unsearchable": " ".join(sorted(cases & short)),
                "rendered": benchmark in rendered,
            }
        )
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS)).astype(COVERAGE_COLUMNS)


def explain(
    case: str,
    hits: pd.DataFrame,
    covered: pd.DataFrame,
    procedures: Mapping[str, str] | None = None,
) -> str:
    """Why a case is out, or what it means that it is not, in plain text.

    Args:
        case: a video of the corpus, a procedure, a benchmark, or a `benchmark/case`.
        hits: as of `leaks`.
        covered: as of `coverage`.
        procedures: procedure of each video: a hit in one takes out the others.
    """
    of_case = (hits[["a_id", "b_id", "benchmark", "procedure_id"]] == case).any(axis=1)
    procedure = (procedures or {}).get(case, case)
    about = hits[of_case | (hits["procedure_id"] == procedure)]
    lines = [f"{case}: {len(about)} hits" if len(about) else f"{case}: no hit"]
    if len(about) and not of_case.any():
        lines += [f"  it shows procedure {procedure}, as the recording of the hit does"]
    lines += [f"  {_told(hit)}" for hit in about.to_dict("records")]
    benchmark = case.split("/")[0]
    asked = covered[covered["benchmark"] == benchmark]
    return "\n".join(
        [*lines, "what that rests on:", told_coverage(asked if len(asked) else covered)]
    )


def told_coverage(covered: pd.DataFrame) -> str:
    """A line per benchmark, in words."""
    lines = [f"  {_covered(row)}" for row in covered.to_dict("records")]
    return "\n".join(lines or ["  no benchmark was checked"])


def _check_known(own: Collection[str], videos: pd.DataFrame) -> None:
    ids = videos["video_id"]
    of_each = videos.groupby("video_id")["procedure_id"].nunique()
    faults = {
        "has frames, but no row": set(own) - set(ids),
        "of two procedures": set(of_each[of_each > 1].index),
        "no procedure_id": set(ids[videos["procedure_id"].fillna("").astype(str) == ""]),
    }
    for fault, found in faults.items():
        if found:
            raise ValueError(f"{min(found)}: {fault} in the table of videos")


def _by_identity(videos: pd.DataFrame, held_out: HeldOut) -> pd.DataFrame:
    rows = [
        {
            "a_id": row["video_id"],
            "b_id": f"{benchmark}/{case}" if case else benchmark,
            "a_start_s": np.nan,
            "b_start_s": np.nan,
            "span_s": np.nan,
            "votes": 0,
            "mean_hamming": np.nan,
            "mirrored": False,
            "rule": "identity",
            "benchmark": benchmark,
            "part": part,
        }
        for row in videos.to_dict("records")
        for benchmark, case, part in _holders(held_out(row["dataset"], row["video"]))
    ]
    columns = [name for name in HIT_COLUMNS if name != "procedure_id"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(["a_id", "b_id", "part"])


def _holders(held: Iterable[Any]) -> list[tuple[str, str, str]]:
    """(benchmark, case, part), once each; what is not known is empty."""
    found = set()
    for one in held:
        if isinstance(one, str):
            benchmark, _, case = one.partition("/")
            found.add((benchmark, case, ""))
        else:
            case, part = getattr(one, "case", ""), getattr(one, "part", "")
            found.add((str(one.benchmark), str(case), str(part)))
    return sorted(found)


def _by_copy(compared: Comparison, own: set[str], named: pd.DataFrame) -> pd.DataFrame:
    """Hits of the videos that show footage of those that are held out by name.

    The latter serve as an index, of as many frames a second as the corpus has.
    """
    is_named = own & set(named["a_id"])
    pairs = compared.between(own - is_named, is_named).rename(columns={"b_id": "original"})
    held = named[["a_id", "b_id", "benchmark", "part"]].rename(columns={"a_id": "original"})
    hits = pairs.merge(held, on="original").assign(rule="copy")
    # Two recordings of one case may tell the same of a copy: once is enough.
    hits = hits.sort_values(["votes", "original"], ascending=[False, True])
    told = ["a_id", "b_id", "a_start_s", "b_start_s", "mirrored", "part"]
    return hits.drop_duplicates(told).drop(columns="original")


def _by_content(compared: Comparison, own: set[str], index: pd.DataFrame) -> pd.DataFrame:
    cases = index.drop_duplicates("video_id").set_index("video_id")
    pairs = compared.between(own, cases.index)
    return pairs.assign(
        rule="content",
        benchmark=pairs["b_id"].map(cases["benchmark"]),
        part=pairs["b_id"].map(cases["part"]),
    )


def _frames_per_s(index: pd.DataFrame) -> float:
    """Of the case with the fewest; nan if no case has two frames."""
    of_case = index.groupby("video_id")["pts_s"]
    steps = (of_case.max() - of_case.min()) / (of_case.size() - 1)
    return round(1 / float(steps.max()), 2) if steps.notna().any() else float("nan")


def _told(hit: dict[str, object]) -> str:
    part = f" ({hit['part']})" if hit["part"] else ""
    whose = f"procedure {hit['procedure_id']} is removed"
    if hit["rule"] == "identity":
        return f"{hit['a_id']} is held out by name: {hit['b_id']}{part}; {whose}"
    turned = ", mirrored" if hit["mirrored"] else ""
    turned += ", in a recording held out by name" if hit["rule"] == "copy" else ""
    return (
        f"{hit['a_id']} from {hit['a_start_s']:.1f} s shows {hit['b_id']}{part} from "
        f"{hit['b_start_s']:.1f} s for {hit['span_s']:.0f} s{turned}: {hit['votes']} seconds "
        f"agree, {hit['mean_hamming']:.1f} of 64 bits differ; {whose}"
    )


def _covered(row: dict[str, object]) -> str:
    remedy = f"no index is on record (`unisurg leaks index {row['benchmark']}`)"
    if row["state"] == NEVER:
        return f"{row['benchmark']}: not checked, which is not clean; {remedy}"
    if row["state"] == NAMED:
        return (
            f"{row['benchmark']}: by name only, pictures not checked: names tell all that the "
            f"sources here share with it; {remedy}"
        )
    lists = {name: str(row[name]).split() for name in ("missing", "unsearchable")}
    notes = "".join(f"; {name}: {_listed(found)}" for name, found in lists.items() if found)
    notes += "; of the embedded theatre's copy, which shows none of it" if row["rendered"] else ""
    return (
        f"{row['benchmark']}: {row['state']}, {row['cases']} cases, {row['seconds']} s at "
        f"{row['frames_per_s']:g} frames a second{notes}"
    )


def _listed(names: Sequence[str]) -> str:
    """How many there are, and the first of them."""
    return f"{len(names)} ({', '.join(names[:MOST])}{', ...' if len(names) > MOST else ''})"
