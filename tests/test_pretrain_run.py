"""The trainer: real clips, real steps, and what a step must be equal to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from pretrain_corpus import run, small_settings, write_corpus

from unisurg.models.checkpoints import CheckpointError, encoder_digest, load_encoder
from unisurg.models.exports import export_release
from unisurg.pretrain.data import Batches
from unisurg.pretrain.learner import Learner, make_learner
from unisurg.pretrain.masks import make_masks
from unisurg.pretrain.step import NonFiniteLoss, backward, train_step
from unisurg.pretrain.world import World
from unisurg.settings import Model, Pretrain, Settings

ALONE = World(0, 1, torch.device("cpu"))


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
def pixels(corpus: Path, small: Pretrain) -> torch.Tensor:
    with Batches(corpus, small, seed=0) as batches:
        return batches.at(0)


@pytest.fixture(scope="module")
def finished(corpus, small, model, tmp_path_factory) -> tuple[Path, dict, list[tuple[int, dict]]]:
    """One run to its end: its folder, its summary, and what it told of each step."""
    folder = tmp_path_factory.mktemp("finished")
    told: list[tuple[int, dict]] = []
    summary = run(
        corpus, folder, small, model, on_metrics=lambda step, values: told.append((step, values))
    )
    return folder, summary, told


def learner_of(settings: Pretrain, model: Model, start: Path | None = None) -> Learner:
    return make_learner(settings, model, 0, start, ALONE)


def gradients(settings: Pretrain, model: Model, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of every parameter, after one backward pass of step 1 from the same weights."""
    learner = learner_of(settings, model)
    backward(learner, pixels, 1, settings, 0, ALONE)
    return {n: p.grad for n, p in learner.networks.named_parameters() if p.grad is not None}


def with_objective(settings: Settings, name: str, **changes: Any) -> Pretrain:
    objective = settings.objectives[name].model_copy(update=changes)
    return small_settings(settings).model_copy(update={"objective": objective})


# --- a run


def test_a_run_leaves_an_encoder_a_history_and_pictures(finished, small) -> None:
    folder, summary, _ = finished
    encoder = load_encoder(folder / "encoder")
    assert summary["digest"] == encoder_digest(encoder)
    assert summary["steps"] == small.steps
    with (folder / "log" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(small.steps))
    for row in rows:
        step = int(row["step"])
        measured = step % small.health_every == 0 or step == small.steps - 1
        assert (row["rank_me"] != "") == (row["knn_source"] != "") == measured
        assert float(row["loss"]) > 0
        assert 0 <= float(row["waiting"]) <= 1
        assert float(row["memory_mib"]) > 50
    with np.load(folder / "log" / "pictures.npz") as pictures:
        assert pictures["clip"].shape == (2, 4, 48, 48, 3)
        assert pictures["mask"].shape == pictures["motion"].shape == (2, 2, 3, 3)
        assert pictures["pca"].shape == (2, 2, 3, 3, 3)
        assert pictures["mask"].dtype == bool


