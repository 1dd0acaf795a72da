"""Footage that some videos share with others: their frames are sought in each other, and vote."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from unisurg.corpus.duplicates.search import Prints, SearchRules, joined, lookalikes
from unisurg.corpus.duplicates.votes import PAIR_COLUMNS, VoteRules, count_votes


def in_common(left: Prints, right: Prints, search: SearchRules, votes: VoteRules) -> pd.DataFrame:
    """Footage that videos of `left`, as a, share with videos of `right`, as b.

    A row depends on its two videos alone, and on which of them is a. Either side asks, for either
    may be the cropped one.

    Returns:
        columns as PAIR_COLUMNS.
    """
    frames = left.then(right)
    a, b = np.split(np.arange(len(frames.video)), [len(left.video)])
    asked = lookalikes(frames, a, b, search)
    answered = lookalikes(frames, b, a, search).turned()
    return count_votes(frames, joined([asked, answered]), votes)


def merged(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables of pairs as one table, in an order of their own."""
    empty = pd.DataFrame(columns=list(PAIR_COLUMNS)).astype(PAIR_COLUMNS)
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else empty
    return table.sort_values(list(PAIR_COLUMNS), ignore_index=True)
