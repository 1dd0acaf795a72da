"""The same weights in `transformers` and here: the same tokens and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unisurg.models._timm import timm_module
from unisurg.models.predictor import Predictor
from unisurg.models.sources import build_encoder, build_predictor, load_encoder, open_source

timm_module("layers")  # makes torchvision importable, which transformers wants
transformers = pytest.importorskip("transformers")

# Width, depth and heads of encoder and predictor, and ratio of the encoder's MLP.
SIZES = {
    "narrow": {"encoder": (48, 2, 2), "predictor": (24, 2, 2), "ratio": 4.0},
    "wide": {"encoder": (192, 2, 3), "predictor": (96, 1, 4), "ratio": 4.0},
    "like a giant": {"encoder": (88, 3, 4), "predictor": (48, 2, 4), "ratio": 48 / 11},
}


def reference(size: str, side: int = 48, frames: int = 8) -> Any:
    """A `VJEPA2Model` with random weights, mask tokens and biases among them."""
    row = SIZES[size]
    dim, depth, heads = row["encoder"]
    narrow, shallow, few = row["predictor"]
    config = transformers.VJEPA2Config(
        crop_size=side,
        frames_per_clip=frames,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        mlp_ratio=row["ratio"],
        pred_hidden_size=narrow,
        pred_num_hidden_layers=shallow,
        pred_num_attention_heads=few,
        pred_num_mask_tokens=3,
    )
    torch.manual_seed(0)
    model = transformers.VJEPA2Model(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    return model


@pytest.fixture(scope="module", params=SIZES)
def pair(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Predictor]:
    model = reference(request.param)
    folder = tmp_path_factory.mktemp("reference")
    model.save_pretrained(folder)
    source = open_source(folder)
    return model, build_encoder(source).eval(), build_predictor(source).eval()


def clip_of(frames: int, height: int, width: int) -> Tensor:
    return torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(1))


def square_index(grid: tuple[int, int, int], side: int) -> Tensor:
    """Where the tokens of a grid are in one whose pictures are `side x side`, its corner shared."""
    t, h, w = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    return ((t * side + h) * side + w).flatten()


def by_layers(model: Any, clip: Tensor, index: Tensor, take: Tensor | None = None) -> Tensor:
    """The reference's encoder on tokens `take`, which sit at `index` of its own square grid."""
    tokens = model.encoder.embeddings(clip.transpose(1, 2))
    if take is not None:
        tokens = tokens.gather(1, take.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
    for layer in model.encoder.layer:
        tokens = layer(tokens, index)[0]
    return model.encoder.layernorm(tokens)


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 8, 12])
def test_the_encoder_gives_the_tokens_of_the_reference(pair, frames: int) -> None:
    model, encoder, _ = pair
    clip = clip_of(frames, 48, 48)
    expected = model(clip.transpose(1, 2), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(encoder(clip), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_faint_tokens_meet_the_epsilon_of_the_reference_in_their_norms(pair) -> None:
    model, encoder, _ = pair
    clip = clip_of(4, 48, 48) / 1000
    expected = model(clip.transpose(1, 2), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(encoder(clip), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(4, 32, 48), (8, 48, 16)])
def test_a_picture_that_is_not_square_has_the_positions_of_its_own_grid(pair, shape) -> None:
    model, encoder, _ = pair
    clip = clip_of(*shape)
    index = square_index(encoder.grid(*shape), side=3).expand(2, -1)
    torch.testing.assert_close(encoder(clip), by_layers(model, clip, index), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_masked_encoder_gives_the_tokens_of_the_reference(pair) -> None:
    model, encoder, _ = pair
    clip = clip_of(8, 48, 48)
    keep = torch.stack([torch.randperm(36)[:10].sort().values for _ in range(2)])
    expected = by_layers(model, clip, keep, take=keep)
    torch.testing.assert_close(encoder(clip, keep), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("sort", [True, False], ids=["sorted", "shuffled"])
def test_the_predictor_gives_the_predictions_of_the_reference(pair, sort: bool) -> None:
    model, encoder, predictor = pair
    clip = clip_of(8, 48, 48)
    torch.manual_seed(2)
    order = torch.stack([torch.randperm(36) for _ in range(2)])
    keep, hidden = order[:, :12], order[:, 12:30]
    if sort:
        keep, hidden = keep.sort().values, hidden.sort().values
    found = model(clip.transpose(1, 2), context_mask=[keep], target_mask=[hidden])
    context = encoder(clip).gather(1, keep.unsqueeze(-1).expand(-1, -1, encoder.embed_dim))
    # The reference takes mask token number 1.
    guess = predictor(context, keep, hidden, encoder.grid(8, 48, 48), row=1)
    expected = found.predictor_output.last_hidden_state
    torch.testing.assert_close(guess, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_all_tokens_predicted_from_all_are_those_of_the_reference(pair) -> None:
    model, encoder, predictor = pair
    clip = clip_of(4, 48, 48)
    everything = torch.arange(18).expand(2, -1)
    expected = model(clip.transpose(1, 2)).predictor_output.last_hidden_state
    guess = predictor(encoder(clip), everything, everything, (2, 3, 3), row=1)
    torch.testing.assert_close(guess, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_exact_rotations_would_give_other_tokens(pair) -> None:
    model, encoder, _ = pair
    clip = clip_of(8, 48, 48)
    expected = model(clip.transpose(1, 2), skip_predictor=True).last_hidden_state
    encoder.rotary = "exact"
    try:
        assert (encoder(clip) - expected).abs().max() > 1e-3
    finally:
        encoder.rotary = "vjepa2"


@torch.no_grad()
def test_another_crop_size_is_another_grid(tmp_path: Path) -> None:
    model = reference("narrow", side=64, frames=4)
    model.save_pretrained(tmp_path)
    clip = clip_of(4, 64, 64)
    expected = model(clip.transpose(1, 2), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(load_encoder(tmp_path)(clip), expected, atol=1e-5, rtol=1e-5)
