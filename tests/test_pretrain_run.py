"""Data and trainer: real clips, real steps, a process really killed."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretrain_corpus import SIDE, VIDEOS, write_corpus

from unisurg.corpus.manifest import ManifestError, write_manifest
from unisurg.models.checkpoints import encoder_digest, load_encoder
from unisurg.pretrain import resume
from unisurg.pretrain.data import Batches, ClipStore, EmptyCorpus, prefetched
from unisurg.pretrain.trainer import NonFiniteLoss, backward, make_learner, train
from unisurg.settings import Model, Pretrain, Settings
from unisurg.video.transforms import crop_and_resize, random_box, random_resized_crop

STEPS = 6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "curated")


@pytest.fixture(scope="module")
def small(settings: Settings) -> Pretrain:
    return settings.pretrain.model_copy(
        update={
            "frames": 4,
            "size_px": 48,
            "batch": 2,
            "steps": STEPS,
            "warmup_steps": 2,
            "checkpoint_every": 2,
            "health_every": 2,
        }
    )


@pytest.fixture(scope="module")
def model(settings: Settings) -> Model:
    return settings.model


def run(corpus: Path, folder: Path, settings: Pretrain, model: Model, **options: Any) -> dict:
    given = {"seed": 0, "start_from": None, "on_metrics": lambda step, values: None} | options
    return train(
        corpus=corpus,
        settings=settings,
        model=model,
        output=folder / "output",
        scratch=folder / "scratch",
        **given,
    )


def weights(folder: Path) -> bytes:
    return (folder / "output" / "encoder" / "encoder.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(corpus, small, model, tmp_path_factory) -> tuple[Path, dict, list[tuple[int, dict]]]:
    """One run to its end: its folder, its summary, and what it told of each step."""
    folder = tmp_path_factory.mktemp("finished")
    told: list[tuple[int, dict]] = []
    summary = run(
        corpus, folder, small, model, on_metrics=lambda step, values: told.append((step, values))
    )
    return folder, summary, told


# --- data


def test_a_batch_is_the_same_whatever_was_read_before(corpus, small) -> None:
    fresh, used = Batches(corpus, small, seed=0), Batches(corpus, small, seed=0)
    for step in (5, 2, 9):
        used.at(step)
    assert torch.equal(fresh.at(3), used.at(3))
    assert fresh.at(3).shape == (2, 4, 48, 48, 3)
    assert fresh.at(3).dtype == torch.uint8
    assert not torch.equal(fresh.at(3), fresh.at(4))


def test_prefetched_batches_come_in_order_and_are_those_of_the_step(corpus, small) -> None:
    batches = Batches(corpus, small, seed=0)
    for step, clip in zip(range(2, 7), prefetched(batches.at, range(2, 7)), strict=True):
        assert torch.equal(clip, Batches(corpus, small, seed=0).at(step))


def test_an_error_while_prefetching_reaches_the_trainer() -> None:
    def fail(step: int) -> torch.Tensor:
        raise EmptyCorpus(f"step {step}")

    with pytest.raises(EmptyCorpus, match="step 4"):
        list(prefetched(fail, range(4, 6)))


def test_the_cache_stays_within_its_bound_and_changes_no_pixel(corpus, monkeypatch) -> None:
    video = SIDE * SIDE * 3
    monkeypatch.setattr("unisurg.pretrain.data.MIB", video)
    generous, tight, none = (ClipStore(corpus, frames) for frames in (1000, 56, 4))
    frames = np.array([0, 2, 1])
    for row in (0, 1, 2, 0):
        expected = generous.read(row, frames)
        assert np.array_equal(tight.read(row, frames), expected)
        assert np.array_equal(none.read(row, frames), expected)
        assert tight.cached_bytes <= 56 * video
    assert generous.cached_bytes == sum(n for _, n in VIDEOS.values()) * video
    assert none.cached_bytes == 0


def test_a_corpus_that_is_none_says_what_to_do(tmp_path: Path, small) -> None:
    with pytest.raises(
        ManifestError, match=r"manifest\.parquet: no such file; run `unisurg curate`"
    ):
        Batches(tmp_path, small, 0)
    write_manifest(tmp_path, [])
    with pytest.raises(EmptyCorpus, match="no clips; see quarantine"):
        Batches(tmp_path, small, 0)


# --- transforms


def test_a_crop_lies_in_the_picture_and_has_the_area_it_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        top, left, height, width = random_box(60, 80, (0.4, 0.6), rng)
        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        areas.append(height * width / 4800)
    assert min(areas) > 0.38
    assert max(areas) < 0.62
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_one_crop_holds_for_every_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    clip = np.repeat(frame, 5, axis=0)
    out = random_resized_crop(clip, 16, (0.3, 0.9), True, np.random.default_rng(1))
    assert torch.equal(out, out[:1].expand_as(out))


def test_a_crop_at_its_own_size_is_the_pixels_themselves() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (2, 40, 50, 3), dtype=np.uint8)
    out = crop_and_resize(clip, (3, 7, 16, 16), 16)
    assert np.array_equal(out.numpy(), clip[:, 3:19, 7:23])


def test_mirroring_is_the_same_crop_mirrored() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)
    mirrored = 0
    for seed in range(20):
        plain, maybe = (
            random_resized_crop(clip, 16, (0.3, 0.9), flip, np.random.default_rng(seed))
            for flip in (False, True)
        )
        if not torch.equal(plain, maybe):
            assert torch.equal(plain.flip(2), maybe)
            mirrored += 1
    assert 4 <= mirrored <= 16


# --- trainer


def test_a_run_leaves_an_encoder_a_history_and_pictures(finished, small) -> None:
    folder, summary, _ = finished
    encoder = load_encoder(folder / "output" / "encoder")
    assert summary["digest"] == encoder_digest(encoder)
    assert summary["steps"] == STEPS
    with (folder / "output" / "log" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(STEPS))
    for row in rows:
        measured = int(row["step"]) % small.health_every == 0 or int(row["step"]) == STEPS - 1
        assert (row["rank_me"] != "") == measured
        assert float(row["loss"]) > 0
    with np.load(folder / "output" / "log" / "pictures.npz") as pictures:
        assert pictures["clip"].shape == (2, 4, 48, 48, 3)
        assert pictures["mask"].shape == pictures["motion"].shape == (2, 2, 3, 3)
        assert pictures["mask"].dtype == bool


def test_every_step_is_told_as_it_happens(finished) -> None:
    _, _, told = finished
    assert [step for step, _ in told] == list(range(STEPS))
    assert {"loss", "motion", "affinity", "diversity", "lr", "ema", "grad_norm"} <= told[0][
        1
    ].keys()


def test_a_finished_run_leaves_no_state_to_resume(finished) -> None:
    folder, _, _ = finished
    assert not list((folder / "scratch").rglob(resume.CHECKPOINT))


def test_the_exported_encoder_is_the_target_and_has_moved(finished, small, model) -> None:
    folder, _, _ = finished
    start = make_learner(small, model, 0, None, torch.device("cpu"))
    assert encoder_digest(folder / "output" / "encoder") != encoder_digest(start.teacher)


def killed_at(step: int, corpus: Path, folder: Path, settings: Pretrain, model: Model) -> None:
    """Train in this process and die at `step` as if the power had failed."""

    def kill(now: int, values: dict[str, float]) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    run(corpus, folder, settings, model, on_metrics=kill)


def test_a_killed_run_resumed_from_its_last_checkpoint_ends_in_the_same_bits(
    finished, corpus, small, model, tmp_path: Path
) -> None:
    whole, _, _ = finished
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=killed_at, args=(4, corpus, tmp_path, small, model))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    told: list[int] = []
    summary = run(corpus, tmp_path, small, model, on_metrics=lambda step, _: told.append(step))
    assert summary["resumed_at"] == 4
    assert told == list(range(STEPS))
    assert weights(tmp_path) == weights(whole)


def test_a_changed_setting_is_another_run(finished, corpus, small, model, tmp_path: Path) -> None:
    whole, _, _ = finished
    changed = small.model_copy(update={"lr": small.lr / 2})
    keys = {
        resume.run_key(section, model, seed, corpus / "manifest.parquet", start)
        for section, seed, start in [
            (small, 0, None),
            (changed, 0, None),
            (small, 1, None),
            (small, 0, "x"),
        ]
    }
    assert len(keys) == 4
    run(corpus, tmp_path, changed, model)
    assert weights(tmp_path) != weights(whole)


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    with (
        resume.run_folder(tmp_path, "key"),
        pytest.raises(resume.RunLocked, match="another process"),
        resume.run_folder(tmp_path, "key"),
    ):
        pass
    with resume.run_folder(tmp_path, "key"):
        pass


def test_the_second_stage_starts_from_the_first_ones_weights(
    finished, corpus, small, model, tmp_path: Path
) -> None:
    first = finished[0] / "output" / "encoder"
    learner = make_learner(small, model, 7, first, torch.device("cpu"))
    assert encoder_digest(learner.encoder) == encoder_digest(learner.teacher)
    assert encoder_digest(learner.encoder) == encoder_digest(first)
    other = make_learner(small, model, 8, first, torch.device("cpu"))
    assert encoder_digest(learner.predictor) == encoder_digest(other.predictor)
    longer = small.model_copy(update={"frames": 8, "batch": 1, "steps": 1})
    run(corpus, tmp_path, longer, model, start_from=first)


def test_an_encoder_of_another_size_is_no_start(finished, small, model) -> None:
    tiny = model.model_copy(update={"encoder": "tiny"})
    with pytest.raises(ValueError, match=r"nano encoder .* model asks for tiny"):
        make_learner(small, tiny, 0, finished[0] / "output" / "encoder", torch.device("cpu"))


def test_a_loss_that_is_no_number_stops_before_the_step_and_keeps_the_batch(
    corpus, small, model, tmp_path: Path, monkeypatch
) -> None:
    def poisoned(learner, *arguments) -> dict[str, float]:
        seen = backward(learner, *arguments)
        before.append(encoder_digest(learner.encoder))
        learners.append(learner)
        return seen | {"loss": float("nan")}

    before: list[str] = []
    learners: list[Any] = []
    monkeypatch.setattr("unisurg.pretrain.trainer.backward", poisoned)
    with pytest.raises(NonFiniteLoss, match=r"step 0: loss nan.*non_finite_step_000000\.pt"):
        run(corpus, tmp_path, small, model)
    assert encoder_digest(learners[0].encoder) == before[0]
    (saved,) = (tmp_path / "scratch").rglob("non_finite_*.pt")
    batch = torch.load(saved, weights_only=True)["clip"]
    assert torch.equal(batch, Batches(corpus, small, 0).at(0))


def test_bfloat16_takes_nearly_the_same_gradient(corpus, small, model) -> None:
    """Per parameter, not as a global norm: a wrong bias hides in a norm."""
    pixels = Batches(corpus, small, 0).at(0)
    gradients = []
    for precision in ("float32", "bfloat16"):
        section = small.model_copy(update={"precision": precision})
        learner = make_learner(section, model, 0, None, torch.device("cpu"))
        backward(learner, pixels, 1, section, 0)
        gradients.append([p.grad for p in learner.parameters()])
    for exact, rough in zip(*gradients, strict=True):
        assert float((exact - rough).norm()) <= 0.1 * float(exact.norm()) + 1e-5


def test_only_matrices_decay(small, model) -> None:
    learner = make_learner(small, model, 0, None, torch.device("cpu"))
    for group in learner.optimiser.param_groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.ndim == 2)
    counted = sum(len(group["params"]) for group in learner.optimiser.param_groups)
    assert counted == len(learner.parameters())


def test_the_same_batch_over_and_over_is_learnt(corpus, small, model) -> None:
    learner = make_learner(small, model, 0, None, torch.device("cpu"))
    pixels = Batches(corpus, small, 0).at(0)
    told = []
    for _ in range(40):
        learner.optimiser.zero_grad()
        told.append(backward(learner, pixels, 1, small, 0))
        learner.optimiser.step()
    assert told[-1]["loss"] < 0.8 * told[0]["loss"]
    assert told[-1]["affinity"] < 0.5 * told[0]["affinity"]
