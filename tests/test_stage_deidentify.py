"""The stage `deidentify` runs with the detector that the settings name by its bytes, or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from deid_onnx import red_is_inside

from unisurg.corpus.deid.outside import Detector, DetectorError
from unisurg.settings import Deid, Settings
from unisurg.stages.deidentify import require_pinned


def pinned(settings: Settings, detector: Path | None, sha256: str | None) -> Deid:
    update = {"detector": detector, "detector_sha256": sha256}
    return settings.deid.model_copy(update=update)


def test_without_a_detector_there_is_nothing_to_name(settings: Settings) -> None:
    require_pinned(pinned(settings, None, None))


@pytest.mark.parametrize("named", [None, "0" * 64])
def test_a_detector_that_the_settings_do_not_name_is_refused_with_its_digest(
    settings: Settings, tmp_path: Path, named: str | None
) -> None:
    folder = red_is_inside(tmp_path / "detector")
    with pytest.raises(DetectorError, match=r"deid\.detector_sha256") as refused:
        require_pinned(pinned(settings, folder, named))
    assert Detector(folder, 1).digest in str(refused.value)


def test_other_weights_or_another_card_under_the_same_name_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    folder = red_is_inside(tmp_path / "detector")
    section = pinned(settings, folder, Detector(folder, 1).digest)
    require_pinned(section)
    red_is_inside(folder, columns=((7.0, 0.0), (-4.0, 0.0), (-4.0, 0.0)))
    with pytest.raises(DetectorError, match="SHA-256"):
        require_pinned(section)
    red_is_inside(folder, threshold=0.4)
    with pytest.raises(DetectorError, match="SHA-256"):
        require_pinned(section)
