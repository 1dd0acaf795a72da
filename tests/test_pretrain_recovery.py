"""Never lost: processes really killed, disks really full, and what is left of a run then."""

from __future__ import annotations

import os
import resource as limits
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pretrain_corpus import in_process, killed_at, run, small_settings, weights, write_corpus

from unisurg.models.checkpoints import load_encoder, save_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.writing import CannotSave, RunLocked
from unisurg.pretrain import resume
from unisurg.pretrain.log import History, read_history
from unisurg.pretrain.world import World
from unisurg.settings import Model, Pretrain, Settings

ROOT = Path(__file__).resolve().parent.parent
ALONE = World(0, 1, torch.device("cpu"))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "curated")


@pytest.fixture(scope="module")
def small(settings: Settings) -> Pretrain:
    return small_settings(settings)


@pytest.fixture(scope="module")
def model(settings: Settings) -> Model:
    return settings.model


@pytest.fixture(scope="module")
def whole(corpus, small, model, tmp_path_factory) -> str:
    """The weights of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(corpus, folder, small, model)
    return weights(folder)


def killed_while_saving(corpus: Path, folder: Path, settings: Pretrain, model: Model) -> None:
    """Train in this process and die when the second checkpoint is written but not yet in place."""
    fsync, seen = os.fsync, []

    def die(descriptor: int) -> None:
        if "step_000004" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(fsync(descriptor))

    os.fsync = die
    run(corpus, folder, settings, model)


@pytest.mark.parametrize(("step", "resumed_at"), [(0, 0), (2, 2), (4, 4)])
def test_a_run_killed_at_any_step_and_resumed_ends_in_the_same_bits(
    whole, corpus, small, model, step, resumed_at, tmp_path: Path
) -> None:
    assert in_process(killed_at, step, corpus, tmp_path, small, model) == -signal.SIGKILL
    told: list[int] = []
    summary = run(corpus, tmp_path, small, model, on_metrics=lambda step, _: told.append(step))
    assert summary["resumed_at"] == resumed_at
    assert told == list(range(small.steps))
    assert weights(tmp_path) == whole


def test_a_run_killed_while_it_saves_goes_on_from_the_checkpoint_before(
    whole, corpus, small, model, tmp_path: Path
) -> None:
    assert in_process(killed_while_saving, corpus, tmp_path, small, model) == -signal.SIGKILL
    summary = run(corpus, tmp_path, small, model)
    assert summary["resumed_at"] == 2
    assert weights(tmp_path) == whole


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_resumed(
    whole, corpus, small, model, tmp_path: Path, capsys
) -> None:
    assert in_process(killed_at, 4, corpus, tmp_path, small, model) == -signal.SIGKILL
    newest = max(tmp_path.rglob("step_*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    summary = run(corpus, tmp_path, small, model)
    assert summary["resumed_at"] == 2
    assert "step_000004.pt: damaged" in capsys.readouterr().err
    assert weights(tmp_path) == whole


def test_a_sigterm_saves_and_ends_and_the_same_command_goes_on(
    whole, corpus, settings, tmp_path: Path
) -> None:
    # Many steps, so that there is time to ask; a step here takes a few hundredths of a second.
    command = [
        sys.executable, "-m", "unisurg", "pretrain", "--input", str(corpus),
        "--output", str(tmp_path / "run"), "--set", "tracking.enabled=false",
        "--set", "pretrain.steps=4000", "--set", "pretrain.checkpoint_every=4000",
        "--set", "pretrain.size_px=48", "--set", "pretrain.frames=4", "--set", "pretrain.batch=2",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (found := list(tmp_path.rglob("history.csv"))) or not read_history(found[0]):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM after step" in said
    (saved,) = tmp_path.rglob("step_*.pt")
    done = resume.read_state(saved, CPU)["step"]
    assert len(read_history(found[0])) == done
    shorter = [*command, "--set", f"pretrain.steps={done}"]
    refused = subprocess.run(shorter, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"pretrain.steps: 4000 -> {done}" in refused.stderr


def test_changed_settings_are_refused_by_name_unless_told_to_start_from_the_weights(
    corpus, small, model, tmp_path: Path
) -> None:
    assert in_process(killed_at, 4, corpus, tmp_path, small, model) == -signal.SIGKILL
    changed = small.model_copy(update={"lr": small.lr / 2, "workers": 2})
    with pytest.raises(resume.OtherRun) as caught:
        run(corpus, tmp_path, changed, model, seed=1)
    said = str(caught.value)
    assert "pretrain.lr: 0.001 -> 0.0005" in said
    assert "seed: 0 -> 1" in said
    assert "workers" not in said
    weights_of_run = max(tmp_path.rglob("step_*.pt"))
    assert f"--start-from {weights_of_run}" in said
    summary = run(corpus, tmp_path, changed, model, seed=1, start_from=weights_of_run)
    assert summary["resumed_at"] == 0
    assert not list(tmp_path.rglob("step_*.pt"))
    load_encoder(tmp_path / "encoder")


def test_settings_that_move_no_weight_may_change_on_the_way(
    whole, corpus, small, model, tmp_path: Path
) -> None:
    assert in_process(killed_at, 4, corpus, tmp_path, small, model) == -signal.SIGKILL
    other = small.model_copy(update={"workers": 2, "prefetch": 3, "checkpoint_every": 1})
    assert run(corpus, tmp_path, other, model)["resumed_at"] == 4
    assert weights(tmp_path) == whole


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    with (
        resume.run_folder(tmp_path, {"seed": 0}, None, ALONE),
        pytest.raises(RunLocked, match="another process"),
        resume.run_folder(tmp_path, {"seed": 0}, None, ALONE),
    ):
        pass
    with resume.run_folder(tmp_path, {"seed": 0}, None, ALONE):
        pass


def test_the_newest_checkpoints_and_the_newest_of_the_best_are_kept(tmp_path: Path) -> None:
    for step, value in ((2, 0.9), (4, 0.9), (6, 0.7), (8, 0.8)):
        path = resume.save(tmp_path, step, {"step": step}, keep=2)
        resume.mark_best(tmp_path, path, "knn_source", value)
    assert [path.name for path in resume.checkpoints(tmp_path)] == [
        "step_000006.pt", "step_000008.pt",
    ]  # fmt: skip
    assert resume.read_state(tmp_path / resume.BEST, CPU) == {"step": 4}
    assert not list(tmp_path.glob("*.part"))


def full_disk(folder: Path, report: Path) -> None:
    """Save a second checkpoint where files may not grow beyond a few kilobytes."""
    resume.save(folder, 2, {"step": 2}, keep=2)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits.setrlimit(limits.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        resume.save(folder, 4, {"step": 4, "weights": torch.zeros(100_000)}, keep=2)
    except CannotSave as error:
        report.write_text(str(error))


def test_a_full_disk_is_told_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    folder, report = tmp_path / "run", tmp_path / "said"
    folder.mkdir()
    assert in_process(full_disk, folder, report) == 0
    assert "step_000004.pt: cannot be written" in report.read_text()
    assert "free space" in report.read_text()
    assert [path.name for path in folder.iterdir()] == ["step_000002.pt"]
    assert resume.load(folder, CPU) == {"step": 2}


def full_disk_at_the_end(folder: Path, report: Path) -> None:
    """Write an encoder over another where files may not grow beyond a few kilobytes."""
    encoder = VisionTransformer("nano", (2, 16, 16), drop_path=0.0)
    save_encoder(folder, encoder, {})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits.setrlimit(limits.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        save_encoder(folder, encoder, {"steps": 2})
    except CannotSave as error:
        report.write_text(str(error))


def test_an_export_on_a_full_disk_is_told_and_the_encoder_before_stays(tmp_path: Path) -> None:
    folder, report = tmp_path / "encoder", tmp_path / "said"
    assert in_process(full_disk_at_the_end, folder, report) == 0
    assert "encoder.safetensors: cannot be written" in report.read_text()
    load_encoder(folder)


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(
    corpus, small, model
) -> None:
    told: list[int] = []
    with pytest.raises(CannotSave, match=r"/proc/unisurg/.*make the folder writable"):
        run(
            corpus,
            Path("/proc/unisurg"),
            small,
            model,
            on_metrics=lambda step, _: told.append(step),
        )
    assert told == []


def test_a_history_drops_what_came_after_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    with History(path, 0, write=True) as history:
        for step in range(4):
            history.append({"step": float(step), "loss": 0.5, "knn_chance": 0.25})
    with path.open("a") as file:
        file.write("4,0.")
    assert [row["step"] for row in read_history(path)] == [0, 1, 2, 3]
    with History(path, 3, write=True) as history:
        history.append({"step": 3.0, "loss": 0.4})
    assert [row["loss"] for row in read_history(path)] == [0.5, 0.5, 0.5, 0.4]
