"""The addends of the objective: by hand, against sums written out, ragged and distributed."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from unisurg.models.encoder import VisionTransformer
from unisurg.pretrain.objectives import (
    Latents,
    Pixels,
    affinity_distillation_loss,
    feature_diversity_loss,
    motion_guided_loss,
    patches_of,
    pixel_reconstruction_loss,
    total_loss,
)
from unisurg.settings import Objective, Settings

SHAPE = (3, 7, 5)
GRID = (2, 2, 3)
PRESETS = ["paper", "dense", "vjepa", "videomae"]


@pytest.fixture
def latents() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, *SHAPE, generator=draw, dtype=torch.float64)
    return prediction.requires_grad_(), target, torch.rand(*SHAPE[:2], generator=draw)


def changed(settings: Settings, preset: str, **fields: object) -> Objective:
    return Objective.model_validate({**dict(settings.objectives[preset]), **fields})


# --- motion-guided latent prediction


def test_motion_guided_loss_worked_by_hand() -> None:
    """Errors 1, 2, 4 and scores 0, ln 2, ln 4 with gamma 1: the weights are 1/3 and 2/3."""
    prediction = torch.tensor([[[1.0, -1.0], [2.0, 2.0], [4.0, -4.0]]])
    scores = torch.tensor([[0.0, math.log(2), math.log(4)]])

    def loss(**options) -> float:
        zero = torch.zeros_like(prediction)
        return float(motion_guided_loss(prediction, zero, scores, top_k=2, gamma=1.0, **options))

    literal = (1 + 1 / 3) * 2 + (1 + 2 / 3) * 4
    assert loss() == pytest.approx(literal)
    assert loss(base_weight=0.5) == pytest.approx(literal + 0.5 * 1)
    assert loss(reduce="sum") == pytest.approx(2 * literal)
    assert loss(tokens="mean") == pytest.approx(literal / 3)
    assert loss(tokens="mean", base_weight=1.0) == pytest.approx((literal + 1) / 4)


def test_with_no_token_singled_out_the_mean_is_v_jepas_dense_l1(latents) -> None:
    prediction, target, scores = latents
    for motion in (scores, None):
        dense = motion_guided_loss(
            prediction, target, motion, top_k=0, base_weight=1.0, tokens="mean"
        )
        torch.testing.assert_close(dense, F.l1_loss(prediction, target))
    summed = motion_guided_loss(prediction, target, None, top_k=0, base_weight=0.5)
    torch.testing.assert_close(summed, 0.5 * SHAPE[1] * F.l1_loss(prediction, target))


def test_weights_that_are_all_zero_are_refused(latents) -> None:
    with pytest.raises(ValueError, match=r"top_k 0 and base_weight 0.*raise one"):
        motion_guided_loss(*latents, top_k=0, base_weight=0.0)


def test_only_the_tokens_that_move_most_are_taught_when_read_literally(latents) -> None:
    prediction, target, scores = latents
    motion_guided_loss(prediction, target, scores).backward()
    taught = prediction.grad.abs().sum(dim=-1) > 0
    highest = torch.zeros(SHAPE[:2], dtype=torch.bool).scatter(1, scores.topk(3).indices, True)
    assert torch.equal(taught, highest)


def test_with_fewer_tokens_than_k_all_are_singled_out(latents) -> None:
    prediction, target, scores = latents
    torch.testing.assert_close(
        motion_guided_loss(prediction, target, scores, top_k=50),
        motion_guided_loss(prediction, target, scores, top_k=SHAPE[1]),
    )


def test_motion_weights_survive_scores_that_would_overflow(latents) -> None:
    prediction, target, scores = latents
    assert torch.isfinite(motion_guided_loss(prediction, target, scores * 1e4, gamma=10.0))


@pytest.mark.parametrize("name", ["prediction", "scores"])
def test_shapes_that_do_not_belong_together_are_refused(name: str) -> None:
    good = torch.zeros(2, 4, 3)
    prediction = good[:, :3] if name == "prediction" else good
    with pytest.raises(ValueError, match=name):
        motion_guided_loss(prediction, good, torch.zeros(2, 5))


# --- affinity self-distillation


def test_affinity_loss_is_the_divergence_written_out(latents) -> None:
    prediction, target, _ = latents
    expected = 0.0
    for guess, truth in zip(prediction.detach().numpy(), target.numpy(), strict=True):
        rows = []
        for x in (truth, guess):
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            a = np.exp(unit @ unit.T / 0.1)
            rows.append(a / a.sum(axis=1, keepdims=True))
        expected += (rows[0] * np.log(rows[0] / rows[1])).sum() / SHAPE[1] / SHAPE[0]
    assert affinity_distillation_loss(prediction, target).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_affinity_loss_worked_by_hand() -> None:
    """Two tokens, at a right angle in the target and alike in the prediction, temperature 1.

    A target row is (e, 1) / (e + 1), a predicted one (1/2, 1/2).
    """
    target = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    prediction = torch.tensor([[[2.0, 0.0], [1.0, 0.0]]])
    p = math.e / (math.e + 1)
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    found = affinity_distillation_loss(prediction, target, temperature=1.0)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_equal_affinities_cost_nothing_and_a_common_rotation_is_equal(latents) -> None:
    _, target, _ = latents
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    for same in (target, 3 * target, target @ rotation):
        assert float(affinity_distillation_loss(same, target)) == pytest.approx(0, abs=1e-12)
    assert float(affinity_distillation_loss(target.flip(1), target)) > 0


@pytest.mark.parametrize("held", [1, 3 * 7 * 2, 3 * 7 * 6])
def test_affinity_in_slices_is_affinity_at_once(monkeypatch, latents, held: int) -> None:
    prediction, target, _ = latents
    valid = torch.arange(7) < torch.tensor([[7], [4], [5]])
    for real in (None, valid):
        whole = affinity_distillation_loss(prediction, target, valid=real)
        (gradient,) = torch.autograd.grad(whole, prediction)
        with monkeypatch.context() as patch:
            patch.setattr("unisurg.pretrain.objectives.AFFINITIES", held)
            sliced = affinity_distillation_loss(prediction, target, valid=real)
            torch.testing.assert_close(sliced, whole)
            torch.testing.assert_close(torch.autograd.grad(sliced, prediction)[0], gradient)


def test_affinities_are_float32_under_autocast_too(latents) -> None:
    prediction, target = (x.detach().float() for x in latents[:2])
    with torch.autocast("cpu", torch.bfloat16):
        cast = affinity_distillation_loss(prediction, target)
    assert torch.equal(cast, affinity_distillation_loss(prediction, target))


PEAK = """
import sys, torch
from unisurg.pretrain.objectives import affinity_distillation_loss
torch.set_num_threads(1)
def step(tokens):
    x = torch.randn(1, tokens, 64, requires_grad=True)
    affinity_distillation_loss(x, torch.randn(1, tokens, 64)).backward()
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
step(64)
before = peak()
step(int(sys.argv[1]))
print(peak() - before)
"""


def test_affinities_of_6000_tokens_take_less_memory_than_one_of_their_matrices() -> None:
    """Loss and gradient at once would hold several matrices, of 137 MiB each."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "6000"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 137


