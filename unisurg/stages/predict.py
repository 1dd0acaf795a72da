"""A new video -> its phases, second by second, as a table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from unisurg import lineage
from unisurg.predict import PhaseModel
from unisurg.registry import DATA, MODEL, Registry
from unisurg.settings import Settings

REGISTERED = "models:/"


def run(settings: Settings, video: Path, model: str, output: Path | None) -> None:
    """Write rows of second, phase and confidence to `output`, or to standard output.

    Args:
        model: folder of a package, or a registered one as in `models:/unisurg@champion`, whose
            package is then used with the code of this checkout.
    """
    found = _load(settings, model).phases(video)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(output or sys.stdout, index=False, float_format="%.4g")
    if output is not None:
        print(f"predict: {len(found)} seconds of {video}: {output}")


def _load(settings: Settings, model: str) -> PhaseModel:
    if not model.startswith(REGISTERED):
        return PhaseModel.load(Path(model))
    registry = Registry.open(settings, lineage.repository_root())
    version = registry.find(model)
    with tempfile.TemporaryDirectory(prefix="unisurg-model-") as scratch:
        folder = registry.fetch(version, f"{MODEL}/{DATA}", Path(scratch))
        return PhaseModel.load(folder)
