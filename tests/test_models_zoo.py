"""Encoders of every kind give tokens on a grid, normalised by their own statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unisurg.evaluation.extraction.encoders import compared_encoders, time_code
from unisurg.models import zoo
from unisurg.models._timm import timm_module
from unisurg.models.checkpoints import random_encoder, save_encoder
from unisurg.models.normalise import to_input
from unisurg.models.zoo import (
    ClipEncoder,
    EncoderError,
    FrameEncoder,
    load_pretrained,
    timm_encoder,
    untrained,
)
from unisurg.settings import Baseline, load

SETTINGS = load(Path(__file__).resolve().parent.parent / "params.yaml")


def pixels(frames: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (2, frames, height, width, 3), np.uint8))


@pytest.fixture(scope="module")
def ours() -> Any:
    return random_encoder(SETTINGS.model, seed=99)


# --- ours ---------------------------------------------------------------------------------------


def test_a_clip_encoder_is_the_module_on_imagenets_statistics(ours: Any) -> None:
    clips = pixels(4, 32, 48)
    tokens = ClipEncoder(ours).encode(clips)
    assert tokens.shape == (2, 2, 2, 3, 128)
    with torch.inference_mode():
        assert torch.equal(tokens.flatten(1, 3), ours(to_input(clips)))


def test_an_untrained_encoder_is_the_random_one_of_the_same_folder(
    ours: Any, tmp_path: Path
) -> None:
    save_encoder(tmp_path, ours, {})
    loaded = load_pretrained(tmp_path)
    state = torch.get_rng_state()
    one = ClipEncoder(untrained(loaded, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.digest == ClipEncoder(random_encoder(tmp_path, 3)).digest
    assert one.digest != ClipEncoder(untrained(ours, 4)).digest


def test_a_clip_that_does_not_fit_the_tubelet_is_an_error(ours: Any) -> None:
    with pytest.raises(EncoderError, match="needs a multiple of 16: change frames or size_px"):
        ClipEncoder(ours).encode(pixels(2, 32, 40))


# --- timm ---------------------------------------------------------------------------------------


def built(name: str) -> FrameEncoder:
    return timm_encoder(name, "untrained", 0)


@pytest.mark.parametrize(
    ("name", "grid", "dim"),
    [
        ("test_vit", (2, 3), 64),  # a class token, left out
        ("test_vit2", (2, 3), 64),
        ("test_resnet", (1, 2), 96),  # (B, C, h, w), rounded up
        ("test_mambaout", (1, 2), 64),  # (B, h, w, C)
        ("vit_dwee_patch16_reg1_gap_256", (2, 3), 256),  # a register, left out
    ],
)
def test_any_kind_of_image_model_gives_a_grid_of_any_size(
    name: str, grid: tuple[int, int], dim: int
) -> None:
    encoder = built(name)
    tokens = encoder.encode(pixels(3, 32, 48))
    assert encoder.by_frame
    assert tokens.shape[:2] == (2, 3)
    assert tokens.shape[2:] == (*grid, dim)
    assert torch.isfinite(tokens).all()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_mambaout"])
def test_rows_and_columns_of_the_picture_are_those_of_the_tokens(name: str) -> None:
    """What changes at the bottom right of a picture changes the tokens there the most."""
    encoder = built(name)
    one = pixels(1, 128, 192)
    other = one.clone()
    other[:, :, -32:, -32:] = 0
    moved = (encoder.encode(other) - encoder.encode(one)).norm(dim=-1)[0, 0]
    assert moved.argmax() == moved.numel() - 1 or name == "test_vit"
    assert moved[-1, -1] > 2 * moved[0, 0]


def test_frames_are_encoded_by_themselves() -> None:
    encoder, clips = built("test_vit"), pixels(3, 32, 32)
    together = encoder.encode(clips)
    for i in range(3):
        assert torch.allclose(encoder.encode(clips[:, i : i + 1])[:, 0], together[:, i], atol=1e-5)


def test_a_model_has_its_own_statistics() -> None:
    encoder, clips = built("test_vit"), pixels(1, 32, 32)
    assert encoder.mean == (0.5, 0.5, 0.5)
    module: Any = encoder.module
    with torch.inference_mode():
        frames = clips[:, 0].movedim(-1, 1).float() / 255
        expected = module.forward_features((frames - 0.5) / 0.5)[:, 1:]
    assert torch.allclose(encoder.encode(clips).flatten(1, 3), expected, atol=1e-5)


def test_a_patch_that_does_not_divide_the_picture_sees_it_at_the_nearest_size() -> None:
    module = timm_module("models").create_model(
        "test_vit", num_classes=0, img_size=56, patch_size=14, dynamic_img_size=True
    )
    encoder = FrameEncoder("test_vit", module)
    assert encoder.encode(pixels(1, 96, 176)).shape == (2, 1, 7, 13, 64)


def test_a_model_of_one_size_says_so() -> None:
    with pytest.raises(EncoderError, match="timm:test_maxvit takes no pictures of 48x32"):
        built("test_maxvit").encode(pixels(1, 32, 48))


def test_an_unknown_name_is_told_with_its_neighbours() -> None:
    with pytest.raises(EncoderError, match=r"no model 'test_vitt'; near it are test_vit"):
        built("test_vitt")


def test_a_seed_draws_the_weights_and_nothing_else() -> None:
    state = torch.get_rng_state()
    assert built("test_vit").digest == built("test_vit").digest
    assert built("test_vit").digest != timm_encoder("test_vit", "untrained", 1).digest
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_of_a_file_are_taken_and_its_classifier_is_not(ending: str, tmp_path: Path) -> None:
    with_head = timm_module("models").create_model("test_resnet", num_classes=5)
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({"epoch": 3, "state_dict": with_head.state_dict()}, path)
    else:
        save_file(with_head.state_dict(), path)
    encoder = timm_encoder("test_resnet", str(path), 0)
    with_head.reset_classifier(0)
    assert encoder.digest == FrameEncoder("test_resnet", with_head).digest


def test_a_file_of_another_model_is_an_error_that_names_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(built("test_resnet").module.state_dict(), path)
    with pytest.raises(EncoderError, match=r"no weights of timm:test_vit: lacks cls_token.* more"):
        timm_encoder("test_vit", str(path), 0)
    path.write_bytes(b"nothing")
    with pytest.raises(EncoderError, match="not a readable file of weights"):
        timm_encoder("test_vit", str(path), 0)


def test_a_failed_download_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = timm_module("models")

    def offline(name: str, **options: Any) -> None:
        assert options["pretrained"]
        raise FileNotFoundError("no connection")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(EncoderError, match="cannot be downloaded: no connection; get the file"):
        timm_encoder("test_vit", "download", 0)


# --- what is compared ---------------------------------------------------------------------------


def compared(tmp_path: Path, ours: Any, random_encoders: int, **baselines: Baseline) -> Any:
    save_encoder(tmp_path / "encoder", ours, {})
    features = SETTINGS.features.model_copy(update={"random_encoders": random_encoders})
    settings = SETTINGS.model_copy(update={"features": features, "baselines": baselines})
    return compared_encoders(settings, "cholec80", tmp_path / "encoder")


def baseline(model: str, weights: str, *benchmarks: str) -> Baseline:
    return Baseline(model=model, weights=weights, benchmarks=benchmarks or ("cholec80",))


def test_what_is_untrained_has_a_variant_per_seed(ours: Any, tmp_path: Path) -> None:
    named = compared(
        tmp_path,
        ours,
        2,
        frames=baseline("timm:test_vit", "untrained"),
        again=baseline(str(tmp_path / "encoder"), "as-stored"),
        elsewhere=baseline("timm:test_vit", "untrained", "kvasir"),
    )
    assert {name: tuple(variants) for name, variants in named.items()} == {
        "pretrained": ("pretrained",),
        "random": ("random-0", "random-1"),
        "frames": ("frames-0", "frames-1"),
        "again": ("again",),
    }
    digests = {v: e.digest for variants in named.values() for v, e in variants.items()}
    assert digests["again"] == digests["pretrained"]
    assert len(set(digests.values())) == 5


def test_without_random_encoders_an_untrained_baseline_has_one_variant(
    ours: Any, tmp_path: Path
) -> None:
    named = compared(tmp_path, ours, 0, frames=baseline("timm:test_vit", "untrained"))
    assert {name: tuple(variants) for name, variants in named.items()} == {
        "pretrained": ("pretrained",),
        "frames": ("frames-0",),
    }


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("timm:no_such", "untrained", r"baselines\.mine: timm has no model 'no_such'"),
        ("some/folder", "untrained", r"baselines\.mine: weights 'untrained': .* write as-stored"),
    ],
)
def test_a_baseline_that_cannot_be_had_is_named(
    model: str, weights: str, message: str, ours: Any, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match=message):
        compared(tmp_path, ours, 0, mine=baseline(model, weights))


@pytest.mark.parametrize("dim", [2, 64, 65])
def test_the_code_of_time_tells_all_steps_apart_and_is_bounded(dim: int) -> None:
    code = time_code(64, dim)
    assert code.shape == (64, dim)
    assert np.abs(code).max() <= 1
    apart = np.linalg.norm(code[:, None] - code[None], axis=-1)
    assert apart[~np.eye(64, dtype=bool)].min() > 1e-3


def test_the_code_of_time_depends_on_the_distance_of_steps_alone() -> None:
    code = time_code(32, 16).astype(np.float64)
    products = code @ code.T
    for lag in range(4):
        assert np.allclose(np.diagonal(products, lag), products[0, lag], atol=1e-5)


def test_the_protocol_is_what_the_encoders_are(ours: Any) -> None:
    encoders: list[zoo.Encoder] = [ClipEncoder(ours), built("test_vit")]
    assert [e.by_frame for e in encoders] == [False, True]
    assert [e.tubelet for e in encoders] == [(2, 16, 16), (1, 16, 16)]
    assert encoders[0].facts != encoders[1].facts
