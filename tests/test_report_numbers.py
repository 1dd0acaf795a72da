"""results.json: every main number with its metric, split and run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unisurg.report import numbers
from unisurg.settings import Settings

METRIC = "f1_sm_per_video_unrelaxed"
RUN = {"run_id": "f" * 32, "commit": "c" * 40, "dirty": False}


def value(mean: float) -> dict[str, object]:
    return {METRIC: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "seeds": [mean]}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = {
        "benchmark": "cholec80", "task": "phase", "split": "theatre", "cases": {"test": 3},
        "clips": {}, "unit": "video", "protocol": "dense", "window": "causal",
        "lookahead_s": 0.0, "frames": 16, "fps": 1.0, "kind": "attentive", "main": METRIC,
        "pretrained": value(0.6), "random": value(0.4), "difference": value(0.2),
        "baselines": {"dino": {"metrics": value(0.5), "difference": value(0.1)}},
    }  # fmt: skip
    (tmp_path / "metrics/finetune").mkdir(parents=True)
    (tmp_path / "metrics/cholec80.json").write_text(json.dumps(found))
    tuned = {"main": METRIC, "pretrained": value(0.7)}
    (tmp_path / "metrics/finetune/polypdiag.json").write_text(json.dumps(tuned))
    (tmp_path / "artifacts/runs").mkdir(parents=True)
    (tmp_path / "artifacts/runs/probe-cholec80.run.json").write_text(json.dumps(RUN))
    return tmp_path


def written(root: Path, settings: Settings) -> list[dict[str, object]]:
    path = numbers.write(root, settings, root / "reports/results.json")
    return json.loads(path.read_text())["numbers"]


def test_every_encoder_has_a_row_with_metric_split_interval_and_run(root, settings):
    rows = {(row["benchmark"], row["encoder"]): row for row in written(root, settings)}
    assert [encoder for name, encoder in rows if name == "cholec80"] == [
        "pretrained", "random", "pretrained minus random", "dino", "pretrained minus dino",
    ]  # fmt: skip
    row = rows["cholec80", "pretrained minus random"]
    assert (row["mean"], row["metric"], row["split"]) == (0.2, METRIC, "theatre")
    assert row["low"] < row["mean"] < row["high"]
    assert {name: row[name] for name in RUN} == RUN
    assert (row["file"], row["stage"]) == ("metrics/cholec80.json", "probe@cholec80")


def test_fine_tuning_has_rows_of_its_own_and_an_unknown_run_is_none(root, settings):
    (row,) = [row for row in written(root, settings) if row["method"] == "finetune"]
    assert (row["file"], row["mean"]) == ("metrics/finetune/polypdiag.json", 0.7)
    assert row["run_id"] is None


def test_what_a_failed_stage_left_before_is_not_among_them(root, settings):
    (root / "artifacts/runs/probe-cholec80.run.json").unlink()
    (root / "artifacts/attempts").mkdir()
    note = {"stage": "probe@cholec80", "began": "2026-01-01T00:00:00+00:00", "error": "no disk"}
    (root / "artifacts/attempts/probe-cholec80.json").write_text(json.dumps(note))
    assert {row["benchmark"] for row in written(root, settings)} == {"polypdiag"}


def test_without_any_result_there_is_an_empty_list(tmp_path, settings):
    assert written(tmp_path, settings) == []
