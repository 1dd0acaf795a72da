"""The whole graph, on a small preset, run by DVC as a user would: real processes, real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
KEPT = (
    *("unisurg", "bin", "flows", "leak_indices", "tuning"),
    *("dvc.yaml", ".dvcignore", "mlruns/.gitkeep"),
)
CURATION = ("scan", "deidentify", "clean", "dedup", "leak", "corpus")
# The whole graph runs before the first test.
pytestmark = [pytest.mark.xdist_group("dag"), pytest.mark.timeout(1800)]


def lay_over(base: dict, overlay: dict) -> dict:
    for key, value in overlay.items():
        base[key] = lay_over(base[key], value) if isinstance(value, dict) else value
    return base


def copy_first(source: Path, target: Path, count: int) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir())[:count]:
        shutil.copy(path, target)


def few_clips(source: Path, target: Path, split: str, count: int) -> None:
    """The first clips of a list, and the list of them."""
    lines = (source / split).read_text().splitlines()[:count]
    for folder in ("videos", "splits"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    (target / split).write_text("\n".join(lines) + "\n")
    for line in lines:
        shutil.copy(source / "videos" / line.split(",")[0], target / "videos")


def small_data(data: Path) -> None:
    theatre = ROOT / "theatre"
    for source in sorted((theatre / "corpus").iterdir()):
        count = 2 if source.name == "laparoscopy-a" else 1
        copy_first(source, data / "corpus" / source.name, count)
    shutil.copy(theatre / "theatre.json", data)
    (data / "corpus" / "laparoscopy-a" / "torn.mp4").write_bytes(b"not a film")
    for kind in ("videos", "phase_annotations", "tool_annotations"):
        copy_first(theatre / "cholec80" / kind, data / "cholec80" / kind, 6)
    for kind in ("images", "masks"):
        copy_first(
            theatre / f"polyps/TrainDataset/{kind}", data / f"polyps/TrainDataset/{kind}", 15
        )
        test = f"polyps/TestDataset/Kvasir/{kind}"
        copy_first(theatre / test, data / test, 5)
    for split, count in (("train", 24), ("val", 12)):
        few_clips(theatre / "polypdiag", data / "polypdiag", f"splits/{split}.txt", count)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """A small copy of the project in which `dvc repro` has run once."""
    home = tmp_path_factory.mktemp("dag")
    for name in KEPT:
        source, target = ROOT / name, home / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    tiny = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    params["benchmarks"] = {name: params["benchmarks"][name] for name in tiny["benchmarks"]}
    (home / "params.yaml").write_text(yaml.safe_dump(lay_over(params, tiny), sort_keys=False))
    small_data(home / "data")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=home, check=True)
    done = dvc(home, "repro")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return home


def dvc(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"UNISURG_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
    )


def stages_run(done: subprocess.CompletedProcess[str]) -> set[str]:
    lines = [line for line in done.stdout.splitlines() if line.startswith("Running stage '")]
    return {line.split("'")[1] for line in lines}


def change(home: Path, section: str, key: str, value: object) -> None:
    params = yaml.safe_load((home / "params.yaml").read_text())
    block = params
    for part in section.split("."):
        block = block[part]
    block[key] = value
    (home / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def report(home: Path) -> str:
    """The page of what there is, written outside the graph."""
    command = [sys.executable, "-m", "unisurg", "report"]
    subprocess.run(command, cwd=home, check=True, capture_output=True)
    return (home / "reports/index.html").read_text()


def metrics(home: Path) -> list[Path]:
    return sorted((home / "metrics").glob("*.json"))


def test_it_ends_in_a_page_that_needs_nothing_else(workspace):
    page = (workspace / "reports/index.html").read_text()
    assert "cholec80" in page.lower()
    assert 'src="http' not in page


def test_every_recording_is_either_kept_or_quarantined_with_a_reason(workspace):
    manifest = pd.read_parquet(workspace / "artifacts/corpus/manifest.parquet")
    quarantine = pd.read_csv(workspace / "artifacts/corpus/quarantine.csv")
    raw = [p for p in (workspace / "data/corpus").rglob("*") if p.is_file()]
    assert len(manifest) + len(quarantine) == len(raw)
    names = pd.read_csv(workspace / "artifacts/scan/raw_names.csv").set_index("recording")["raw"]
    assert "laparoscopy-a/torn.mp4" in set(quarantine["recording"].map(names))
    assert quarantine["reason"].notna().all()


def test_results_name_metric_split_and_interval(workspace):
    for name in ("cholec80", "polypdiag", "kvasir", "finetune/polypdiag"):
        result = json.loads((workspace / f"metrics/{name}.json").read_text())
        main = result["pretrained"][result["main"]]
        assert result["split"]
        assert main["low"] <= main["mean"] <= main["high"]
        assert len(main["seeds"]) == (1 if "/" in name else 2)


def test_every_stage_is_a_run_below_one_pipeline_run(workspace):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{workspace}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("unisurg").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    parents = {run.data.tags["mlflow.parentRunId"] for run in children}
    names = {run.data.tags["mlflow.runName"] for run in children}
    assert {*CURATION, "validate", "pretrain", "pretrain_long", "report"} <= names
    assert {"features@cholec80", "probe@kvasir", "finetune@polypdiag"} <= names
    assert len(parents) == 1
    assert len(children) == len(runs) - 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_run_again_nothing_runs(workspace):
    done = dvc(workspace, "repro")
    assert done.returncode == 0
    assert stages_run(done) == set()


def test_curating_other_folders_by_hand_leaves_the_graph_up_to_date(workspace, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "unisurg", "curate"),
            *("--input", "data/corpus/laparoscopy-b", "--output", str(tmp_path / "corpus")),
        ],
        cwd=workspace,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "corpus.curate.run.json").is_file()
    checked = json.loads((tmp_path / "corpus/validation/validation.json").read_text())
    assert checked["success"] is True
    assert stages_run(dvc(workspace, "repro", "--dry")) == set()


def test_a_changed_probe_setting_reruns_probes_package_and_report_only(workspace):
    families = ("phase", "action", "segmentation", "triplet", "skill", "depth")
    change(workspace, "probe", "epochs", dict.fromkeys(families, 3))
    done = dvc(workspace, "repro")
    assert done.returncode == 0, done.stderr
    probes = {f"probe@{name}" for name in ("cholec80", "polypdiag", "kvasir")}
    assert stages_run(done) == {*probes, "package", "report"}


def test_a_changed_benchmark_reruns_its_own(workspace):
    change(workspace, "benchmarks.kvasir", "size_px", 96)
    done = dvc(workspace, "repro")
    assert done.returncode == 0, done.stderr
    assert stages_run(done) == {"features@kvasir", "probe@kvasir", "report"}


def test_a_benchmark_that_fails_leaves_the_others_and_is_shown_as_failed(workspace):
    mask = next((workspace / "data/polyps/TestDataset/Kvasir/masks").iterdir())
    good = mask.read_bytes()
    mask.write_bytes(good[:100])
    change(workspace, "benchmarks.polypdiag", "size_px", 80)
    done = dvc(workspace, "repro", "--keep-going")
    assert done.returncode != 0
    others = {f"{stage}@polypdiag" for stage in ("features", "probe", "finetune")}
    assert stages_run(done) == {*others, "features@kvasir"}
    page = report(workspace)
    assert "FAILED: features@kvasir" in page
    assert mask.name in page
    assert {"cholec80", "kvasir", "polypdiag"} == {p.stem for p in metrics(workspace)}

    mask.write_bytes(good)
    done = dvc(workspace, "repro")
    assert done.returncode == 0, done.stderr
    # As it was before: DVC has the features still, and brings them back without running.
    assert stages_run(done) == {"report"}
    assert "FAILED" not in (workspace / "reports/index.html").read_text()


def test_the_prefect_flow_runs_the_same_graph(workspace):
    change(workspace, "report", "ribbons", 2)
    done = subprocess.run(
        [sys.executable, "-m", "flows.pipeline"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(workspace)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Running stage 'report'" in done.stdout + done.stderr


def test_a_broken_expectation_stops_the_graph_and_names_rule_and_rows(workspace):
    manifest = workspace / "artifacts/corpus/manifest.parquet"
    frame = pd.read_parquet(manifest)
    good = manifest.read_bytes()
    frame.loc[0, "fps"] = 17.0
    frame.to_parquet(manifest)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "unisurg", "validate", "--output", str(workspace / "v")],
            cwd=workspace,
            capture_output=True,
            text=True,
        )
    finally:
        manifest.write_bytes(good)
    assert done.returncode == 1
    assert "fps" in done.stderr
    assert frame.loc[0, "clip_id"] in done.stderr
