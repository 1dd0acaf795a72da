"""Many processes: the numbers of one, whatever their kind and count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pretrain_corpus import in_process, killed_at, write_corpus

from unisurg.models.checkpoints import load_encoder
from unisurg.pretrain.log import read_history
from unisurg.settings import load

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (
    "tracking.enabled=false", "pretrain.steps=3", "pretrain.frames=4", "pretrain.size_px=48",
    "pretrain.batch=4", "pretrain.warmup_steps=1", "pretrain.knn_clips=6",
    "pretrain.checkpoint_every=2", "pretrain.masks.ratio=null", "pretrain.masks.truncate=none",
)  # fmt: skip
ADDENDS = {"loss", "motion", "affinity", "diversity", "knn_source"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "curated")


def command(corpus: Path, output: Path, processes: int, *settings: str) -> list[str]:
    """`unisurg pretrain` in a process of its own, or in several under torchrun."""
    start = ["-m", "unisurg"]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        start = [*launcher, "--standalone", *start]
    changes = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    files = ["--input", str(corpus), "--output", str(output)]
    return [sys.executable, *start, "pretrain", *files, *changes]


def pretrain(corpus: Path, output: Path, processes: int, *settings: str) -> None:
    done = subprocess.run(
        command(corpus, output, processes, *settings),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def one(corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    pretrain(corpus, folder, 1)
    return folder


def assert_same_run(one: Path, other: Path) -> None:
    expected, found = (read_history(f / "log" / "history.csv") for f in (one, other))
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.keys() == ours.keys()
        for name in ADDENDS & ours.keys():
            assert theirs[name] == pytest.approx(ours[name], rel=2e-5), name
        # Adam makes a step of 1e-3 even of a gradient that is rounding alone.
        tolerance = 1e-5 if ours["step"] == 0 else 1e-3
        assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=tolerance)
    ours, theirs = (load_encoder(folder / "encoder").state_dict() for folder in (one, other))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-3, rtol=0)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_take_the_steps_of_one(one, corpus, parallel, tmp_path: Path) -> None:
    """Ragged masks, all addends: also diversity, which is over the tokens of all processes."""
    pretrain(corpus, tmp_path, 2, f"pretrain.parallel={parallel}")
    assert_same_run(one, tmp_path)


def test_a_killed_run_of_one_process_is_ended_by_two_that_split_the_weights(
    one, corpus, tmp_path: Path
) -> None:
    settings = load(ROOT / "params.yaml", [*SETTINGS, "pretrain.checkpoint_every=1"])
    died = in_process(killed_at, 2, corpus, tmp_path, settings.pretrain, settings.model)
    assert died == -signal.SIGKILL
    pretrain(corpus, tmp_path, 2, "pretrain.parallel=fsdp")
    summary = json.loads((tmp_path / "log" / "summary.json").read_text())
    assert summary["resumed_at"] == 2
    assert_same_run(one, tmp_path)


def test_a_batch_that_processes_cannot_share_is_refused_by_name(corpus, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"pretrain\.batch"):
        pretrain(corpus, tmp_path, 2, "pretrain.batch=3")
