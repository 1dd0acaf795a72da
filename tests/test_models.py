"""Encoder, predictor, rotary positions, weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import Tensor

from unisurg.models.blocks import Attention
from unisurg.models.checkpoints import (
    CheckpointError,
    encoder_digest,
    load_encoder,
    load_predictor,
    random_encoder,
    save_encoder,
    save_predictor,
)
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import to_input
from unisurg.models.positions import axis_dim, rotary_table, rotate, take_positions
from unisurg.models.predictor import Predictor
from unisurg.models.sizes import ENCODERS, PREDICTORS, encoder_size
from unisurg.settings import Settings

TUBELET = (2, 16, 16)
CPU = torch.device("cpu")


@pytest.fixture
def encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer("nano", TUBELET, drop_path=0.0).eval()


def clip_of(frames: int, height: int, width: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, frames, height, width, generator=generator)


# --- sizes


def test_an_unknown_size_names_the_sizes_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"'enormous'.*nano, tiny, small, base, large, huge, giant"
    ):
        encoder_size("enormous")


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tiny", 5.6), ("small", 21.7), ("base", 86), ("large", 303), ("huge", 632), ("giant", 1012)],
)
def test_the_published_sizes_have_their_published_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        encoder = VisionTransformer(name, TUBELET, drop_path=0.0)
    parameters = sum(p.numel() for p in encoder.parameters())
    assert parameters / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize("size", [*ENCODERS.values(), *PREDICTORS.values()])
def test_every_size_divides_into_heads_that_rotary_positions_can_turn(size) -> None:
    assert size.dim % size.heads == 0
    assert size.head_dim % 2 == 0
    assert axis_dim(size.head_dim) >= 2


# --- positions


def test_a_product_of_turned_vectors_depends_on_their_distance_alone() -> None:
    grid = (4, 5, 6)
    table = rotary_table(grid, 32, CPU)
    q, k = torch.randn(2, 1, 1, 1, 32, generator=torch.Generator().manual_seed(0))

    def score(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
        index = [(t * grid[1] + h) * grid[2] + w for t, h, w in (a, b)]
        turned = [
            rotate(x, take_positions(table, torch.tensor([[i]])))
            for x, i in zip((q, k), index, strict=True)
        ]
        return float((turned[0] * turned[1]).sum())

    for shift in [(0, 0, 0), (1, 0, 0), (0, 2, 1), (2, 1, 3)]:
        moved = [
            tuple(x + s for x, s in zip(p, shift, strict=True)) for p in ((0, 1, 2), (1, 2, 0))
        ]
        assert score(*moved) == pytest.approx(score((0, 1, 2), (1, 2, 0)), abs=1e-5)
    assert score((0, 0, 0), (0, 0, 1)) != pytest.approx(score((0, 0, 0), (0, 0, 2)), abs=1e-3)


def test_a_turn_keeps_lengths_and_leaves_the_first_token_and_the_rest_features_alone() -> None:
    table = rotary_table((3, 4, 5), 32, CPU)
    x = torch.randn(1, 60, 2, 32)
    turned = rotate(x, take_positions(table, None))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, 0], x[:, 0])
    assert 3 * axis_dim(32) == 30
    torch.testing.assert_close(turned[..., 30:], x[..., 30:])


def test_the_angles_are_position_times_10000_to_the_minus_2i_over_d() -> None:
    d = axis_dim(32)
    table = rotary_table((2, 3, 4), 32, CPU)
    turn = table[(1 * 3 + 2) * 4 + 3].angle()  # t = 1, h = 2, w = 3
    frequency = torch.tensor([10_000 ** (-2 * i / d) for i in range(d // 2)])
    expected = torch.cat([1 * frequency, 2 * frequency, 3 * frequency])
    torch.testing.assert_close(turn[: 3 * d // 2], expected)


def test_attention_is_softmax_of_turned_products() -> None:
    torch.manual_seed(0)
    attention = Attention(dim=32, heads=2)
    x = torch.randn(2, 12, 32)
    turns = take_positions(rotary_table((3, 2, 2), 16, CPU), None)
    q, k, v = rearrange(attention.qkv(x), "b n (three h d) -> three b n h d", three=3, h=2)
    q, k = rotate(q, turns), rotate(k, turns)
    weights = torch.einsum("bihd,bjhd->bhij", q, k).div(16**0.5).softmax(dim=-1)
    mixed = torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2)
    torch.testing.assert_close(attention(x, turns), attention.proj(mixed), atol=1e-5, rtol=1e-4)


# --- encoder


@pytest.mark.parametrize("shape", [(2, 16, 16), (4, 32, 48), (16, 96, 96), (6, 48, 16)])
def test_any_clip_that_the_tubelet_divides_is_encoded(encoder, shape) -> None:
    t, h, w = encoder.grid(*shape)
    with torch.no_grad():
        assert encoder(clip_of(*shape)).shape == (2, t * h * w, encoder.embed_dim)


@pytest.mark.parametrize(
    ("shape", "word"),
    [((3, 32, 32), "3 frames"), ((2, 40, 32), "40 height"), ((2, 32, 8), "8 width")],
)
def test_a_clip_that_the_tubelet_does_not_divide_is_refused_by_name(encoder, shape, word) -> None:
    with pytest.raises(ValueError, match=word):
        encoder(clip_of(*shape))


def test_channels_in_the_wrong_place_are_refused(encoder) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, T, H, W\)"):
        encoder(torch.zeros(1, 2, 32, 32, 3))


def test_keeping_every_token_is_encoding_the_whole_clip(encoder) -> None:
    clip = clip_of(4, 32, 48)
    everything = torch.arange(12).expand(2, -1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(clip, everything), encoder(clip), atol=1e-5, rtol=1e-4)


def test_hidden_pixels_cannot_influence_visible_tokens(encoder) -> None:
    clip = clip_of(4, 32, 48)
    keep = torch.tensor([[0, 3, 8], [1, 5, 11]])
    hidden = torch.ones(2, 12, dtype=torch.bool).scatter(1, keep, False)
    patches = rearrange(clip, "b c (t p) (h q) (w r) -> b (t h w) (c p q r)", p=2, q=16, r=16)
    patches = torch.where(hidden.unsqueeze(-1), 1e3, patches)
    pattern = "b (t h w) (c p q r) -> b c (t p) (h q) (w r)"
    spoilt = rearrange(patches, pattern, t=2, h=2, w=3, c=3, p=2, q=16, r=16)
    with torch.no_grad():
        assert torch.equal(encoder(spoilt, keep), encoder(clip, keep))
        assert not torch.equal(encoder(spoilt), encoder(clip))


def test_the_order_of_kept_tokens_only_orders_the_output(encoder) -> None:
    clip = clip_of(4, 32, 48, batch=1)
    keep = torch.tensor([[0, 3, 8, 10]])
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        straight, shuffled = encoder(clip, keep), encoder(clip, keep[:, order])
    torch.testing.assert_close(straight[:, order], shuffled, atol=1e-5, rtol=1e-4)


def test_the_last_intermediate_output_is_the_output(encoder) -> None:
    clip = clip_of(2, 32, 32)
    with torch.no_grad():
        first, last = encoder.features(clip, [0, 5])
        assert torch.equal(last, encoder(clip))
    assert first.shape == last.shape
    with pytest.raises(ValueError, match="0 to 5"):
        encoder.features(clip, [6])


def test_the_patch_embedding_is_the_3d_convolution_of_the_publication(encoder) -> None:
    clip = clip_of(4, 32, 32)
    weight = encoder.embed.weight.view(-1, 3, *TUBELET)
    reference = torch.nn.functional.conv3d(clip, weight, encoder.embed.bias, stride=TUBELET)
    tokens = encoder.embed(encoder._tubelets(clip, None))
    expected = rearrange(reference, "b d t h w -> b (t h w) d")
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)


def test_bfloat16_keeps_the_residual_stream_and_the_output_in_float32(encoder) -> None:
    clip = clip_of(2, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        tokens = encoder(clip)
    assert tokens.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(tokens, encoder(clip), atol=0.1, rtol=0.1)


def test_drop_path_acts_in_training_only(encoder) -> None:
    torch.manual_seed(0)
    dropping = VisionTransformer("nano", TUBELET, drop_path=0.9)
    dropping.load_state_dict(encoder.state_dict())
    clip = clip_of(2, 32, 32)
    with torch.no_grad():
        assert not torch.equal(dropping(clip), encoder(clip))
        assert torch.equal(dropping.eval()(clip), encoder(clip))


# --- predictor


def test_every_hidden_token_gets_a_prediction_of_the_encoders_width(encoder) -> None:
    predictor = Predictor("nano", encoder.embed_dim)
    keep, hidden = torch.tensor([[0, 3], [1, 2]]), torch.tensor([[1, 2], [0, 3]])
    with torch.no_grad():
        context = encoder(clip_of(2, 32, 32), keep)
        assert predictor(context, keep, hidden, (1, 2, 2)).shape == (2, 2, encoder.embed_dim)


def test_a_prediction_knows_its_position_and_not_its_place_in_the_list(encoder) -> None:
    torch.manual_seed(0)
    predictor = Predictor("nano", encoder.embed_dim).eval()
    keep, hidden = torch.tensor([[0, 5]]), torch.tensor([[1, 2, 7]])
    context = torch.randn(1, 2, encoder.embed_dim)
    with torch.no_grad():
        forward = predictor(context, keep, hidden, (2, 2, 2))
        backward = predictor(context, keep, hidden.flip(1), (2, 2, 2))
    torch.testing.assert_close(forward, backward.flip(1), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(forward[:, 0], forward[:, 1], atol=1e-4)


# --- pixels


def test_pixels_are_normalised_by_imagenets_statistics() -> None:
    clip = torch.zeros(1, 2, 4, 4, 3, dtype=torch.uint8)
    clip[..., 1] = 255
    x = to_input(clip)
    assert x.shape == (1, 3, 2, 4, 4)
    torch.testing.assert_close(
        x[0, :, 0, 0, 0], torch.tensor([-2.1179, 2.4286, -1.8044]), atol=1e-4, rtol=0
    )


def test_float_pixels_are_refused_rather_than_normalised_twice() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        to_input(torch.zeros(1, 2, 4, 4, 3))


# --- weights on disk


def test_an_encoder_comes_back_as_it_was_saved(encoder, tmp_path: Path) -> None:
    save_encoder(tmp_path / "e", encoder, {"steps": 3})
    back = load_encoder(tmp_path / "e")
    clip = clip_of(2, 32, 32)
    with torch.no_grad():
        assert torch.equal(back(clip), encoder(clip))
    assert not back.training
    assert encoder_digest(tmp_path / "e") == encoder_digest(encoder) == encoder_digest(back)
    assert json.loads((tmp_path / "e" / "config.json").read_text())["facts"] == {"steps": 3}


def test_equal_encoders_are_equal_files(encoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_encoder(tmp_path / name, encoder, {"seed": 0})
    for name in ("encoder.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_missing_and_unknown_keys_are_named(encoder, tmp_path: Path) -> None:
    save_predictor(tmp_path, Predictor("nano", encoder.embed_dim))
    (tmp_path / "predictor.safetensors").rename(tmp_path / "encoder.safetensors")
    save = json.dumps(
        {"format": "unisurg-encoder-1", "size": "nano", "tubelet": [2, 16, 16], "digest": "x"}
    )
    (tmp_path / "config.json").write_text(save)
    with pytest.raises(
        CheckpointError, match=r"encoder\.safetensors.*missing embed.*unknown enter"
    ):
        load_encoder(tmp_path)


def test_a_damaged_folder_says_what_is_wrong_with_it(encoder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: no such file"):
        load_encoder(tmp_path)
    save_encoder(tmp_path, encoder, {})
    other = random_encoder(tmp_path, seed=5)
    save_encoder(tmp_path / "other", other, {})
    (tmp_path / "other" / "encoder.safetensors").replace(tmp_path / "encoder.safetensors")
    with pytest.raises(CheckpointError, match="digest"):
        load_encoder(tmp_path)
    (tmp_path / "encoder.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "unisurg-encoder-1"}')
    with pytest.raises(CheckpointError, match="lacks digest, size, tubelet"):
        load_encoder(tmp_path)


def test_a_predictor_of_another_width_is_refused(tmp_path: Path) -> None:
    save_predictor(tmp_path, Predictor("nano", 128))
    with pytest.raises(
        CheckpointError, match=r"enter\.weight is \(96, 128\), expected \(96, 192\)"
    ):
        load_predictor(tmp_path, Predictor("nano", 192))


def test_a_random_encoder_is_told_by_its_seed_and_leaves_the_global_state_alone(
    encoder, settings: Settings, tmp_path: Path
) -> None:
    save_encoder(tmp_path, encoder, {})
    before = torch.random.get_rng_state()
    first, again, other = (random_encoder(tmp_path, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert encoder_digest(first) == encoder_digest(again) != encoder_digest(other)
    assert encoder_digest(random_encoder(settings.model, 1)) == encoder_digest(first)
