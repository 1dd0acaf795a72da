"""Weights in and out: published layouts, what is refused, what survives a round trip."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import unisurg
from unisurg import cli
from unisurg.models._timm import timm_module
from unisurg.models.checkpoints import (
    CheckpointError,
    encoder_digest,
    load_encoder,
    read_predictor,
    save_encoder,
    save_predictor,
)
from unisurg.models.encoder import VisionTransformer
from unisurg.models.exports import cut_ratio, export_release, export_transformers
from unisurg.models.predictor import Predictor
from unisurg.models.published import RELEASE, encoder_rows, predictor_rows
from unisurg.models.sizes import Size, encoder_size, predictor_size
from unisurg.models.sources import build_encoder, build_predictor, open_source
from unisurg.stages.weights import export_weights, import_weights, inspect_weights

TUBELET = (2, 16, 16)
NARROW = Size(dim=36, depth=2, heads=3, mlp_ratio=2.0)
GUESSER = Size(dim=24, depth=1, heads=2, mask_tokens=3)
CLIP = torch.randn(1, 3, 4, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(NARROW, TUBELET, 0.0, rotary="vjepa2").eval()


@pytest.fixture(scope="module")
def predictor(encoder: VisionTransformer) -> Predictor:
    torch.manual_seed(1)
    return Predictor(GUESSER, encoder.embed_dim, rotary="vjepa2").eval()


@pytest.fixture
def release(encoder, predictor, tmp_path: Path) -> Path:
    export_release(tmp_path / "release.pt", encoder, predictor)
    return tmp_path / "release.pt"


@pytest.fixture
def own(encoder, predictor, tmp_path: Path) -> Path:
    save_predictor(tmp_path / "own", predictor)
    save_encoder(tmp_path / "own", encoder, {"steps": 3, "frames": 4, "size_px": 64})
    return tmp_path / "own"


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a `.pt` or a folder, by its full name."""
    if path.is_dir():
        return {k: v for file in path.glob("*.safetensors") for k, v in load_file(file).items()}
    content = torch.load(path, weights_only=True)
    return {f"{part}/{k}": v for part, state in content.items() for k, v in state.items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        assert torch.equal(first[name], second[name]), name


# --- published names


def test_a_large_release_has_the_tensors_of_the_published_one() -> None:
    """V-JEPA 2's vitl.pt: 292 tensors in an encoder, 160 in the predictor."""
    encoder = {
        name: row.shape
        for row in encoder_rows(RELEASE, encoder_size("large"), TUBELET)
        for name in row.theirs
    }
    predictor = {
        name: row.shape
        for row in predictor_rows(RELEASE, predictor_size("vjepa"), 1024, 1024)
        for name in row.theirs
    }
    assert (len(encoder), len(predictor)) == (292, 160)
    assert encoder["patch_embed.proj.weight"] == (1024, 3, 2, 16, 16)
    assert encoder["blocks.23.attn.qkv.weight"] == (3072, 1024)
    assert encoder["norm.bias"] == (1024,)
    assert predictor["mask_tokens.9"] == (1, 1, 384)
    assert predictor["predictor_blocks.11.mlp.fc1.weight"] == (1536, 384)
    assert predictor["predictor_proj.weight"] == (1024, 384)


@pytest.mark.parametrize("name", ["nano", "tiny", "small", "base", "large", "huge", "giant"])
def test_ratios_are_written_so_that_others_find_the_same_mlp(name: str) -> None:
    size = encoder_size(name)
    assert int(size.dim * cut_ratio(size.dim, size.hidden)) == size.hidden


def test_a_ratio_that_rounding_would_cut_short_is_written_a_hair_larger() -> None:
    cut = [(d, h) for d in range(6, 200) for h in range(1, 4 * d) if int(d * (h / d)) != h]
    assert cut
    assert all(int(d * cut_ratio(d, h)) == h for d, h in cut)


# --- round trips


def test_a_release_comes_back_bit_for_bit(release: Path, encoder, tmp_path: Path) -> None:
    import_weights(release, tmp_path / "in", heads=3, predictor_heads=2)
    export_weights(tmp_path / "in", tmp_path / "again.pt", "vjepa2")
    assert_same(tensors(tmp_path / "again.pt"), tensors(release))
    assert encoder_digest(tmp_path / "in") == encoder_digest(encoder)


def test_equal_exports_are_equal_files(release: Path, encoder, predictor, tmp_path: Path) -> None:
    export_release(tmp_path / "other.pt", encoder, predictor)
    assert (tmp_path / "other.pt").read_bytes() == release.read_bytes()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("shard", ["5GB", "40KB"], ids=["one file", "shards"])
def test_a_transformers_folder_comes_back_bit_for_bit_and_loads(
    encoder, predictor, tmp_path: Path, shard: str
) -> None:
    timm_module("layers")
    transformers = pytest.importorskip("transformers")
    export_transformers(tmp_path / "first", encoder, predictor, size_px=48, frames=4)
    model, told = transformers.VJEPA2Model.from_pretrained(
        tmp_path / "first", output_loading_info=True
    )
    assert not any(told.values()), told
    model.save_pretrained(tmp_path / "theirs", max_shard_size=shard)
    assert (tmp_path / "theirs/model.safetensors.index.json").is_file() == (shard == "40KB")

    import_weights(tmp_path / "theirs", tmp_path / "in")
    export_weights(tmp_path / "in", tmp_path / "out", "transformers")
    assert_same(tensors(tmp_path / "out"), tensors(tmp_path / "theirs"))
    written = json.loads((tmp_path / "out/config.json").read_text())
    theirs = json.loads((tmp_path / "theirs/config.json").read_text())
    assert {k: theirs[k] for k in written} == written
    with torch.no_grad():
        square = torch.randn(1, 3, 4, 48, 48)
        found = model(square.transpose(1, 2), skip_predictor=True).last_hidden_state
        ours = unisurg.load_encoder(tmp_path / "in")(square)
    torch.testing.assert_close(ours, found, atol=1e-5, rtol=1e-5)


def test_every_kind_of_weights_gives_the_same_tokens(
    release: Path, own: Path, encoder, predictor, tmp_path: Path
) -> None:
    export_transformers(tmp_path / "hf", encoder, predictor, size_px=48, frames=4)
    with torch.no_grad():
        expected = encoder(CLIP)
        for path in (own, str(own), tmp_path / "hf"):
            loaded = unisurg.load_encoder(path)
            assert torch.equal(loaded(CLIP), expected)
            assert not loaded.training
        assert torch.equal(unisurg.load_encoder(release, heads=3)(CLIP), expected)


def test_a_predictor_is_rebuilt_in_the_architecture_it_was_saved_in(own: Path, predictor) -> None:
    back = read_predictor(own)
    assert back.size == GUESSER
    assert back.rotary == "vjepa2"
    assert encoder_digest(back) == encoder_digest(predictor)


# --- releases


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone.", "encoder."])
def test_wrappers_before_the_names_are_seen_through(
    prefix: str, release: Path, encoder, tmp_path: Path
) -> None:
    content = torch.load(release, weights_only=True)
    state = {prefix + k.removeprefix("module.backbone."): v for k, v in content["encoder"].items()}
    torch.save({"encoder": state}, tmp_path / "wrapped.pt")
    torch.save(state, tmp_path / "bare.pt")
    for name in ("wrapped.pt", "bare.pt"):
        assert encoder_digest(unisurg.load_encoder(tmp_path / name, heads=3)) == encoder_digest(
            encoder
        )


def test_the_target_encoder_is_taken_unless_the_other_is_asked_for(
    release: Path, tmp_path: Path
) -> None:
    content = torch.load(release, weights_only=True)
    content["encoder"] = {name: value + 1 for name, value in content["encoder"].items()}
    torch.save(content, tmp_path / "two.pt")
    source = open_source(tmp_path / "two.pt")
    target = build_encoder(source, heads=3)
    assert encoder_digest(build_encoder(source, "target_encoder", 3)) == encoder_digest(target)
    trained = build_encoder(source, "encoder", 3)
    torch.testing.assert_close(trained.norm.bias, target.norm.bias + 1)
    torch.save({"encoder": content["encoder"]}, tmp_path / "one.pt")
    source = open_source(tmp_path / "one.pt")
    with pytest.raises(CheckpointError, match=r"no target_encoder; there is encoder"):
        build_encoder(source, "target_encoder", 3)


def test_half_precision_is_widened_and_not_changed(release: Path, tmp_path: Path) -> None:
    content = torch.load(release, weights_only=True)
    half = {name: value.bfloat16() for name, value in content["encoder"].items()}
    torch.save({"encoder": half}, tmp_path / "half.pt")
    loaded = unisurg.load_encoder(tmp_path / "half.pt", heads=3)
    expected = half["module.backbone.patch_embed.proj.weight"].float().flatten(1)
    assert torch.equal(loaded.embed.weight, expected)


def test_heads_come_from_a_size_with_a_name_or_are_asked_for(release: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"pass --heads: no known size is 36 wide and 2 deep with 72 in"
    ):
        unisurg.load_encoder(release)
    with pytest.raises(CheckpointError, match=r"predictor; pass --predictor-heads"):
        build_predictor(open_source(release))
    torch.manual_seed(0)
    export_release(
        tmp_path / "nano.pt",
        VisionTransformer("nano", TUBELET, 0.0, "vjepa2"),
        Predictor(replace(predictor_size("nano"), mask_tokens=2), 128, rotary="vjepa2"),
    )
    source = open_source(tmp_path / "nano.pt")
    assert build_encoder(source).size == encoder_size("nano")
    assert build_encoder(source, heads=8).size.heads == 8
    assert build_predictor(source).size == replace(predictor_size("nano"), mask_tokens=2)


def test_the_frequencies_of_training_can_be_chosen_on_the_way_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_release(tmp_path / "nano.pt", VisionTransformer("nano", TUBELET, 0.0, "vjepa2"), None)
    tokens = {}
    for dtype in ("float32", "bfloat16"):
        import_weights(tmp_path / "nano.pt", tmp_path / dtype, rotary_dtype=dtype)
        loaded = load_encoder(tmp_path / dtype)
        assert loaded.rotary_dtype == dtype
        with torch.no_grad():
            tokens[dtype] = loaded(CLIP)
    difference = (tokens["float32"] - tokens["bfloat16"]).abs().max()
    assert 0 < difference < 0.1


# --- refusals


def spoil(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of an encoder that is not quite V-JEPA 2's."""
    patches, block = "module.backbone.patch_embed.proj.weight", "module.backbone.blocks.1"
    changes: dict[str, dict[str, Tensor | None]] = {
        "positions": {"module.backbone.pos_embed": torch.zeros(1, 12, 36)},
        "class": {"cls_token": torch.zeros(1, 1, 36)},
        "still": {patches: torch.zeros(36, 3, 16, 16)},
        "grey": {patches: torch.zeros(36, 1, 2, 16, 16)},
        "2.1": {"module.backbone.patch_embed_img.proj.weight": torch.zeros(36, 3, 1, 16, 16)},
        "torn": {f"{block}.norm2.bias": None},
        "more": {f"{block}.attn.q_norm.weight": torch.zeros(12)},
        "other": {f"{block}.attn.proj.weight": torch.zeros(36, 12)},
        "patchless": {patches: None},
    }
    changed: dict[str, Any] = state | changes[name]
    return {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("positions", r"pos_embed: a table of positions"),
        ("class", r"cls_token: a class token, as image encoders have"),
        ("still", r"patch_embed\.proj\.weight is \(36, 3, 16, 16\), expected 5 axes"),
        ("grey", r"patch_embed\.proj\.weight takes 1 channels, expected 3"),
        ("2.1", r"patch_embed_img\.proj\.weight: .*V-JEPA 2\.1"),
        ("torn", r"lacks blocks\.1\.norm2\.bias"),
        ("more", r"does not know blocks\.1\.attn\.q_norm\.weight"),
        ("other", r"blocks\.1\.attn\.proj\.weight \(36, 12\), expected \(36, 36\)"),
        ("patchless", r"lacks patch_embed\.proj\.weight, has patch_embed\.proj\.bias"),
    ],
)
def test_another_network_is_refused_by_the_names_of_its_tensors(
    name: str, reason: str, release: Path, tmp_path: Path
) -> None:
    state = torch.load(release, weights_only=True)["encoder"]
    torch.save({"encoder": spoil(name, state)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=rf"other\.pt: encoder.*{reason}"):
        unisurg.load_encoder(tmp_path / "other.pt", heads=3)
    assert reason.split(r"\.")[0][:8].strip("\\") in inspect_weights(tmp_path / "other.pt", heads=3)


def test_a_predictor_of_actions_can_be_left_out(release: Path, encoder, tmp_path: Path) -> None:
    content = torch.load(release, weights_only=True)
    content["predictor"]["module.action_encoder.weight"] = torch.zeros(24, 7)
    torch.save(content, tmp_path / "actions.pt")
    with pytest.raises(CheckpointError, match=r"action_encoder\.weight: .* import the encoder"):
        import_weights(tmp_path / "actions.pt", tmp_path / "in", heads=3, predictor_heads=2)
    assert not (tmp_path / "in").exists()
    import_weights(tmp_path / "actions.pt", tmp_path / "in", heads=3, encoder_only=True)
    assert encoder_digest(tmp_path / "in") == encoder_digest(encoder)
    assert not (tmp_path / "in/predictor.safetensors").exists()


class Malice:
    """Unpickled by Python's own reader, it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("container", ["torch", "bare"])
def test_code_in_a_pickle_is_not_run(container: str, tmp_path: Path) -> None:
    file, made = tmp_path / "malice.pt", tmp_path / "made"
    content = {"encoder": {"patch_embed.proj.weight": torch.zeros(1)}, "opt": Malice(made)}
    if container == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(Malice(made), protocol=2))
    for read in (unisurg.load_encoder, inspect_weights):
        with pytest.raises(
            CheckpointError, match=r"malice\.pt: not read: it asks for \S+mkdir,.*run code"
        ):
            read(file)
    assert not made.exists()
    if container == "bare":
        pickle.loads(file.read_bytes())
        assert made.is_dir()


def test_a_file_that_holds_no_weights_says_what_it_holds(release: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    with pytest.raises(CheckpointError, match=r"file\.pt: no such file"):
        unisurg.load_encoder(file)
    torch.save([torch.zeros(1)], file)
    with pytest.raises(CheckpointError, match=r"holds a list, expected a dictionary"):
        unisurg.load_encoder(file)
    torch.save({"model": {}, "epoch": 3}, file)
    with pytest.raises(CheckpointError, match=r"holds model, epoch; expected target_encoder"):
        unisurg.load_encoder(file)
    file.write_bytes(release.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"file\.pt: (damaged|not read)"):
        unisurg.load_encoder(file)
    file.write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match=r"file\.pt: (damaged|not read)"):
        unisurg.load_encoder(file)
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"file\.pt: (damaged|not read)"):
        unisurg.load_encoder(file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "vit"}, r"model_type is 'vit', expected 'vjepa2'"),
        ({"hidden_act": "silu"}, r"hidden_act is 'silu', expected 'gelu'"),
        ({"qkv_bias": False}, r"qkv_bias is False, expected True"),
        ({"layer_norm_eps": 1e-5}, r"layer_norm_eps is 1e-05, expected 1e-06"),
    ],
)
def test_a_transformers_folder_of_another_network_is_refused_by_field(
    change: dict[str, Any], reason: str, encoder, tmp_path: Path
) -> None:
    export_transformers(tmp_path, encoder, None, size_px=48, frames=4)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=rf"config\.json: {reason}"):
        unisurg.load_encoder(tmp_path)


def test_a_shard_that_is_missing_is_named(encoder, tmp_path: Path) -> None:
    export_transformers(tmp_path, encoder, None, size_px=48, frames=4)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        unisurg.load_encoder(tmp_path)
    index = {"weight_map": {"encoder.layernorm.bias": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors: no such file"):
        unisurg.load_encoder(tmp_path)


def test_what_others_would_read_as_another_network_is_not_exported(tmp_path: Path) -> None:
    exact = VisionTransformer(NARROW, TUBELET, 0.0)
    tall = VisionTransformer(NARROW, (2, 16, 8), 0.0, "vjepa2")
    square = VisionTransformer(NARROW, TUBELET, 0.0, "vjepa2")
    pixels = Predictor(GUESSER, 36, out_dim=8, rotary="vjepa2")
    with pytest.raises(CheckpointError, match=r"exact rotations.*model\.rotary: vjepa2"):
        export_release(tmp_path / "x", exact, None)
    with pytest.raises(CheckpointError, match=r"exact rotations.*model\.rotary: vjepa2"):
        export_transformers(tmp_path / "x", exact, None, 48, 4)
    with pytest.raises(CheckpointError, match=r"square patches, not 16 x 8"):
        export_transformers(tmp_path / "x", tall, None, 48, 4)
    with pytest.raises(CheckpointError, match=r"no predictor of other than latents"):
        export_transformers(tmp_path / "x", square, pixels, 48, 4)
    assert not (tmp_path / "x").exists()


# --- our own format


def test_a_size_without_a_name_and_its_positions_are_kept(own: Path, encoder) -> None:
    config = json.loads((own / "config.json").read_text())
    assert config["format"] == "unisurg-encoder-2"
    assert config["name"] is None
    assert config["size"] == {"dim": 36, "depth": 2, "heads": 3, "mlp_ratio": 2.0}
    assert (config["rotary"], config["rotary_dtype"]) == ("vjepa2", "float32")
    assert load_encoder(own).size == NARROW


def test_a_folder_of_the_first_format_is_still_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer("nano", TUBELET, 0.0)
    predictor = Predictor("nano", encoder.embed_dim)
    first = {
        "format": "unisurg-encoder-1",
        "size": "nano",
        "tubelet": list(TUBELET),
        "embed_dim": 128,
        "digest": encoder_digest(encoder),
        "facts": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(first))
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    state = predictor.state_dict()
    state["mask_token"] = state.pop("mask_tokens")[0].clone()
    save_file(state, tmp_path / "predictor.safetensors")
    assert encoder_digest(load_encoder(tmp_path)) == encoder_digest(encoder)
    assert encoder_digest(read_predictor(tmp_path)) == encoder_digest(predictor)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rotary": "other"}, r"rotary 'other'; expected one of exact, vjepa2"),
        ({"size": {"dim": 36}}, r"size or tubelet cannot be used"),
        ({"size": "enormous"}, r"no size named 'enormous'"),
        ({"tubelet": [2, 16]}, r"size or tubelet cannot be used"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_which_field(
    change: dict[str, Any], reason: str, own: Path
) -> None:
    file = own / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{reason}"):
        load_encoder(own)


# --- the command line


def run(*arguments: str | Path) -> int:
    return cli.main(["weights", *map(str, arguments)])


def test_the_verbs_need_no_settings_and_tell_what_they_did(
    release: Path, encoder, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("import", release, "--output", "in", "--heads", "3", "--predictor-heads", "2") == 0
    assert run("export", "in", "--format", "transformers", "--output", "hf", "--size-px", "48") == 0
    assert json.loads(Path("hf/config.json").read_text())["crop_size"] == 48
    capsys.readouterr()
    for path, kind in [
        (release, "V-JEPA 2 release"),
        ("in", "UniSurg folder"),
        ("hf", "transformers"),
    ]:
        assert run("inspect", path, "--heads", "3") == 0
        lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        assert lines["kind"].startswith(kind)
        assert lines["size"].startswith("unnamed size (36 wide, 2 deep, 3 heads)")
        assert lines["tubelet"].startswith("2 x 16 x 16")
        assert lines["rotary"].startswith("vjepa2")
        assert lines["digest"] == encoder_digest(encoder)
        assert lines["predictor"].endswith("float32")


def test_an_error_is_one_message_that_names_the_file(release: Path, tmp_path: Path, capsys) -> None:
    assert run("import", release, "--output", tmp_path / "in") == 1
    assert "release.pt: target_encoder; pass --heads" in capsys.readouterr().err
    assert not (tmp_path / "in").exists()


def test_our_own_folder_needs_no_import(own: Path, tmp_path: Path, capsys) -> None:
    assert run("import", own, "--output", tmp_path / "in") == 1
    assert "is a folder of UniSurg already" in capsys.readouterr().err


def test_an_export_without_a_predictor_says_so(own: Path, tmp_path: Path, capsys) -> None:
    (own / "predictor.safetensors").unlink()
    assert run("export", own, "--format", "vjepa2", "--output", tmp_path / "out.pt") == 0
    assert "there is no predictor" in capsys.readouterr().out
    assert set(torch.load(tmp_path / "out.pt", weights_only=True)) == {"target_encoder", "encoder"}
    assert asdict(load_encoder(own).size)["heads"] == 3