# --- feature diversity


def test_diversity_loss_worked_by_hand() -> None:
    """Deviations (n - 1) of the three features: 0, sqrt(4/3), 2 against a floor of 1.5."""
    prediction = torch.tensor([[[5.0, 0.0, -2.0], [5.0, 2.0, 0.0], [5.0, 2.0, 2.0]]])
    expected = (1.5 + (1.5 - math.sqrt(4 / 3)) + 0) / 3
    assert float(feature_diversity_loss(prediction, 1.5)) == pytest.approx(expected, abs=1e-5)
    assert float(feature_diversity_loss(prediction, 0.0)) == 0


def test_a_collapsed_prediction_costs_the_floor_and_has_a_finite_gradient() -> None:
    prediction = torch.ones(2, 3, 4, requires_grad=True)
    loss = feature_diversity_loss(prediction, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(prediction.grad).all()


def test_a_small_deviation_about_a_large_mean_keeps_its_digits() -> None:
    small = 0.1 * torch.randn(8, 50, 4, generator=torch.Generator().manual_seed(0)).double()
    far = (small + 1000).float()
    torch.testing.assert_close(
        feature_diversity_loss(far, 1.0).double(),
        feature_diversity_loss(small, 1.0),
        atol=1e-4,
        rtol=0,
    )


def test_one_token_has_no_deviation() -> None:
    assert float(feature_diversity_loss(torch.ones(1, 1, 3), 0.5)) == pytest.approx(0.5, abs=1e-5)


# --- pixels


def test_pixel_loss_worked_by_hand() -> None:
    """A patch 1, 2, 3 has mean 2 and deviation 1: its target is -1, 0, 1."""
    patches = torch.tensor([[[1.0, 2.0, 3.0]]])
    prediction = torch.tensor([[[0.0, 0.0, 4.0]]])
    assert float(pixel_reconstruction_loss(prediction, patches)) == pytest.approx((1 + 0 + 9) / 3)
    raw = pixel_reconstruction_loss(prediction, patches, normalise=False)
    assert float(raw) == pytest.approx((1 + 4 + 1) / 3)


def test_normalised_pixels_do_not_know_brightness_and_contrast() -> None:
    draw = torch.Generator().manual_seed(0)
    prediction, patches = torch.rand(2, 2, 5, 12, generator=draw, dtype=torch.float64)
    loss = pixel_reconstruction_loss(prediction, patches)
    torch.testing.assert_close(
        pixel_reconstruction_loss(prediction, 0.3 * patches + 0.2), loss, rtol=1e-4, atol=0
    )
    unit = (patches - patches.mean(-1, keepdim=True)) / patches.std(-1, keepdim=True)
    assert float(pixel_reconstruction_loss(unit, patches)) == pytest.approx(0, abs=1e-9)
    flat = torch.full_like(patches, 0.5)
    torch.testing.assert_close(
        pixel_reconstruction_loss(prediction, flat), prediction.square().mean()
    )


def test_each_colour_is_normalised_by_itself_where_asked() -> None:
    draw = torch.Generator().manual_seed(0)
    prediction, patches = torch.rand(2, 2, 5, 12, generator=draw, dtype=torch.float64)
    tinted = patches * torch.tensor([1.0, 0.5, 0.2]).repeat_interleave(4)
    by_colour = [pixel_reconstruction_loss(prediction, x, channels=3) for x in (patches, tinted)]
    torch.testing.assert_close(*by_colour, rtol=1e-4, atol=0)
    parts = zip(prediction.split(4, -1), patches.split(4, -1), strict=True)
    alone = sum(pixel_reconstruction_loss(*part) for part in parts) / 3
    torch.testing.assert_close(by_colour[0], alone)
    with pytest.raises(ValueError, match="12 values do not divide into 5 parts"):
        pixel_reconstruction_loss(prediction, patches, channels=5)


def test_a_patch_is_what_the_encoder_embeds_and_lies_where_its_token_does() -> None:
    clip = torch.rand(2, 3, 4, 32, 48)
    patches = patches_of(clip, (2, 16, 16))
    assert patches.shape == (2, 12, 1536)
    token = 1 * 6 + 1 * 3 + 2  # second time step, second row, third column
    assert torch.equal(patches[1, token], clip[1, :, 2:4, 16:32, 32:48].flatten())
    encoder = VisionTransformer("nano", (2, 16, 16), 0.0)
    seen: list[Tensor] = []
    encoder.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(clip)
    assert torch.equal(seen[0], patches)
    with pytest.raises(ValueError, match=r"divisible by the tubelet \(2, 16, 16\)"):
        patches_of(clip[..., :40], (2, 16, 16))


# --- every function

ADDENDS = {
    "motion": lambda p, t, **o: motion_guided_loss(
        p, t, torch.linspace(0, 1, p.shape[1]).expand(p.shape[:2]), top_k=2, base_weight=0.5, **o
    ),
    "affinity": affinity_distillation_loss,
    "diversity": lambda p, t, **o: feature_diversity_loss(p, 5.0, **o),
    "pixel": pixel_reconstruction_loss,
}
every_addend = pytest.mark.parametrize("loss", ADDENDS.values(), ids=ADDENDS.keys())


@every_addend
def test_gradients_of_an_addend_are_those_of_finite_differences(loss, latents) -> None:
    prediction, target, _ = latents
    valid = torch.arange(SHAPE[1]) < torch.tensor([[7], [2], [5]])
    assert torch.autograd.gradcheck(lambda x: loss(x, target), [prediction])
    assert torch.autograd.gradcheck(lambda x: loss(x, target, valid=valid), [prediction])


@every_addend
def test_an_addend_in_float32_is_that_in_float64_and_bfloat16_is_widened(loss, latents) -> None:
    prediction, target = (x.detach() for x in latents[:2])
    assert float(loss(prediction.float(), target.float())) == pytest.approx(
        float(loss(prediction, target)), rel=1e-5
    )
    coarse = [x.bfloat16() for x in (prediction, target)]
    found = loss(*coarse)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(*(x.float() for x in coarse)))


