"""A small repository in which every stage has run: files, dvc.lock, git, and runs in MLflow."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from unisurg import lineage, settings, tracking
from unisurg.attempts import identity_name
from unisurg.corpus import manifest, tables
from unisurg.corpus.leak import COVERAGE_COLUMNS, HIT_COLUMNS
from unisurg.evaluation import statistics
from unisurg.report import numbers
from unisurg.settings import Settings
from unisurg.tracking import track_stage

REPOSITORY = Path(__file__).resolve().parent.parent
BENCHMARKS = ("cholec80", "kvasir")
MAINS = {"cholec80": "f1_sm_per_video_unrelaxed", "kvasir": "mean_dice_threshold_0.5"}
CASES, SEEDS = 12, (0, 1)
# What each stage reads and writes; every one declares the seed.
STAGES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "leak": (("data",), ("artifacts/leak",)),
    "corpus": (("data", "artifacts/leak"), ("artifacts/corpus",)),
    "validate": (("artifacts/corpus",), ("artifacts/validation",)),
    "pretrain_long": (("artifacts/corpus", "artifacts/validation"), ("artifacts/encoder",)),
    **{
        f"probe@{name}": (
            ("data", "artifacts/encoder"),
            (f"artifacts/probe/{name}", f"metrics/{name}.json"),
        )
        for name in BENCHMARKS
    },
    "package": (("artifacts/encoder", "artifacts/probe/cholec80"), ("artifacts/package",)),
    "report": (tuple(f"metrics/{name}.json" for name in BENCHMARKS), ("reports/results.json",)),
}
# Where the database has the folder that it lies in.
PLACES = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri")),
    ("model_versions", "source"),
)
IGNORED = "data/\nartifacts/\nmetrics/\nreports/\nmlruns/\ndvc.lock\n.scratch/\n"
LEAKED, CLEAN = "000000000000leak", "0000000000000000"


def read_settings(root: Path) -> Settings:
    small = settings.load(root / "params.yaml", ["probe.bootstrap=200"])
    rows = {name: small.benchmarks[name] for name in BENCHMARKS}
    finetune = small.finetune.model_copy(update={"benchmarks": ()})
    return small.model_copy(update={"benchmarks": rows, "finetune": finetune})


def make(root: Path) -> Path:
    """The repository, its first commit made and every stage run once."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    (root / ".gitignore").write_text(IGNORED)
    (root / "data").mkdir()
    (root / "data/film.mp4").write_bytes(b"film")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": _graph()}))
    pointer = {"outs": [{"path": "data", "md5": lineage.md5_of(root / "data")}]}
    (root / "data.dvc").write_text(yaml.safe_dump(pointer))
    git(root, "init", "--quiet")
    commit(root)
    write_corpus(root)
    train(root, dict.fromkeys(BENCHMARKS, 0.0))
    return root


def _graph() -> dict[str, Any]:
    """What lineage asks of dvc.yaml: the dependencies of each stage."""
    found: dict[str, Any] = {}
    for stage, (deps, outs) in STAGES.items():
        name, looped, _ = stage.partition("@")
        body = {"cmd": name, "deps": list(deps), "outs": [] if looped else list(outs)}
        found[name] = {"foreach": list(BENCHMARKS), "do": body} if looped else body
    return found


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "a state")


def clone(template: Path, root: Path) -> Path:
    """A copy of a repository, whose runs keep their artifacts in the copy."""
    shutil.copytree(template, root)
    with sqlite3.connect(root / "mlruns/mlflow.db") as database:
        for table, column in PLACES:
            change = f"update {table} set {column} = replace({column}, ?, ?)"
            database.execute(change, (str(template), str(root)))
    return root


def write_corpus(root: Path, leaked: bool = False, valid: bool = True, state: str = "") -> None:
    """A held-out recording, removed or not, and what validation found."""
    leak, corpus = root / "artifacts/leak", root / "artifacts/corpus"
    for folder in (leak, corpus, root / "artifacts/validation"):
        folder.mkdir(parents=True, exist_ok=True)
    hit = dict.fromkeys(HIT_COLUMNS, 0) | {
        "a_id": LEAKED, "b_id": "cholec80/video41", "rule": "content", "benchmark": "cholec80",
        "part": "test", "procedure_id": LEAKED,
    }  # fmt: skip
    hits = pd.DataFrame([hit]).astype(HIT_COLUMNS)[list(HIT_COLUMNS)]
    tables.write(leak / "leak_hits.parquet", hits, "leak_hits")
    covered = dict.fromkeys(COVERAGE_COLUMNS, 0) | {
        "benchmark": "cholec80", "state": state or "by name only", "missing": "",
        "unsearchable": "",
    }  # fmt: skip
    pd.DataFrame([covered]).to_csv(leak / "coverage.csv", index=False)
    ids = [LEAKED, CLEAN]
    procedures = pd.DataFrame({"video_id": ids, "procedure_id": ids})
    procedures.to_csv(leak / "procedures.csv", index=False)
    rows = [
        dict.fromkeys(manifest.MANIFEST_COLUMNS, 0)
        | {"video_id": one, "clip_id": f"{one}-000", "recording": one, "source": "a", "clip": "c"}
        for one in (ids if leaked else ids[1:])
    ]
    manifest.write_manifest(corpus, rows)
    rules = [
        {"table": "corpus/manifest", "rule": "no clip is empty", "success": valid},
        {"table": "leak/hits", "rule": "every hit is out", "success": True},
    ]
    found = {"success": valid, "rules": rules}
    (root / "artifacts/validation/validation.json").write_text(json.dumps(found))


