"""The files a report is made of; what is not there yet is None, and the page says so."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from unisurg.attempts import IDENTITIES, Attempt, failures
from unisurg.evaluation.reported import Results, Tuned, read_results, read_tuned
from unisurg.report.curated import Curated, read_curated
from unisurg.settings import Settings

Json = dict[str, Any]
Arrays = dict[str, np.ndarray]

STAGES = {"pretrain": "stage 1", "pretrain_long": "stage 2"}
CORPUS = Path("artifacts/corpus")
MANIFEST = CORPUS / "manifest.parquet"
BALANCE = Path("artifacts/balance")
THROUGHPUT = IDENTITIES / "scan.throughput.json"
VALIDATION = Path("artifacts/validation/validation.json")
IDENTITY_FILES = "*.run.json"
EMBEDDED = "theatre"
NEEDED = ("truth", "pretrained")


class InputError(ValueError):
    """A file of the report is not what its stage writes; the message says which, and the remedy."""


@dataclass(frozen=True)
class Predictions:
    """What the probes of one benchmark predict on test cases, first seed.

    `cases` maps each case, in the file's order, to its arrays: `truth`, `pretrained`, perhaps
    `random` and baselines, all (S,) labels or (H, W); for videos `moments` (S,) in seconds, for
    pictures `image` (H, W, 3).
    """

    task: str
    classes: tuple[str, ...]
    cases: dict[str, Arrays]


@dataclass(frozen=True)
class Inputs:
    """Everything the page shows, as read; keys of the mappings are benchmarks or stages."""

    root: Path
    settings: Settings
    metrics: dict[str, Results]
    tuned: dict[str, Tuned]
    tuned_histories: dict[str, pd.DataFrame]
    predictions: dict[str, Predictions]
    histories: dict[str, pd.DataFrame]
    pictures: dict[str, Arrays]
    curated: Curated | None
    validation: Json | None
    identities: dict[str, Json]
    failed: dict[str, Attempt]
    """Stages that failed when they were last tried; what they left before is not among the rest."""
    embedded: frozenset[str]
    """Benchmarks whose data are the embedded theatre's."""


def read(root: Path, settings: Settings) -> Inputs:
    """Read whatever is there below the repository's root.

    Raises:
        ReportedError, InputError: a file that is there is not what its stage writes.
        TableError, ManifestError: the same of a table of the corpus.
    """
    failed = failures(root)
    benchmarks = [b for b in settings.benchmarks if failed.keys().isdisjoint(stages_of(b))]
    tuned = [b for b in settings.finetune.benchmarks if f"finetune@{b}" not in failed]
    runs = [read_json(path) for path in sorted((root / IDENTITIES).glob(IDENTITY_FILES))]
    return Inputs(
        root=root,
        settings=settings,
        metrics=_present({b: read_results(root, b) for b in benchmarks}),
        tuned=_present({b: read_tuned(root, b) for b in tuned}),
        tuned_histories=_present({b: read_history(root / tuned_folder(b)) for b in tuned}),
        predictions=_present({b: read_predictions(root / predictions_path(b)) for b in benchmarks}),
        histories=_present({s: read_history(root / log_path(s)) for s in STAGES}),
        pictures=_present({s: read_arrays(root / log_path(s) / "pictures.npz") for s in STAGES}),
        curated=read_curated(root / CORPUS, root / BALANCE, root / THROUGHPUT),
        validation=read_json(root / VALIDATION),
        identities={run["stage"]: run for run in runs if run is not None},
        failed=failed,
        embedded=frozenset(b for b in settings.benchmarks if _is_embedded(root, settings, b)),
    )


def stages_of(benchmark: str) -> tuple[str, ...]:
    """The stages that a benchmark's result comes from."""
    return (f"features@{benchmark}", f"probe@{benchmark}")


def predictions_path(benchmark: str) -> Path:
    return Path("artifacts/probe") / benchmark / "predictions.npz"


def tuned_folder(benchmark: str) -> Path:
    return Path("artifacts/finetune") / benchmark


def log_path(stage: str) -> Path:
    return Path("artifacts") / stage / "log"


def read_json(path: Path) -> Json | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_arrays(path: Path) -> Arrays | None:
    """Arrays of an .npz file by name.

    Raises:
        InputError: the file is none.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, ValueError, OSError, AttributeError) as error:
        raise InputError(
            f"{path}: not a readable .npz file ({error}); delete it and run its stage"
        ) from None


def read_predictions(path: Path) -> Predictions | None:
    """What a probe leaves in `predictions.npz`; None if it has not run.

    Raises:
        InputError: an array is missing, or a prediction is not in the shape of its truth.
    """
    arrays = read_arrays(path)
    if arrays is None:
        return None
    remedy = f"write it anew with `dvc repro -f -s probe@{path.parent.name}`"
    for name in ("task", "classes"):
        if name not in arrays:
            raise InputError(f"{path}: no array {name!r}; {remedy}")
    cases = cases_of(arrays)
    for case, bands in cases.items():
        for name in NEEDED:
            if name not in bands:
                raise InputError(f"{path}: no array {name + '/' + case!r}; {remedy}")
        for name, band in bands.items():
            shape = bands["truth"].shape
            if name != "image" and band.shape != (shape[:1] if name == "moments" else shape):
                raise InputError(
                    f"{path}: {name}/{case} has shape {band.shape}, its truth"
                    f" {bands['truth'].shape}; {remedy}"
                )
    classes = tuple(str(name) for name in arrays["classes"])
    return Predictions(str(arrays["task"]), classes, cases)


def read_history(log: Path) -> pd.DataFrame | None:
    return _table(log / "history.csv")


def cases_of(arrays: Arrays) -> dict[str, Arrays]:
    """The arrays named `<band>/<case>` by case, then band, in the file's order of cases."""
    cases: dict[str, Arrays] = {}
    for name, array in arrays.items():
        band, slash, case = name.partition("/")
        if slash:
            cases.setdefault(case, {})[band] = array
    return cases


def _table(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path) if path.is_file() else None


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