@every_addend
def test_padding_changes_nothing(loss, latents) -> None:
    """Whatever stands in the padding, and whatever length the batch is padded to."""
    prediction, target, _ = latents
    valid = torch.arange(SHAPE[1]) < torch.tensor([[5], [2], [5]])
    expected = loss(prediction, target, valid=valid)
    (gradient,) = torch.autograd.grad(expected, prediction)
    assert (gradient[~valid] == 0).all()
    shorter = loss(prediction[:, :5], target[:, :5], valid=valid[:, :5])
    if loss is not ADDENDS["motion"]:  # whose scores here depend on the length
        torch.testing.assert_close(shorter, expected)
    other = torch.where(valid.unsqueeze(-1), prediction.detach(), 77.0)
    torch.testing.assert_close(loss(other, target + 9 * ~valid[..., None], valid=valid), expected)


@pytest.mark.parametrize("top_k", [0, 1, 3])
@pytest.mark.parametrize("tokens", ["mean", "sum"])
def test_a_ragged_batch_costs_the_mean_of_its_clips_by_themselves(
    latents, top_k: int, tokens: str
) -> None:
    prediction, target, scores = latents
    lengths = (7, 2, 5)
    valid = torch.arange(SHAPE[1]) < torch.tensor(lengths).unsqueeze(1)
    # Padding that would win the top k, and a gamma of 0, which times infinity is no number.
    scores = torch.where(valid, scores, 99.0)
    clips = [
        (prediction[i : i + 1, :n], target[i : i + 1, :n], scores[i : i + 1, :n])
        for i, n in enumerate(lengths)
    ]
    for gamma in (0.0, 2.0):
        options = {"top_k": top_k, "gamma": gamma, "base_weight": 0.5, "tokens": tokens}
        together = motion_guided_loss(prediction, target, scores, **options, valid=valid)
        alone = [motion_guided_loss(*clip, **options) for clip in clips]
        torch.testing.assert_close(together, torch.stack(alone).mean())
    for loss in (affinity_distillation_loss, pixel_reconstruction_loss):
        alone = [loss(*clip[:2]) for clip in clips]
        torch.testing.assert_close(loss(prediction, target, valid=valid), torch.stack(alone).mean())
    every = torch.cat([clip[0] for clip in clips], dim=1)
    torch.testing.assert_close(
        feature_diversity_loss(prediction, 2.0, valid), feature_diversity_loss(every, 2.0)
    )


