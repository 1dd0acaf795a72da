"""The files a report is made of; what is not there yet is None, and the page says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from unisurg.settings import Settings

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]

STAGES = {"pretrain": "stage 1", "pretrain_long": "stage 2"}
CORPUS = Path("artifacts/corpus")
MANIFEST = CORPUS / "manifest.parquet"
QUARANTINE = CORPUS / "quarantine.csv"
VALIDATION = Path("artifacts/validation/validation.json")
IDENTITIES = Path("artifacts/runs")
IDENTITY_FILES = "*.run.json"
EMBEDDED = "theatre"


@dataclass(frozen=True)
class Inputs:
    """Everything the page shows, as read; keys of the mappings are benchmarks or stages."""

    root: Path
    settings: Settings
    metrics: dict[str, Json]
    predictions: dict[str, Arrays]
    histories: dict[str, pd.DataFrame]
    pictures: dict[str, Arrays]
    manifest: pd.DataFrame | None
    quarantine: pd.DataFrame | None
    validation: Json | None
    identities: dict[str, Json]
    embedded: frozenset[str]
    """Benchmarks whose data are the embedded theatre's."""


def read(root: Path, settings: Settings) -> Inputs:
    """Read whatever is there below the repository's root."""
    benchmarks = list(settings.benchmarks)
    runs = [read_json(path) for path in sorted((root / IDENTITIES).glob(IDENTITY_FILES))]
    return Inputs(
        root=root,
        settings=settings,
        metrics=_present({b: read_json(root / metrics_path(b)) for b in benchmarks}),
        predictions=_present({b: read_arrays(root / predictions_path(b)) for b in benchmarks}),
        histories=_present({s: read_history(root / log_path(s)) for s in STAGES}),
        pictures=_present({s: read_arrays(root / log_path(s) / "pictures.npz") for s in STAGES}),
        manifest=_table(root / MANIFEST),
        quarantine=_table(root / QUARANTINE),
        validation=read_json(root / VALIDATION),
        identities={run["stage"]: run for run in runs if run is not None},
        embedded=frozenset(b for b in benchmarks if _is_embedded(root, settings, b)),
    )


def metrics_path(benchmark: str) -> Path:
    return Path("metrics") / f"{benchmark}.json"


def predictions_path(benchmark: str) -> Path:
    return Path("artifacts/probe") / benchmark / "predictions.npz"


def log_path(stage: str) -> Path:
    return Path("artifacts") / stage / "log"


def read_json(path: Path) -> Json | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_arrays(path: Path) -> Arrays | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def read_history(log: Path) -> pd.DataFrame | None:
    return _table(log / "history.csv")


def cases_of(predictions: Arrays) -> dict[str, Arrays]:
    """The arrays named `<band>/<case>` by case, then band, in the file's order of cases."""
    cases: dict[str, Arrays] = {}
    for name, array in predictions.items():
        band, slash, case = name.partition("/")
        if slash:
            cases.setdefault(case, {})[band] = array
    return {case: bands for case, bands in cases.items() if {"truth", "pretrained"} <= set(bands)}


def _table(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _is_embedded(root: Path, settings: Settings, benchmark: str) -> bool:
    """Whether a benchmark lies in the folder that DVC imports from the embedded theatre."""
    place = (root / settings.benchmarks[benchmark].root).resolve()
    for pointer in sorted(root.glob("[!.]*.dvc")):
        row = yaml.safe_load(pointer.read_text(encoding="utf-8")) or {}
        sources = [str(dep.get("path", "")) for dep in row.get("deps", ())]
        folders = [(root / out["path"]).resolve() for out in row.get("outs", ())]
        if any(EMBEDDED in Path(s).parts for s in sources):
            return any(place.is_relative_to(folder) for folder in folders)
    return False