def test_no_clips_for_the_online_probe_switch_it_off(corpus, small, model, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    off = small.model_copy(update={"knn_clips": 0})
    run(corpus, tmp_path, off, model, on_metrics=lambda _, values: rows.append(values))
    assert len(rows) == small.steps
    assert not any("knn_source" in row for row in rows)


def test_every_step_is_told_as_it_happens(finished, small) -> None:
    _, _, told = finished
    assert [step for step, _ in told] == list(range(small.steps))
    wanted = {"loss", "motion", "affinity", "diversity", "lr", "ema", "grad_norm", "waiting"}
    assert wanted <= told[0][1].keys()


def test_a_finished_run_leaves_no_state_to_resume(finished) -> None:
    folder, _, _ = finished
    assert not list(folder.rglob("*.pt"))


def test_the_exported_encoder_is_the_target_and_has_moved(finished, small, model) -> None:
    folder, _, _ = finished
    start = learner_of(small, model)
    assert encoder_digest(folder / "encoder") != encoder_digest(start.judge)


def test_the_second_stage_starts_from_the_first_ones_weights(
    finished, corpus, small, model, tmp_path: Path
) -> None:
    first = finished[0] / "encoder"
    learner = make_learner(small, model, 7, first, ALONE)
    assert encoder_digest(learner.encoder) == encoder_digest(learner.judge)
    assert encoder_digest(learner.encoder) == encoder_digest(first) == learner.started_from
    other = make_learner(small, model, 8, first, ALONE)
    assert encoder_digest(learner.networks.predictor) == encoder_digest(other.networks.predictor)
    longer = small.model_copy(update={"frames": 8, "batch": 1, "steps": 1})
    run(corpus, tmp_path, longer, model, start_from=first)


def test_published_weights_are_a_start_with_their_predictor(small, model, tmp_path: Path) -> None:
    like_published = model.model_copy(update={"rotary": "vjepa2"})
    theirs = make_learner(small, like_published, 3, None, ALONE).networks
    export_release(tmp_path / "vit.pt", theirs.encoder, theirs.predictor)
    ours = learner_of(small, like_published, tmp_path / "vit.pt").networks
    assert encoder_digest(ours) == encoder_digest(theirs)
    assert encoder_digest(ours) != encoder_digest(learner_of(small, like_published).networks)


def test_an_encoder_of_another_architecture_is_no_start(finished, small, model) -> None:
    for change in ({"encoder": "tiny"}, {"rotary": "vjepa2"}):
        with pytest.raises(CheckpointError, match=r"encoder: holds .*; params.yaml asks for"):
            learner_of(small, model.model_copy(update=change), finished[0] / "encoder")


@pytest.mark.parametrize("name", ["paper", "vjepa", "videomae"])
def test_every_preset_runs_to_an_encoder(settings, corpus, model, name, tmp_path) -> None:
    section = with_objective(settings, name).model_copy(update={"steps": 2, "warmup_steps": 1})
    told: list[dict] = []
    run(corpus, tmp_path, section, model, on_metrics=lambda _, values: told.append(values))
    addends = {"motion", "affinity", "diversity", "pixel"} & told[0].keys()
    wanted = {"paper": {"motion", "affinity", "diversity"}, "vjepa": {"motion"}}
    assert addends == wanted.get(name, {"pixel"})
    assert load_encoder(tmp_path / "encoder").size == load_encoder(tmp_path / "encoder").size
    assert (tmp_path / "encoder" / "predictor.safetensors").is_file() == (name != "videomae")


def test_pixels_alone_need_no_target_encoder_and_the_trained_one_is_exported(
    settings, model
) -> None:
    learner = learner_of(with_objective(settings, "videomae"), model)
    assert learner.teacher is None
    assert learner.networks.predictor is None
    assert learner.judge is learner.encoder


def test_latents_and_pixels_can_be_learnt_together(settings, model, pixels) -> None:
    both = with_objective(settings, "dense", pixel_weight=0.5)
    learner = learner_of(both, model)
    seen = backward(learner, pixels, 1, both, 0, ALONE)
    weighted = (
        seen["motion"] + 0.1 * seen["affinity"] + 0.3 * seen["diversity"] + 0.5 * seen["pixel"]
    )
    torch.testing.assert_close(seen["loss"], weighted)
    assert all(p.grad is not None for p in learner.parameters())


# --- what a step is equal to


def assert_same_gradients(one: dict, other: dict, relative: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        error = float((gradient - other[name]).norm())
        assert error <= relative * float(gradient.norm()) + 1e-8, name


def test_accumulated_parts_are_the_whole_batch(settings, model, corpus) -> None:
    """Apart from diversity, which looks at the tokens of a part together."""
    whole = with_objective(settings, "dense", diversity_weight=0.0).model_copy(update={"batch": 4})
    parts = whole.model_copy(update={"accumulate": 2})
    with Batches(corpus, whole, seed=0) as batches:
        pixels = batches.at(0)
    assert_same_gradients(gradients(whole, model, pixels), gradients(parts, model, pixels))


def test_activation_checkpointing_changes_no_gradient(small, model, pixels) -> None:
    saving = small.model_copy(update={"activation_checkpointing": True})
    assert_same_gradients(gradients(small, model, pixels), gradients(saving, model, pixels))


def test_compile_reaches_every_network_that_a_step_runs(small, model, monkeypatch) -> None:
    """That compiled blocks give the eager numbers is a test of the models."""
    compiled: list[Any] = []
    monkeypatch.setattr("unisurg.pretrain.learner.compile_blocks", compiled.append)
    learner_of(small, model)
    assert compiled == []
    learner = learner_of(small.model_copy(update={"compile": True}), model)
    assert compiled == [learner.encoder, learner.networks.predictor, learner.teacher]


def test_padded_masks_of_unequal_length_are_each_clip_by_itself(small, model, pixels) -> None:
    masks = small.masks.model_copy(update={"ratio": None, "truncate": "none"})
    networks = learner_of(small, model).networks.eval()
    clip = torch.randn(2, 3, 8, 96, 96)
    grid = networks.encoder.grid(8, 96, 96)
    drawn = next(
        found
        for step in range(50)
        if (found := make_masks(masks, 0, 0, step, 2, grid)).hidden_valid is not None
        and not bool(found.hidden_valid.all())
    )
    with torch.no_grad():
        together = networks(clip, drawn, 0)["latents"]
        for sample in range(2):
            one = drawn.of_rank(sample, 2)
            seen, hidden = one.keep_valid[0], one.hidden_valid[0]
            context = networks.encoder(clip[sample : sample + 1], one.keep[:, seen])
            alone = networks.predictor(context, one.keep[:, seen], one.hidden[:, hidden], grid, 0)
            torch.testing.assert_close(together[sample, hidden], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("truncate", ["prefix", "random", "none"])
def test_published_masks_train_under_every_truncation(small, model, pixels, truncate) -> None:
    masks = small.masks.model_copy(update={"ratio": None, "truncate": truncate})
    section = small.model_copy(update={"masks": masks})
    for gradient in gradients(section, model, pixels).values():
        assert torch.isfinite(gradient).all()


def test_bfloat16_takes_nearly_the_same_gradient(small, model, pixels) -> None:
    """Per parameter, not as a global norm: a wrong bias hides in a norm."""
    exact = gradients(small, model, pixels)
    rough = gradients(small.model_copy(update={"precision": "bfloat16"}), model, pixels)
    for name, gradient in exact.items():
        error = float((gradient - rough[name]).norm())
        assert error <= 0.1 * float(gradient.norm()) + 1e-5, name


def test_only_matrices_decay(small, model) -> None:
    learner = learner_of(small, model)
    tokens = learner.networks.predictor.mask_tokens
    for group in learner.optimiser.param_groups:
        for parameter in group["params"]:
            is_matrix = parameter.ndim == 2 and parameter is not tokens
            assert (group["weight_decay"] > 0) == is_matrix
    counted = sum(len(group["params"]) for group in learner.optimiser.param_groups)
    assert counted == len(learner.parameters())


def test_the_same_batch_over_and_over_is_learnt(small, model, pixels) -> None:
    learner = learner_of(small, model)
    told = []
    for _ in range(40):
        learner.optimiser.zero_grad()
        told.append({k: float(v) for k, v in backward(learner, pixels, 1, small, 0, ALONE).items()})
        learner.optimiser.step()
    assert told[-1]["loss"] < 0.8 * told[0]["loss"]
    assert told[-1]["affinity"] < 0.5 * told[0]["affinity"]


def test_a_loss_that_is_no_number_stops_before_the_step_and_keeps_the_batch(
    corpus, small, model, tmp_path: Path, monkeypatch
) -> None:
    def poisoned(learner, *arguments) -> dict[str, torch.Tensor]:
        seen = backward(learner, *arguments)
        before.append(encoder_digest(learner.encoder))
        learners.append(learner)
        return seen | {"loss": torch.tensor(float("nan"))}

    before: list[str] = []
    learners: list[Any] = []
    monkeypatch.setattr("unisurg.pretrain.step.backward", poisoned)
    with pytest.raises(NonFiniteLoss, match=r"step 0: loss nan.*non_finite_step_000000"):
        run(corpus, tmp_path, small, model)
    assert encoder_digest(learners[0].encoder) == before[0]
    (saved,) = tmp_path.rglob("non_finite_*.pt")
    batch = torch.load(saved, weights_only=True)["clip"]
    with Batches(corpus, small, 0) as batches:
        assert torch.equal(batch, batches.at(0))


def test_memory_stays_flat_over_500_steps(small, model, tmp_path) -> None:
    tiny = small.model_copy(update={"size_px": 32, "steps": 500, "health_every": 50})
    learner = learner_of(tiny, model)
    pixels = torch.randint(0, 255, (2, 4, 32, 32, 3), dtype=torch.uint8)
    held = []
    for step in range(tiny.steps):
        train_step(learner, pixels, step, tiny, 0, ALONE, tmp_path)
        held.append(psutil.Process().memory_info().rss / 2**20)
    slope = np.polyfit(np.arange(100, tiny.steps), held[100:], 1)[0]
    assert 400 * slope < 20, f"grew by {400 * slope:.0f} MiB in 400 steps"
