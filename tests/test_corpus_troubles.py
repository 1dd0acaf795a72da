"""What is wrong with the embedded corpus on purpose is what curation acts on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unisurg.corpus import tables
from unisurg.corpus.curate import curate
from unisurg.corpus.leakage import HeldOutOf
from unisurg.corpus.manifest import RECORDINGS
from unisurg.corpus.raw_names import RESTRICTED, read_raw_names
from unisurg.settings import Settings
from unisurg.synthetic.layouts.troubles import TROUBLES

ROOT = Path(__file__).resolve().parent.parent
ORIGINAL = "corpus/laparoscopy-a/case001.mp4"
"""Which one of them is a copy of."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_trouble_of_the_theatre_becomes_what_its_row_says(
    settings: Settings, tmp_path: Path
) -> None:
    for path in (ORIGINAL, *(trouble.path for trouble in TROUBLES)):
        target = tmp_path / "raw" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "theatre" / path, target)
    shutil.copy(ROOT / "theatre" / "theatre.json", tmp_path / "raw")
    leaks = settings.leaks.model_copy(update={"indices": ROOT / "leak_indices"})
    output = tmp_path / "corpus"
    nobody = HeldOutOf(lambda dataset, video: (), {"cholec80": []})
    curate(
        settings.model_copy(update={"leaks": leaks}),
        tmp_path / "raw" / "corpus",
        output,
        tmp_path / "scratch",
        nobody,
    )
    names = read_raw_names(output / RESTRICTED).set_index("raw")["recording"]
    videos = tables.read(output / RECORDINGS, "recordings").set_index("recording")["video_id"]
    intervals = tables.of(output, "intervals").groupby("video_id")
    became = {
        trouble.kind: tuple(
            intervals.get_group(videos[names[trouble.path.removeprefix("corpus/")]])["state"]
        )
        for trouble in TROUBLES
    }
    assert became == {trouble.kind: trouble.becomes for trouble in TROUBLES}