# --- the whole


def lesson(tokens: int = 6, width: int = 4, **options: object) -> tuple[Tensor, Latents, Pixels]:
    """Hidden tokens of tubes in a grid of 2 x 2 x 3: three positions, at both times."""
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 2, tokens, width, generator=draw, dtype=torch.float64)
    scores = torch.rand(2, 3, generator=draw).repeat(1, 2)
    hidden = torch.tensor([[0, 2, 5, 6, 8, 11], [1, 3, 4, 7, 9, 10]])
    pixels, patches = torch.rand(2, 2, tokens, 12, generator=draw, dtype=torch.float64)
    return hidden, Latents(prediction, target, scores), Pixels(pixels, patches)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_total_is_the_weighted_sum_of_the_addends_that_have_a_weight(
    settings: Settings, preset: str
) -> None:
    objective = settings.objectives[preset]
    hidden, latents, pixels = lesson()
    terms = total_loss(objective, hidden, GRID, latents, pixels)
    names = ("motion", "affinity", "diversity", "pixel")
    weights = {name: getattr(objective, f"{name}_weight") for name in names}
    assert terms.keys() == {"loss", *(name for name in names if weights[name])}
    expected = sum(weights[name] * terms[name] for name in terms if name != "loss")
    torch.testing.assert_close(terms["loss"], expected)


