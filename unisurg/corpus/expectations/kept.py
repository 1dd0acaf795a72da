"""Is what is kept what it says, clean, nobody else's, and is all the rest accounted for?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from unisurg.corpus import manifest
from unisurg.corpus.deid.decide import State as Deidentified
from unisurg.corpus.expectations.conserved import painted_of
from unisurg.corpus.expectations.expected import (
    Among,
    Between,
    Expected,
    Rows,
    Suite,
    Unique,
    none_of,
    true,
)
from unisurg.corpus.expectations.frames import cuts_within
from unisurg.corpus.expectations.places import Places
from unisurg.corpus.expectations.ranges import own_rules
from unisurg.corpus.facts import Reason
from unisurg.corpus.intervals import State, of_state
from unisurg.corpus.refusals import STAGES
from unisurg.settings import Settings

TOLERANCE = 1e-6
KINDS = ("video", "pictures", "unordered", "unreadable", manifest.OTHER)


def kept_suites(places: Places, scanned: pd.DataFrame, settings: Settings) -> list[Suite]:
    """The manifest, the quarantine, the inputs, and what became of every video.

    Args:
        scanned: table `videos` of the scan.
    """
    clips, refused = places.read("corpus/manifest"), places.read("corpus/quarantine")
    inputs, videos = places.read("corpus/inputs"), places.read("corpus/recordings")
    across_cuts = settings.clean.across_cuts
    return [
        Suite(
            "corpus/manifest",
            _derived(clips, videos, places),
            ("clip_id", "recording"),
            _manifest_rules(settings),
        ),
        *([] if across_cuts else [_within_shots(clips, scanned, places)]),
        Suite(
            "corpus/quarantine",
            refused.assign(silent=refused["detail"] == ""),
            ("recording",),
            _quarantine_rules(),
        ),
        Suite("corpus/inputs", inputs, ("recording",), _inputs_rules()),
        Suite("corpus/inputs", _accounts(inputs, videos, refused), ("recording",), ACCOUNTS),
        Suite(
            "corpus/recordings",
            _fates(places, scanned, videos, clips, refused),
            ("recording", "video_id"),
            FATES,
        ),
    ]


def _manifest_rules(settings: Settings) -> tuple[Expected, ...]:
    short, least = settings.curate.short_side_px, settings.curate.min_seconds
    return (
        Rows(1, "there is a clip"),
        none_of("missing", "every column has a value"),
        *(Unique((column,)) for column in ("clip_id", "clip")),
        Between("fps_error", 0, TOLERANCE, "the rate is that of the recording's scan"),
        Between("short_side_px", 2, short, f"pixels, at most curate.short_side_px, {short}"),
        Between("raw_duration_s", least, None, f"seconds, at least curate.min_seconds, {least:g}"),
        Between("start_s", 0, None, "seconds, at least 0"),
        Between("n_frames", 1, None, "at least one frame"),
        Between("raw_bytes", 1, None, "at least one byte"),
        *(
            Between(column, 0, None, "a count, at least 0")
            for column in ("decode_errors", "clock_jumps", "missing_pictures")
        ),
        Between("odd_sides", 0, 0, "both sides are even"),
        Between("enlarged_px", None, 1, "no picture is enlarged, but to an even side"),
        Between("duration_error_s", 0, TOLERANCE, "duration is n_frames / fps"),
        Between("lost_s", 0, TOLERANCE, "the clip lasts as long as its piece, to a frame of each"),
        true("id_agrees", "video_id is that of the recording"),
        true("clip_id_agrees", "clip_id begins with video_id"),
        true("clip_exists", "the clip's file exists"),
    )


def _derived(clips: pd.DataFrame, videos: pd.DataFrame, places: Places) -> pd.DataFrame:
    """The manifest and what can be computed from it, so that every rule is on one column."""
    table = clips.assign(missing=[", ".join(clips.columns[row]) for row in clips.isna().to_numpy()])
    sides, raw_sides = table[["width_px", "height_px"]], table[["raw_width_px", "raw_height_px"]]
    frame_s = 1 / table["fps"] + 1 / table["raw_fps"].where(table["raw_fps"] > 0, np.nan)
    scanned_fps = _by(videos, "video_id")["clip_fps"].reindex(table["video_id"])
    table["fps_error"] = (table["fps"] - scanned_fps.to_numpy()).abs()
    table["short_side_px"] = sides.min(axis=1)
    table["enlarged_px"] = sides.max(axis=1) - raw_sides.max(axis=1)
    table["odd_sides"] = (sides % 2).sum(axis=1)
    table["duration_error_s"] = (table["duration_s"] - table["n_frames"] / table["fps"]).abs()
    piece_s = table["end_s"] - table["start_s"]
    lost_s = (table["duration_s"] - piece_s).abs() - frame_s.fillna(np.inf)
    table["lost_s"] = lost_s.clip(lower=0)
    known = _by(videos, "recording")["video_id"].reindex(table["recording"])
    table["id_agrees"] = table["video_id"].to_numpy() == known.to_numpy()
    whose = table["clip_id"].str.replace(r"-\d+$", "", regex=True)
    table["clip_id_agrees"] = whose == table["video_id"]
    table["clip_exists"] = [(places.corpus / clip).is_file() for clip in table["clip"]]
    return table


def _within_shots(clips: pd.DataFrame, scanned: pd.DataFrame, places: Places) -> Suite:
    rows = clips[["clip_id", "video_id"]].assign(
        cuts=cuts_within(places.file("scan/frames"), clips, scanned)
    )
    rule = Between("cuts", 0, 0, "no clip reaches over a shot cut (clean.across_cuts)")
    return Suite("corpus/manifest", rows, ("clip_id", "video_id"), (rule,))


def _quarantine_rules() -> tuple[Expected, ...]:
    return (
        Unique(("recording",), "no recording twice"),
        Among("reason", tuple(str(reason) for reason in Reason), "a known reason"),
        Among("stage", tuple(sorted({*STAGES.values(), "normalise"})), "a known stage"),
        Among("silent", (False,), "says what was seen"),
        Between("raw_bytes", 0, None, "bytes, at least 0"),
    )


def _inputs_rules() -> tuple[Expected, ...]:
    return (
        Unique(("recording",), "no file twice"),
        Among("kind", KINDS, "a known kind"),
        Between("raw_bytes", 0, None, "bytes, at least 0"),
    )


ACCOUNTS = (
    Between("found", 1, 1, "every video and every quarantined recording was found once"),
    Between("outcomes", 1, 1, "every recording found is one video or one row of the quarantine"),
)
"""Conservation of recordings: nothing is lost or invented."""


def _accounts(inputs: pd.DataFrame, videos: pd.DataFrame, refused: pd.DataFrame) -> pd.DataFrame:
    """Per recording, in how many rows of the inputs and of their outcomes it appears."""
    unread = refused.loc[~refused["recording"].isin(videos["recording"]), "recording"]
    outcomes = pd.concat([videos["recording"], unread]).value_counts()
    found = inputs.loc[inputs["kind"] != manifest.OTHER, "recording"].value_counts()
    accounts = pd.DataFrame({"found": found, "outcomes": outcomes}).fillna(0).astype("int64")
    accounts = accounts.rename_axis("recording").reset_index()
    return accounts.sort_values("recording", ignore_index=True)


FATES = (
    *own_rules("recordings"),
    none_of("changed", "is what the scan has read, with its verdict"),
    Between("unclipped", 0, 0, "every piece that is kept has its clip, and no other has"),
    Between("unclean", 0, 0, "nothing is kept of a video that was not de-identified"),
    Among("leaked", (False,), "of no operation something is kept and something held out"),
    Among("unlisted", (False,), "a video that was refused is in quarantine, and no other is"),
)


def _fates(
    places: Places,
    scanned: pd.DataFrame,
    videos: pd.DataFrame,
    clips: pd.DataFrame,
    refused: pd.DataFrame,
) -> pd.DataFrame:
    """Per video, what is wrong with its clips, its verdict and its place in the quarantine."""
    painted = painted_of(places.read("corpus/intervals"))
    verdict = _by(places.read("deid/verdicts"), "video_id")["deid_state"]
    own = [painted.get(video, ()) for video in videos["video_id"]]
    pieces = pd.Series([len(of_state(of, State.KEEP)) for of in own], videos.index)
    unclean = videos["deid_state"] == Deidentified.REFUSED
    unclean |= videos["video_id"].map(verdict) != videos["deid_state"]
    out = pd.Series([bool(of_state(of, State.REFUSED)) for of in own], videos.index) | unclean
    clipped = videos["video_id"].map(clips["video_id"].value_counts()).fillna(0)
    return videos.assign(
        changed=_changed(videos, scanned),
        unclipped=(pieces - clipped).astype("int64"),
        unclean=pieces.where(unclean, 0),
        leaked=_leaked(places, videos) & (pieces > 0),
        unlisted=out != videos["recording"].isin(refused["recording"]),
    )


def _changed(videos: pd.DataFrame, scanned: pd.DataFrame) -> list[str]:
    """Per video, the columns in which it is not what the scan wrote, which knew no verdict."""
    shared = [c for c in videos.columns if c in scanned.columns and c not in UNSHARED]
    before = scanned.set_index("video_id").reindex(videos["video_id"]).reset_index()
    now = videos.reset_index(drop=True)
    same = pd.DataFrame({c: (now[c] == before[c]) | (now[c] != now[c]) for c in shared})
    return [", ".join(same.columns[~row]) for row in same.to_numpy()]


UNSHARED = frozenset({"deid_state", "stage_versions"})


def _leaked(places: Places, videos: pd.DataFrame) -> pd.Series:
    """Per video, whether its procedure has a leak hit, in itself or in another video."""
    hits = places.read("leak/leak_hits")
    rows = places.read("leak/procedures")
    procedures = dict(zip(rows["video_id"], rows["procedure_id"], strict=True))
    of_a_hit = set(hits["procedure_id"]) | set(hits["a_id"].map(procedures))
    gone = videos["video_id"].map(procedures).isin(of_a_hit)
    # Held against what the recording itself was named too, whatever procedures were united.
    return gone | videos["procedure_id"].isin(of_a_hit) | videos["video_id"].isin(hits["a_id"])


def _by(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows by the values of a column; where it has one twice, which breaks a rule of its own,
    the first."""
    return rows.drop_duplicates(column).set_index(column)
