"""Scanned videos -> what is painted and cut out of each, and whether it may pass."""

from __future__ import annotations

from pathlib import Path

from unisurg.corpus.deid.outside import Detector, DetectorError
from unisurg.corpus.deidentify import deidentify
from unisurg.corpus.known import known_sources
from unisurg.corpus.mapping import runner_of
from unisurg.settings import Deid, Settings
from unisurg.stages import SCRATCH, identity_path
from unisurg.tracking import track_stage


def run(settings: Settings, raw: Path, home: Path) -> None:
    with track_stage("deidentify", settings) as tracked:
        require_pinned(settings.deid)
        output = home / "deid"
        verdicts = deidentify(
            home / "scan",
            output,
            SCRATCH,
            settings.deid,
            settings.scan.median_every_s,
            known_sources(raw),
            runner_of(**dict(settings.runner)),
        )
        counts = verdicts["deid_state"].value_counts().sort_index().to_dict()
        tracked.metrics(0, counts)
        told = ", ".join(f"{state} {count}" for state, count in counts.items()) or "no video"
        print(f"deidentify: {told}")
        tracked.artifact(output / "verdicts.parquet")
        tracked.write_identity(identity_path("deidentify", output))


def require_pinned(section: Deid) -> None:
    """Pass a detector whose bytes the settings name: the graph depends on settings, and would take
    what another detector of the same folder has found for this one's.

    Raises:
        DetectorError: the settings name other bytes, or none; or it cannot be used.
    """
    if section.detector is None:
        return
    digest = Detector(section.detector, section.batch).digest
    if digest != section.detector_sha256:
        raise DetectorError(
            f"{section.detector}: its SHA-256 is {digest}, and deid.detector_sha256 in params.yaml "
            f"is {section.detector_sha256}; if this is the detector you mean, write it there"
        )