def test_the_v_jepa_preset_is_the_mean_l1_error_and_needs_no_scores(settings: Settings) -> None:
    hidden, latents, _ = lesson()
    terms = total_loss(settings.objectives["vjepa"], hidden, GRID, latents._replace(scores=None))
    torch.testing.assert_close(terms["loss"], F.l1_loss(latents.prediction, latents.target))


def test_the_videomae_preset_is_the_mean_squared_error_of_normalised_colours(
    settings: Settings,
) -> None:
    hidden, _, pixels = lesson()
    colours = pixels.patches.unflatten(-1, (3, 4))
    truth = (colours - colours.mean(-1, keepdim=True)) / (colours.std(-1, keepdim=True) + 1e-6)
    terms = total_loss(settings.objectives["videomae"], hidden, GRID, pixels=pixels)
    torch.testing.assert_close(terms["loss"], F.mse_loss(pixels.prediction, truth.flatten(-2)))


def test_the_paper_preset_is_the_published_formula_written_out(settings: Settings) -> None:
    """Three positions, all of them singled out: 1 + w_i times the summed error through all time."""
    hidden, latents, _ = lesson()
    expected = 0.0
    for clip in range(2):
        weights = 1 + torch.softmax(2.0 * latents.scores[clip, :3].double(), dim=0)
        error = (latents.prediction - latents.target)[clip].abs().sum(dim=-1)
        expected += float((weights * (error[:3] + error[3:])).sum()) / 2
    terms = total_loss(settings.objectives["paper"], hidden, GRID, latents)
    assert float(terms["motion"]) == pytest.approx(expected)
    torch.testing.assert_close(
        terms["loss"],
        terms["motion"]
        + 0.1 * affinity_distillation_loss(latents.prediction, latents.target)
        + 0.3 * feature_diversity_loss(latents.prediction, 1.0),
    )


