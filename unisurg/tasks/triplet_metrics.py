"""Average precision of action triplets and of their components, after the package `ivtmetrics`.

A component (instrument, verb, target, a pair of them) is seen where one of its triplets is, and its
score is the highest of its triplets'. A class that no labelled frame shows has no average precision
and does not count. Source: Nwoye and Padoy, "Data Splits and Metrics for Method Benchmarking on
Surgical Action Triplet Datasets", arXiv 2204.05235, and github.com/CAMMA-public/ivtmetrics 0.1.5.

Video-wise, which its authors recommend, is a table (videos, classes) like any other. Over all
frames together, average precision neither adds up over videos nor is it a mean of theirs: such a
metric is a function of how often each video is drawn, `Drawn`, which a bootstrap calls instead of
weighing rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from unisurg.tasks.base import Drawn
from unisurg.tasks.segments import IGNORED

Table = np.ndarray
Rows = Sequence[np.ndarray]
# Class of each triplet (C,) by component: `i`, `v`, `t`, `iv`, `it`, `ivt`.
Components = Mapping[str, np.ndarray]
BEST = (5, 10, 20)
OF_TRIPLETS, WITHOUT_NULL = "ap_ivt_videowise", "ap_ivt_videowise_without_null"
# Positive frames looked at together: bounds memory to this times the number of draws.
CHUNK = 2048


def tables(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], components: Components, nulls: int
) -> dict[str, Table]:
    """Tables of the metrics that a bootstrap weighs, by exact name.

    `ap_X_videowise` (V, classes of X) for each component X, in 0..1, NaN where no frame of the
    video shows the class; `ap_ivt_videowise_without_null` leaves the last `nulls` triplets out, as
    `ignore_null=True` does; and `recall_topK_ivt_over_frames`, see there.

    Args:
        truths: one (S, C) per video, 1 where a triplet is seen and 0 where not, rows of -1 where
            nobody looked; those are removed together with their scores.
        scores: one (S, C) per video, higher for a likelier triplet.

    Raises:
        ValueError: the two do not fit together, a score is not finite, or no frame is labelled.
    """
    truths, scores = _labelled(truths, scores)
    found = {name: rule(truths, scores) for name, rule in _rules(components).items()}
    # Of those at hand, as the most numerous are not counted twice.
    return found | {WITHOUT_NULL: found[OF_TRIPLETS][:, : found[OF_TRIPLETS].shape[1] - nulls]}


def table(
    name: str,
    truths: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    components: Components,
    nulls: int,
) -> Table:
    """One of `tables`, without the time that the others take; arguments and errors as there."""
    if name == WITHOUT_NULL:
        whole = table(OF_TRIPLETS, truths, scores, components, nulls)
        return whole[:, : whole.shape[1] - nulls]
    return _rules(components)[name](*_labelled(truths, scores))


def _rules(components: Components) -> dict[str, Callable[[Rows, Rows], Table]]:
    """What makes a table of truths and scores of labelled frames, by exact name."""
    return {
        **{f"ap_{name}_videowise": partial(ap_videowise, of=of) for name, of in components.items()},
        **{
            f"recall_top{best}_ivt_over_frames": partial(recall_over_frames, best=best)
            for best in BEST
        },
    }


def drawn(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], components: Components, nulls: int
) -> dict[str, Drawn]:
    """Metrics over the frames of all videos together, by exact name, as functions of draws.

    `ap_X_global` for each component X and `ap_ivt_global_without_null`; arguments and errors as for
    `tables`. The value is that of one draw of ones, `np.ones((1, V))`; its interval is taken from
    the draws of a bootstrap over videos, a video drawn twice adding its frames twice.
    """
    truths, scores = _labelled(truths, scores)

    def mean_of(classes: Drawn, kept: slice) -> Drawn:
        return lambda draws: _mean(classes(draws)[:, kept])

    of_classes = {
        name: remembering(partial(ap_global, truths, scores, of)) for name, of in components.items()
    }
    found = {f"ap_{name}_global": mean_of(of, slice(None)) for name, of in of_classes.items()}
    known = slice(len(components["ivt"]) - nulls)
    found["ap_ivt_global_without_null"] = mean_of(of_classes["ivt"], known)
    return found


def remembering(rule: Drawn) -> Drawn:
    """The same rule; asked again about the draws of the last time, it does not count again."""
    last: list[np.ndarray] = []

    def asked(draws: np.ndarray) -> np.ndarray:
        if not (last and np.array_equal(last[0], draws)):
            last[:] = [draws.copy(), rule(draws)]
        return last[1]

    return asked


def ap_videowise(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], of: np.ndarray
) -> Table:
    """Average precision per video and class of the component, (V, K), NaN where there is none."""
    once = np.ones((1, 1))
    rows = [ap_global([t], [s], of, once)[0] for t, s in zip(truths, scores, strict=True)]
    return np.stack(rows)


def ap_global(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], of: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Average precision per draw and class over the frames of all drawn videos, (D, K).

    The step-wise kind, as in scikit-learn: the mean, over the frames that show the class, of the
    precision among the frames that score at least as much. NaN where no drawn frame shows it.

    Args:
        of: class (C,) of each triplet in the component; its K classes are those that occur.
        draws: how often each video counts, (D, V).
    """
    true = [group(rows, of) for rows in truths]
    scored = [group(rows, of) for rows in scores]
    columns = [
        _average_precision([rows[:, k] for rows in true], [rows[:, k] for rows in scored], draws)
        for k in range(true[0].shape[1])
    ]
    return np.stack(columns, axis=1)