def train(root: Path, shifts: Mapping[str, float], **facts: Any) -> None:
    """Every stage anew; its model differs in the main metrics by those shifts."""
    wanted = read_settings(root)
    (root / "artifacts/encoder").mkdir(exist_ok=True)
    (root / "artifacts/encoder/weights").write_text(json.dumps(dict(shifts)))
    for name in BENCHMARKS:
        write_probe(root, wanted, name, shifts[name], **facts)
    (root / "artifacts/package").mkdir(exist_ok=True)
    (root / "artifacts/package/package.json").write_text(json.dumps(dict(shifts)))
    for stage in STAGES:
        if stage == "report":
            numbers.write(root, wanted, root / "reports/results.json")
        run_stage(root, wanted, stage)


def write_probe(
    root: Path, wanted: Settings, name: str, shift: float, cases: int = CASES, **facts: Any
) -> None:
    """Results of a probe whose cases differ widely, and whose model's gain does not."""
    rng = np.random.default_rng(sum(name.encode()))
    metric, base = MAINS[name], rng.uniform(0.2, 0.6, (cases, 1))
    noise = np.random.default_rng(1).normal(0, 0.005, (len(SEEDS), cases, 1))
    scores = [base + shift + noise[seed] * (shift != 0) for seed in SEEDS]
    names = [f"case{i:02d}" for i in range(cases)]
    folder = root / f"artifacts/probe/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"pretrained/{seed}/{metric}": scores[seed] for seed in SEEDS}
    np.savez(folder / "tables.npz", allow_pickle=False, cases=names, groups=names, **arrays)
    draws = statistics.draw_groups(names, wanted.probe.bootstrap, wanted.seed)
    found = {
        "benchmark": name, "task": "phase", "split": "theatre", "cases": {"test": cases},
        "clips": {"test": cases}, "unit": "video", "protocol": "dense", "window": "causal",
        "lookahead_s": 0.0, "frames": 16, "fps": 1.0, "main": metric, "kind": "attentive",
        "pretrained": {metric: statistics.estimate(scores, draws).as_dict()}, **facts,
    }  # fmt: skip
    (root / "metrics").mkdir(exist_ok=True)
    (root / f"metrics/{name}.json").write_text(json.dumps(found))


def run_stage(root: Path, wanted: Settings, stage: str) -> None:
    """What a stage leaves beside its outputs: an identity file, an entry in dvc.lock, a run."""
    identity = root / identity_of(stage)
    # A run records all settings; the others are of no matter here, and take most of the time.
    few = Settings.model_construct(seed=wanted.seed, tracking=wanted.tracking)
    with track_stage(stage, few, root) as tracked:
        tracked.write_identity(identity)
    deps, outs = STAGES[stage]
    entry = {
        "cmd": stage,
        "deps": [{"path": path, "md5": lineage.md5_of(root / path)} for path in deps],
        "params": {"params.yaml": {"seed": wanted.seed}},
        "outs": [
            {"path": path, "md5": lineage.md5_of(root / path)}
            for path in (*outs, identity_of(stage).as_posix())
        ],
    }
    lock = read_lock(root)
    lock["stages"][stage] = entry
    write_lock(root, lock)


def identity_of(stage: str) -> Path:
    folder = Path("artifacts" if stage == "report" else "artifacts/runs")
    return folder / identity_name(stage)


def read_lock(root: Path) -> dict[str, Any]:
    path = root / "dvc.lock"
    return json.loads(path.read_text()) if path.is_file() else {"stages": {}}


def write_lock(root: Path, lock: Mapping[str, Any]) -> None:
    """As JSON, which is YAML that is quickly written."""
    (root / "dvc.lock").write_text(json.dumps(lock))


def edit_identity(root: Path, stage: str, **facts: Any) -> None:
    """Other facts in an identity file, of which dvc.lock knows."""
    path = root / identity_of(stage)
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    lock = read_lock(root)
    for row in lock["stages"][stage]["outs"]:
        if row["path"] == identity_of(stage).as_posix():
            row["md5"] = lineage.md5_of(path)
    write_lock(root, lock)


def runs_of(root: Path) -> tracking.Store:
    return tracking.open_store(read_settings(root).tracking, root)
