"""Encoder, predictor, rotary positions, weights on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch._dynamo
from einops import rearrange
from torch import Tensor

from unisurg.models.blocks import Attention
from unisurg.models.build import compile_blocks, make_decoder, make_encoder, make_predictor
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
from unisurg.models.positions import axis_dim, frequencies, rotary_table, rotate, take_positions
from unisurg.models.predictor import Predictor
from unisurg.models.sizes import (
    DECODERS,
    ENCODERS,
    PREDICTORS,
    Size,
    decoder_size,
    encoder_size,
    predictor_size,
)
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


def test_the_mlp_of_the_giant_is_6144_wide_even_where_its_ratio_was_cut_short() -> None:
    assert encoder_size("giant").hidden == 6144
    assert replace(encoder_size("giant"), mlp_ratio=4.363636).hidden == 6144


def test_the_networks_of_the_settings_are_those_of_the_tables(settings: Settings) -> None:
    model = settings.model.model_copy(
        update={"predictor": "vjepa", "decoder": "videomae", "rotary": "vjepa2"}
    )
    encoder = make_encoder(model)
    predictor = make_predictor(model, encoder.embed_dim)
    decoder = make_decoder(model, encoder.embed_dim)
    assert encoder.size == encoder_size(model.encoder)
    assert predictor.size == predictor_size("vjepa")
    assert decoder.size == decoder_size("videomae")
    assert predictor.mask_tokens.shape == (10, 384)
    assert decoder.leave.out_features == 3 * 2 * 16 * 16
    assert {part.rotary for part in (encoder, predictor, decoder)} == {"vjepa2"}


@pytest.mark.parametrize("size", [*ENCODERS.values(), *PREDICTORS.values(), *DECODERS.values()])
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
    assert table.b is None
    turn = torch.view_as_complex(table.a[(1 * 3 + 2) * 4 + 3]).angle()  # t = 1, h = 2, w = 3
    frequency = torch.tensor([10_000 ** (-2 * i / d) for i in range(d // 2)])
    expected = torch.cat([1 * frequency, 2 * frequency, 3 * frequency])
    torch.testing.assert_close(turn[: 3 * d // 2], expected)


def turned_as_published(x: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """V-JEPA 2's positions feature by feature, `x (N, D)`: the angles of an axis are laid out twice
    in a row, while the features they turn are neighbours."""
    d = axis_dim(x.shape[-1])
    out = x.clone()
    places = [(t, h, w) for t in range(grid[0]) for h in range(grid[1]) for w in range(grid[2])]
    for n, place in enumerate(places):
        for axis, position in enumerate(place):
            for i in range(d):
                angle = torch.tensor(position * 10_000.0 ** (-2 * (i % (d // 2)) / d))
                here = axis * d + i
                other = -x[n, here + 1] if i % 2 == 0 else x[n, here - 1]
                out[n, here] = x[n, here] * angle.cos() + other * angle.sin()
    return out


@pytest.mark.parametrize("head_dim", [12, 32])  # an even and an odd number of angles per axis
def test_the_convention_vjepa2_turns_features_as_the_published_code_does(head_dim: int) -> None:
    grid = (3, 2, 4)
    x = torch.randn(24, head_dim, generator=torch.Generator().manual_seed(0))
    turns = take_positions(rotary_table(grid, head_dim, CPU, "vjepa2"), None)
    turned = rotate(x.view(1, 24, 1, head_dim), turns).view(24, head_dim)
    torch.testing.assert_close(turned, turned_as_published(x, grid), atol=1e-5, rtol=1e-5)
    turns = take_positions(rotary_table(grid, head_dim, CPU, "exact"), None)
    exact = rotate(x.view(1, 24, 1, head_dim), turns).view(24, head_dim)
    assert not torch.allclose(exact, turned, atol=1e-2)


def test_frequencies_of_bfloat16_exponents_are_off_by_up_to_1_45_percent() -> None:
    exact, rounded = frequencies(20, "float32"), frequencies(20, "bfloat16")
    assert rounded.dtype == torch.float32
    assert ((rounded / exact - 1).abs().max() * 100).item() == pytest.approx(1.45, abs=0.005)


def test_a_table_made_under_inference_serves_a_training_step() -> None:
    grid = (5, 1, 3)  # of this test alone, so that its table is not there yet
    with torch.inference_mode():
        rotary_table(grid, 32, CPU)
    x = torch.randn(1, 15, 2, 32, requires_grad=True)
    rotate(x, take_positions(rotary_table(grid, 32, CPU), None)).sum().backward()
    assert x.grad is not None


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


def test_padding_of_uneven_masks_changes_no_other_token(encoder) -> None:
    clip = clip_of(4, 32, 48)
    keep = torch.tensor([[0, 3, 8, 10], [1, 5, 0, 0]])
    valid = torch.tensor([[True, True, True, True], [True, True, False, False]])
    other = torch.where(valid, keep, 7)
    with torch.no_grad():
        padded, otherwise = encoder(clip, keep, valid), encoder(clip, other, valid)
        alone = encoder(clip[1:], keep[1:, :2])
    assert torch.equal(padded[valid], otherwise[valid])
    torch.testing.assert_close(padded[1:, :2], alone, atol=1e-5, rtol=1e-4)


def gradients(module: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


def test_activation_checkpointing_changes_no_gradient_under_drop_path_too() -> None:
    torch.manual_seed(0)
    plain = VisionTransformer("nano", TUBELET, drop_path=0.5)
    sparing = VisionTransformer("nano", TUBELET, drop_path=0.5, checkpointing=True)
    sparing.load_state_dict(plain.state_dict())
    clip, kept = clip_of(4, 32, 32), []

    def seen(module: VisionTransformer) -> dict[str, Tensor]:
        torch.manual_seed(3)
        saved = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = module(clip).square().mean()
        kept.append(saved)
        return gradients(module, loss)

    torch.testing.assert_close(seen(sparing), seen(plain), rtol=0, atol=0)
    assert kept[0] < kept[1] / 4


def test_gradients_of_norms_are_accurate_in_bfloat16(encoder) -> None:
    """A residual stream in bfloat16 costs them 6 to 70 percent, which no loss shows."""
    predictor = Predictor("nano", encoder.embed_dim)
    both = torch.nn.ModuleList([encoder, predictor])
    # The trap deepens with the tokens that a sum runs over: four clips of 288 show it.
    clip, grid = clip_of(16, 96, 96, batch=4), (8, 6, 6)
    draw = torch.Generator().manual_seed(2)
    order = torch.stack([torch.randperm(288, generator=draw) for _ in range(4)])
    keep, hidden = order[:, :72], order[:, 72:]
    target = torch.randn(4, 216, encoder.embed_dim, generator=draw)

    def seen(precision: torch.dtype) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            guess = predictor(encoder(clip, keep), keep, hidden, grid)
        return gradients(both, (guess.float() - target).square().mean())

    exact, rounded = seen(torch.float32), seen(torch.bfloat16)
    norms = {name for name in exact if "norm" in name}
    assert len(norms) == 2 * (2 * 6 + 1) + 2 * (2 * 3 + 1)
    for name in norms:
        error = (rounded[name] - exact[name]).norm() / exact[name].norm()
        assert error < 0.018, f"{name}: {error:.3f}"


@pytest.mark.parametrize("rotary", ["exact", "vjepa2"])
def test_compiled_blocks_agree_with_eager_ones_for_any_number_of_tokens(rotary) -> None:
    size = Size(dim=48, depth=1, heads=2)
    torch.manual_seed(0)
    plain = VisionTransformer(size, TUBELET, 0.0, rotary)
    compiled = VisionTransformer(size, TUBELET, 0.0, rotary, checkpointing=True)
    compile_blocks(compiled)
    compiled.load_state_dict(plain.state_dict())
    torch._dynamo.utils.counters.clear()
    for shape in [(4, 32, 48), (2, 48, 48), (8, 32, 32)]:
        losses = [module(clip_of(*shape)).square().mean() for module in (compiled, plain)]
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(
            gradients(compiled, losses[0]), gradients(plain, losses[1]), atol=1e-5, rtol=1e-3
        )
    assert not torch._dynamo.utils.counters["graph_break"]


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


def test_each_kind_of_mask_has_its_own_token_until_they_repeat(encoder) -> None:
    torch.manual_seed(0)
    predictor = Predictor(replace(predictor_size("nano"), mask_tokens=2), 128).eval()
    keep, hidden = torch.tensor([[0, 5]]), torch.tensor([[1, 2, 7]])
    context = torch.randn(1, 2, 128)
    with torch.no_grad():
        first, second, third = (
            predictor(context, keep, hidden, (2, 2, 2), row=row) for row in (0, 1, 2)
        )
    assert torch.equal(first, third)
    assert not torch.allclose(first, second, atol=1e-4)


def test_padding_of_context_and_targets_changes_no_prediction() -> None:
    torch.manual_seed(0)
    predictor = Predictor("nano", 128).eval()
    keep, hidden = torch.tensor([[0, 5, 3], [2, 6, 6]]), torch.tensor([[1, 2], [4, 4]])
    valid = torch.tensor([[True] * 5, [True, True, False, True, False]])
    context = torch.randn(2, 3, 128)
    with torch.no_grad():
        padded = predictor(context, keep, hidden, (2, 2, 2), valid=valid)
        alone = predictor(context[1:, :2], keep[1:, :2], hidden[1:, :1], (2, 2, 2))
    torch.testing.assert_close(padded[1:, :1], alone, atol=1e-5, rtol=1e-4)


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
    (tmp_path / "config.json").write_text('{"format": "another"}')
    with pytest.raises(CheckpointError, match=r"'another'.*unisurg weights import"):
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
