"""Do copies and leaks name videos that there are, and do clusters hold together?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from unisurg.corpus.expectations.expected import Among, Between, Rows, Suite, none_of, true
from unisurg.corpus.expectations.places import HANDED_ON, Places
from unisurg.corpus.leak import CHECKED, NAMED, NEVER, PARTLY

RULES_OF_A_HIT = ("identity", "copy", "content")
PARTS = ("", "unknown", "val", "test")


def match_suites(
    places: Places, videos: pd.DataFrame, required: Literal["all"] | Sequence[str]
) -> list[Suite]:
    """Pairs, clusters, hits, procedures and coverage.

    Args:
        required: benchmarks that must have been checked by content.
    """
    known = set(videos["video_id"])
    procedures = places.read("leak/procedures")
    return [
        _pairs(places.read("dedup/dup_pairs"), known),
        _clusters(places.read("dedup/clusters"), known),
        _hits(places.read("leak/leak_hits"), procedures, known),
        _procedures(procedures, known),
        _coverage(places.read("leak/coverage"), required),
        _handed_on(places),
    ]


def _pairs(pairs: pd.DataFrame, known: set[str]) -> Suite:
    rows = pairs.assign(
        stranger=_strangers(pairs["a_id"], known) + _strangers(pairs["b_id"], known),
        itself=pairs["a_id"] == pairs["b_id"],
    )
    rules = (
        none_of("stranger", "both are videos that the scan has read"),
        Among("itself", (False,), "no video is a copy of itself"),
    )
    return Suite("dedup/dup_pairs", rows, ("a_id", "b_id", "a_start_s"), rules)


def _clusters(clusters: pd.DataFrame, known: set[str]) -> Suite:
    own = clusters.groupby("cluster")
    canonical = own["canonical"].transform("sum")
    rows = clusters.assign(
        stranger=_strangers(clusters["video_id"], known),
        canonicals=canonical.astype("int64"),
        miscounted=clusters["size"] - own["video_id"].transform("size"),
        misnamed=clusters["canonical"] != (clusters["cluster"] == clusters["video_id"]),
    )
    rules = (
        none_of("stranger", "is a video that the scan has read"),
        Between("canonicals", 1, 1, "a cluster has one canonical video"),
        Between("miscounted", 0, 0, "a cluster has as many videos as it says"),
        Among("misnamed", (False,), "a cluster is named by its canonical video"),
    )
    return Suite("dedup/clusters", rows, ("video_id", "cluster"), rules)


def _hits(hits: pd.DataFrame, procedures: pd.DataFrame, known: set[str]) -> Suite:
    of = procedures.drop_duplicates("video_id").set_index("video_id")["procedure_id"]
    rows = hits.assign(
        stranger=_strangers(hits["a_id"], known),
        same_procedure=hits["a_id"].map(of) == hits["procedure_id"],
    )
    rules = (
        none_of("stranger", "is of a video that the scan has read"),
        true("same_procedure", "names the procedure of its video"),
        Among("rule", RULES_OF_A_HIT, "by a known rule"),
        Among("part", PARTS, "of a validation or a test set, or of one nobody knows"),
    )
    return Suite("leak/leak_hits", rows, ("a_id", "b_id", "rule"), rules)


def _procedures(procedures: pd.DataFrame, known: set[str]) -> Suite:
    counts = procedures["video_id"].value_counts()
    ids = sorted(known | set(counts.index))
    rows = pd.DataFrame({"video_id": pd.Series(ids, dtype=str)})
    rows["procedures"] = [int(counts.get(video, 0)) for video in ids]
    rows["stranger"] = _strangers(rows["video_id"], known)
    rules = (
        Between("procedures", 1, 1, "every video is of one procedure"),
        none_of("stranger", "is a video that the scan has read"),
    )
    return Suite("leak/procedures", rows, ("video_id",), rules)


def _coverage(covered: pd.DataFrame, required: Literal["all"] | Sequence[str]) -> Suite:
    """Not checked is not clean: a benchmark that must be checked, and was not, blocks."""
    wanted = set(covered["benchmark"]) if required == "all" else set(required)
    state = dict(zip(covered["benchmark"], covered["state"], strict=True))
    names = sorted(wanted | set(state))
    rows = pd.DataFrame({"benchmark": pd.Series(names, dtype=str)})
    rows["state"] = [state.get(name, NEVER) for name in names]
    rows["rows"] = [int((covered["benchmark"] == name).sum()) for name in names]
    rows["unchecked"] = [
        state.get(name, NEVER) if name in wanted and state.get(name) != CHECKED else ""
        for name in names
    ]
    rules = (
        Rows(1, "there is a benchmark"),
        Between("rows", 0, 1, "no benchmark twice"),
        Among("state", (CHECKED, PARTLY, NAMED, NEVER), "a known state"),
        none_of("unchecked", "a benchmark of leaks.require has been checked by content"),
    )
    return Suite("leak/coverage", rows, ("benchmark",), rules)


def _handed_on(places: Places) -> Suite:
    same = {
        copy: places.file(copy).read_bytes() == places.file(original).read_bytes()
        for copy, original in HANDED_ON.items()
    }
    rows = pd.DataFrame({"file": list(same), "same": list(same.values())})
    rule = true("same", "what the corpus hands on as evidence is what the stage wrote")
    return Suite("corpus/evidence", rows, ("file",), (rule,))


def _strangers(ids: pd.Series, known: set[str]) -> pd.Series:
    return pd.Series(np.where(ids.isin(known), "", "no such video"), ids.index, dtype=str)