def test_a_tube_through_the_clip_is_weighted_as_one(settings: Settings) -> None:
    """Two positions, three times: the moving position's error counts 1 + 1, the other's nothing."""
    error = torch.rand(1, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    scores = torch.tensor([0.1, 0.9]).expand(1, 3, 2).flatten(1)
    objective = changed(
        settings, "paper", affinity_weight=0, diversity_weight=0, top_k=1, reduce="mean"
    )
    flat = error.flatten(1, 2)
    hidden = torch.arange(6).unsqueeze(0)
    latents = Latents(flat, torch.zeros_like(flat), scores)
    loss = total_loss(objective, hidden, (3, 1, 2), latents)["loss"]
    torch.testing.assert_close(loss, 2 * error[:, :, 1].mean())


@pytest.mark.parametrize("preset", ["paper", "dense"])
def test_padded_tubes_cost_the_mean_of_their_clips_by_themselves(
    settings: Settings, preset: str
) -> None:
    """The second clip hides two positions through both times, and its list is padded by two."""
    objective = changed(settings, preset, diversity_weight=0)
    hidden, latents, _ = lesson()
    hidden = torch.stack([hidden[0], torch.tensor([1, 3, 7, 9, 9, 9])])
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    latents = latents._replace(scores=torch.rand(2, 6, generator=torch.Generator().manual_seed(1)))
    together = total_loss(objective, hidden, GRID, latents, valid=valid)["loss"]
    alone = [
        total_loss(
            objective,
            hidden[i : i + 1, :n],
            GRID,
            Latents(*(x[i : i + 1, :n] for x in latents)),
        )["loss"]
        for i, n in enumerate((6, 4))
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean())


@pytest.mark.parametrize(("reduce", "steps"), [("mean", 2), ("sum", 1)])
def test_a_tube_that_a_cut_left_incomplete_counts_with_what_is_left(
    settings: Settings, reduce: str, steps: int
) -> None:
    """One clip of two positions and two times, of which the last token was cut."""
    objective = changed(
        settings, "paper", affinity_weight=0, diversity_weight=0, top_k=2, gamma=0, reduce=reduce
    )
    error = torch.tensor([[[1.0], [2.0], [4.0]]])
    latents = Latents(error, torch.zeros_like(error), torch.zeros(1, 3))
    terms = total_loss(objective, torch.tensor([[0, 1, 2]]), (2, 1, 2), latents)
    assert float(terms["loss"]) == pytest.approx(1.5 * (1 + 4) / steps + 1.5 * 2)


@pytest.mark.parametrize("span", ["tubelet", "clip"])
def test_gradients_of_the_whole_objective_are_those_of_finite_differences(
    settings: Settings, span: str
) -> None:
    hidden, latents, pixels = lesson()
    objective = changed(
        settings, "dense", span=span, diversity_floor=5.0, top_k=2, pixel_weight=0.5
    )

    def loss(prediction: Tensor, image: Tensor) -> Tensor:
        guesses = latents._replace(prediction=prediction), pixels._replace(prediction=image)
        return total_loss(objective, hidden, GRID, *guesses)["loss"]

    inputs = [x.prediction.requires_grad_() for x in (latents, pixels)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_the_target_never_receives_a_gradient(settings: Settings) -> None:
    hidden, latents, pixels = lesson()
    for x in (*latents[:2], *pixels):
        x.requires_grad_()
    objective = changed(settings, "dense", pixel_weight=1.0)
    total_loss(objective, hidden, GRID, latents, pixels)["loss"].backward()
    assert latents.target.grad is None
    assert pixels.patches.grad is None
    assert latents.prediction.grad is not None
    assert pixels.prediction.grad is not None


def test_what_the_objective_compares_must_be_given(settings: Settings) -> None:
    hidden, latents, pixels = lesson()
    with pytest.raises(ValueError, match="objective dense compares latents"):
        total_loss(settings.objectives["dense"], hidden, GRID, pixels=pixels)
    with pytest.raises(ValueError, match="objective videomae reconstructs pixels"):
        total_loss(settings.objectives["videomae"], hidden, GRID, latents)


# --- several processes


def share(rank: int, world: int, ragged: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Weights, and one process' inputs: a linear map of them predicts the latents."""
    draw = torch.Generator().manual_seed(3)
    weights = torch.randn(5, 4, generator=draw, dtype=torch.float64)
    inputs = torch.randn(4, 6, 5, generator=draw, dtype=torch.float64)
    target = torch.randn(4, 6, 4, generator=draw, dtype=torch.float64)
    valid = torch.arange(6) < torch.tensor([[6], [2], [5], [3]]) if ragged else None
    mine = slice(rank, None, world)
    real = None if valid is None else valid[mine]
    return weights.requires_grad_(), inputs[mine], real, target[mine]


def run_share(rank: int, world: int, ragged: bool, objective: Objective) -> tuple[Tensor, Tensor]:
    """Loss and gradient of this process' share of the batch."""
    weights, inputs, valid, target = share(rank, world, ragged)
    scores = target.norm(dim=-1)
    hidden = torch.arange(6).expand(len(inputs), -1)
    group = dist.group.WORLD if world > 1 else None
    latents = Latents(inputs @ weights, target, scores)
    terms = total_loss(objective, hidden, (1, 2, 3), latents, valid=valid, group=group)
    terms["loss"].backward()
    return terms["loss"].detach(), weights.grad


def process(rank: int, folder: str, objective: Objective) -> None:
    """One of two processes: writes the mean loss and gradient over both, as DDP makes them."""
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    for ragged in (False, True):
        both = run_share(rank, 2, ragged, objective)
        for value in both:
            dist.all_reduce(value)
        if rank == 0:
            torch.save([value / 2 for value in both], Path(folder) / f"ragged_{ragged}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_loss_and_the_gradient_of_one(
    settings: Settings, tmp_path: Path
) -> None:
    objective = changed(settings, "dense", diversity_weight=2.0, diversity_floor=4.0)
    torch.multiprocessing.spawn(process, (str(tmp_path), objective), nprocs=2)
    for ragged in (False, True):
        found = torch.load(tmp_path / f"ragged_{ragged}.pt")
        for mean, whole in zip(found, run_share(0, 1, ragged, objective), strict=True):
            torch.testing.assert_close(mean, whole, rtol=1e-6, atol=1e-9)
        # The means of two deviations of half the tokens are something else.
        apart = [_alone(rank, ragged, objective) for rank in range(2)]
        assert abs(float(sum(apart) / 2 - found[0])) > 1e-3


def _alone(rank: int, ragged: bool, objective: Objective) -> Tensor:
    weights, inputs, valid, target = share(rank, 2, ragged)
    hidden = torch.arange(6).expand(len(inputs), -1)
    latents = Latents(inputs @ weights, target, target.norm(dim=-1))
    return total_loss(objective, hidden, (1, 2, 3), latents, valid=valid)["loss"].detach()
