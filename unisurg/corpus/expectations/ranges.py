"""What a number in a table may be, with its unit: a fact of what it measures, not of a corpus."""

from __future__ import annotations

from collections.abc import Mapping

from unisurg.corpus import tables
from unisurg.corpus.expectations.expected import Among, Between, Expected, Number, Present, Unique

Range = tuple[Number | None, Number | None, str]
"""Least, most, unit; a bound of None is none."""

_SECONDS: Range = (0, None, "seconds")
_COUNT: Range = (0, None, "a count")
_SIDE: Range = (1, None, "pixels")
_SHARE: Range = (0, 1, "a share")
_BITS: Range = (0, 64, "bits of 64")
_SPAN: dict[str, Range] = {"start_s": _SECONDS, "end_s": _SECONDS}
_MATCH: dict[str, Range] = {
    **dict.fromkeys(("a_start_s", "b_start_s", "span_s"), _SECONDS),
    "mean_hamming": _BITS,
}
_VIDEO: dict[str, Range] = {
    "bytes": (1, None, "bytes"),
    **dict.fromkeys(("coded_width_px", "coded_height_px", "width_px", "height_px"), _SIDE),
    **dict.fromkeys(("box_w_px", "box_h_px", "clip_width_px", "clip_height_px"), _SIDE),
    **dict.fromkeys(("box_x_px", "box_y_px"), (0, None, "pixels")),
    "circle_r_px": (0, None, "pixels"),
    "sar": (0, None, "width of a pixel / height"),
    "rotation_deg": (-360, 360, "degrees"),
    **dict.fromkeys(("duration_s", "declared_s", "max_pts_gap_s"), _SECONDS),
    **dict.fromkeys(("fps_avg", "clip_fps"), (0, None, "frames a second")),
    **dict.fromkeys(("n_packets", "n_packet_err", "clock_jumps", "missing_pictures"), _COUNT),
    "n_decoded": (1, None, "a count"),
    "n_frames": (1, None, "a count"),
}
RANGES: Mapping[str, Mapping[str, Range]] = {
    "videos": _VIDEO,
    "recordings": _VIDEO,
    "frames": {
        "pts_s": _SECONDS,
        "luma_mean": (0, 255, "grey levels"),
        "dark_frac": _SHARE,
        "lap_var": (0, None, "grey levels squared"),
        "entropy_bits": (0, 8, "bits"),
        "diff_prev": (0, 255, "grey levels"),
        "shot_id": _COUNT,
    },
    "shots": _SPAN | {"score": (0, 255, "grey levels")},
    "rectangles": dict.fromkeys(("x", "y", "w", "h"), _SHARE),
    "oob": {"oob_p": (0, 1, "a probability")},
    **dict.fromkeys(("outside", "pages", "intervals"), _SPAN),
    "dup_pairs": _MATCH | {"votes": (1, None, "seconds that agree")},
    "leak_hits": _MATCH | {"votes": (0, None, "seconds that agree")},
    "clusters": {"size": (1, None, "videos")},
}
"""By table, then by column."""
UNMEASURED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ("videos", "recordings"),
        frozenset({"circle_cx_px", "circle_cy_px", "circle_r_px", "max_pts_gap_s"}),
    ),
    "frames": frozenset({"diff_prev"}),
    "shots": frozenset({"score"}),
    "leak_hits": frozenset(_MATCH),
}
"""Columns whose NaN says that there was nothing to measure; elsewhere a NaN is a fault."""


def own_rules(name: str) -> list[Expected]:
    """The rules on a table alone, of those in `unisurg.corpus.tables`: its key, what its columns
    may hold, and that they hold something."""
    table = tables.TABLES[name]
    return [
        Unique(table.key, "no key twice"),
        *(Present(column) for column in _measured(name)),
        *(
            Between(column, low, high, _said(low, high, unit))
            for column, (low, high, unit) in RANGES.get(name, {}).items()
        ),
        *(
            Among(column, tuple(sorted(values)), "one of what its definition allows")
            for column, values in table.choices.items()
        ),
    ]


def by_video_rules(name: str) -> list[Expected]:
    """The same on what `frames.by_video` makes of a table with a row per frame."""
    rules: list[Expected] = [
        Unique(("video_id",), "the rows of a video lie together"),
        Between("breaks", 0, 0, "a video's frames are 0, 1, 2, ...: no key twice, none missing"),
        *(Between(f"{column}_nan", 0, 0, "has a value") for column in _measured(name)),
    ]
    for column, (low, high, unit) in RANGES[name].items():
        said = _said(low, high, unit)
        rules.append(Between(f"{column}_least", low, None, said))
        if high is not None:
            rules.append(Between(f"{column}_most", None, high, said))
    return rules


def _measured(name: str) -> list[str]:
    columns = tables.TABLES[name].columns.items()
    unmeasured = UNMEASURED.get(name, frozenset())
    return [c for c, kind in columns if kind.startswith("float") and c not in unmeasured]


def _said(low: Number | None, high: Number | None, unit: str) -> str:
    return f"{unit}, at least {low}" if high is None else f"{unit}, {low} to {high}"