def group(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Highest value among the triplets of each class, (S, C) -> (S, K), classes ascending."""
    return np.stack([rows[:, of == k].max(1) for k in np.unique(of)], axis=1)


def recall_over_frames(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], best: int
) -> Table:
    """Seen triplets among the `best` highest scores of their frame, and all seen: (V, 1, 2).

    `topK` of the package, which calls it accuracy. Of equal scores the lower triplet comes first.
    """
    parts = []
    for truth, rows in zip(truths, scores, strict=True):
        first = np.argsort(-rows, axis=1, kind="stable")[:, :best]
        parts.append([[np.take_along_axis(truth, first, 1).sum(), truth.sum()]])
    return np.array(parts, dtype=float)


def _average_precision(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], draws: np.ndarray
) -> np.ndarray:
    """Average precision of one class in every draw, (D,), of frames (S,) per video."""
    seen = [rows[truth == 1] for truth, rows in zip(truths, scores, strict=True)]
    video = np.repeat(np.arange(len(seen)), [len(rows) for rows in seen])
    at = np.concatenate(seen)
    ascending_seen, ascending = ([np.sort(rows) for rows in of] for of in (seen, scores))
    total = np.zeros(len(draws))
    for part in _chunks(len(at)):
        right = draws @ _at_least(ascending_seen, at[part])
        shown = draws @ _at_least(ascending, at[part])
        # A frame of a video that is not drawn weighs nothing, and may have no frame beside it.
        precision = np.divide(right, shown, out=np.zeros_like(shown), where=shown > 0)
        total += (draws[:, video[part]] * precision).sum(1)
    count = draws @ np.array([len(rows) for rows in seen], dtype=float)
    return np.divide(total, count, out=np.full(len(draws), np.nan), where=count > 0)


def _at_least(scores: Sequence[np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """How many frames of each video score at least a threshold, (V, T); scores ascend."""
    below = [np.searchsorted(rows, thresholds, side="left") for rows in scores]
    return np.array([len(rows) - n for rows, n in zip(scores, below, strict=True)], dtype=float)


def _chunks(length: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, length, CHUNK))


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean over the columns that have a number, (D, K) -> (D,); NaN where none has."""
    known = np.isfinite(rows)
    total, count = np.where(known, rows, 0.0).sum(1), known.sum(1)
    return np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)


def _labelled(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows of labelled frames, each (S, C), as floats."""
    pairs = []
    for truth, rows in zip(truths, scores, strict=True):
        if truth.ndim != 2 or truth.shape != rows.shape:
            raise ValueError(f"scores of shape {rows.shape} for labels of shape {truth.shape}")
        kept = (truth != IGNORED).any(1)
        if not np.isin(truth[kept], (0, 1)).all():
            raise ValueError("a label is neither 0 nor 1, nor is its whole row -1")
        if not np.isfinite(rows).all():
            raise ValueError("a score is not finite; the head that made it has diverged")
        pairs.append((truth[kept].astype(float), rows[kept].astype(float)))
    if not any(len(truth) for truth, _ in pairs):
        raise ValueError("no frame is labelled, so nothing can be scored; check the label files")
    return [truth for truth, _ in pairs], [rows for _, rows in pairs]
