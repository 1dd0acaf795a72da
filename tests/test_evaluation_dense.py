"""Segmentation and depth from files to results: frozen features, decoders, fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from probe_stores import epochs
from pydantic import ValidationError

from unisurg.benchmarks import BenchmarkError, find
from unisurg.benchmarks.c3vd import CAMERA, read_depth
from unisurg.evaluation import store
from unisurg.evaluation.extraction import features
from unisurg.evaluation.extraction.cases import read_cases
from unisurg.evaluation.extraction.encoders import compared_encoders, depths_of
from unisurg.evaluation.finetuning import finetune
from unisurg.evaluation.probing import probe
from unisurg.models.checkpoints import save_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import to_input
from unisurg.models.sizes import Size
from unisurg.models.zoo import ClipEncoder, EncoderError
from unisurg.settings import Baseline, Settings
from unisurg.settings import Benchmark as Wanted
from unisurg.video.omnidirectional import (
    Omnidirectional,
    pinhole_of,
    undistort,
    undistortion_maps,
)

FRAMES, HEIGHT, WIDTH = 7, 24, 40
SEQUENCES = ("cecum_t1_a", "desc_t1_a", "sigmoid_t1_a", "trans_t1_a", "trans_t2_a")
SETS = {"kvasir": "Kvasir", "etis": "ETIS-LaribPolypDB"}


def write_c3vd(root: Path) -> None:
    """The five sequences, brighter where they are nearer."""
    for number, name in enumerate(SEQUENCES):
        (root / name).mkdir(parents=True)
        for frame in range(FRAMES):
            rng = np.random.default_rng([number, frame])
            levels = rng.integers(3000, 60_000, (6, 10), np.uint16).repeat(4, 0).repeat(4, 1)
            levels[:2, :3] = 0
            pixels = np.stack([255 - levels // 256] * 3, axis=-1).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{frame:04d}_color.png")
            Image.fromarray(levels).save(root / name / f"{frame:04d}_depth.tiff")
        (root / name / "pose.txt").write_text("1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1\n" * FRAMES)
    small = dict(CAMERA) | {"width": WIDTH, "height": HEIGHT, "cx": 19.5, "cy": 11.5, "a0": 23.0}
    small |= {"a2": -0.02, "a3": 0.0, "a4": 0.0}
    rows = "".join(f"{key} = {value}\n" for key, value in small.items())
    (root / "camera_intrinsics.txt").write_text(rows)


def write_polyps(root: Path) -> None:
    for folder, count in (("TrainDataset", 5), *((f"TestDataset/{s}", 2) for s in SETS.values())):
        for i in range(count):
            rng = np.random.default_rng([i, *folder.encode()])
            picture = rng.integers(0, 256, (30 + i, 40, 3), np.uint8)
            for kind, pixels in (("images", picture), ("masks", picture[..., 0])):
                (root / folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / folder / kind / f"{i}.png")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_c3vd(root / "c3vd")
    write_polyps(root / "polyps")
    return root


def tiny_encoder() -> VisionTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(99)
        return VisionTransformer(Size(dim=32, depth=3, heads=2), (2, 16, 16), 0.0).eval()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder, tiny_encoder(), {})
    return folder


def small(settings: Settings, raw: Path, undistort: bool = False, **changes: Any) -> Settings:
    """The settings on that copy, at a size that takes a second."""
    roots = {"c3vd": raw / "c3vd", **dict.fromkeys(SETS, raw / "polyps")}
    rows = {
        name: settings.benchmarks[name].model_copy(update={"root": root, "size_px": 32})
        for name, root in roots.items()
    }
    rows["c3vd"] = rows["c3vd"].model_copy(update={"undistort": undistort, "every": 2})
    probed = {"seeds": (0,), "epochs": epochs(2), "lr": (1e-3,), "halving": (), "bootstrap": 20}
    tuned = {"seeds": (0,), "epochs": 1, "warmup_epochs": 0.0, "batch": 4}
    seen = {"random_encoders": 1, "batch": 4, "fit_every_s": 4, "protocol": "dense", **changes}
    return settings.model_copy(
        update={
            "benchmarks": rows,
            "baselines": {},
            "features": settings.features.model_copy(update=seen),
            "probe": settings.probe.model_copy(update=probed),
            "finetune": settings.finetune.model_copy(update=tuned),
        }
    )


Extract = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def extract(encoder: Path, tmp_path: Path) -> Extract:
    def run(name: str, wanted: Settings) -> tuple[Path, dict[str, Any]]:
        output = tmp_path / "features" / name
        scratch = tmp_path / "scratch"
        return output, features.extract(name, wanted, encoder, output, scratch)

    return run


def tokens_of(folder: Path, case: str) -> np.ndarray:
    return np.load(store.tokens_path(folder, "pretrained", case)).astype(np.float32)


# --- cases of depth -----------------------------------------------------------------------------


def test_every_frame_of_a_test_sequence_is_asked_and_of_others_every_so_many(
    settings: Settings, raw: Path
) -> None:
    wanted = small(settings, raw)
    cases = read_cases(find("c3vd", raw / "c3vd"), wanted)
    places = {case.case: case.sources[0].places.tolist() for case in cases}
    assert places["trans_t1_a"] == list(range(FRAMES))
    assert places["cecum_t1_a"] == [0, 2, 4, 6]


def test_a_clip_is_the_frame_and_its_neighbours_before_it(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    folder, _ = extract("c3vd", small(settings, raw))
    path = raw / "c3vd/trans_t1_a"
    frames = [np.asarray(Image.open(path / f"{i:04d}_color.png")) for i in (1, 2, 3, 4)]
    resized = [
        np.asarray(Image.fromarray(f).resize((48, 32), Image.Resampling.BILINEAR)) for f in frames
    ]
    clip = torch.from_numpy(np.stack(resized))[None]
    expected = tiny_encoder()(to_input(clip)).detach().numpy().reshape(2, 2, 3, 32)
    assert np.allclose(tokens_of(folder, "trans_t1_a")[4], expected, atol=5e-3)


def test_the_depths_that_a_probe_reads_are_those_of_the_files(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    folder, _ = extract("c3vd", small(settings, raw))
    (case, *_) = store.read(folder).cases("train")
    files = sorted((raw / "c3vd" / case.case).glob("*_depth.tiff"))[::2]
    assert len(case.truth()) == len(files)
    for found, path in zip(case.truth(), files, strict=True):
        assert np.array_equal(found, read_depth(path))
        assert (found[:2, :3] == 0).all()


def test_frames_and_depths_are_undistorted_together(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    folder, _ = extract("c3vd", small(settings, raw, undistort=True))
    (case, *_) = read_cases(find("c3vd", raw / "c3vd"), small(settings, raw, undistort=True))
    camera = case.sources[0].undistortion.camera
    assert isinstance(camera, Omnidirectional)
    maps = undistortion_maps(camera, pinhole_of(camera))
    assert np.abs(maps[0] - np.arange(WIDTH)).max() > 1
    depth = undistort(read_depth(case.sources[0].depths[2]), maps, nearest=True)
    stored = store.read(folder).cases("train")[0].truth()
    assert np.array_equal(stored[1], depth)
    assert np.array_equal(case.truth()[1], depth)
    plain = small(settings, raw)
    assert not np.array_equal(read_cases(find("c3vd", raw / "c3vd"), plain)[0].truth()[1], depth)


def test_undistortion_is_part_of_what_the_cache_goes_by(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    extract("c3vd", small(settings, raw))
    _, facts = extract("c3vd", small(settings, raw, undistort=True))
    assert facts["cached"] == 0
    _, facts = extract("c3vd", small(settings, raw))
    assert facts["encoded"] == 0


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("c3vd", "undistort", None, "missing"),
        ("etis", "undistort", True, "of no use"),
        ("c3vd", "every", None, "missing"),
        ("etis", "every", 2, "of no use"),
    ],
)
def test_what_speaks_of_sequences_belongs_to_blocks_of_depth_alone(
    name: str, key: str, value: Any, told: str, settings: Settings, raw: Path
) -> None:
    wanted = small(settings, raw)
    row = wanted.benchmarks[name].model_copy(update={key: value})
    wanted = wanted.model_copy(update={"benchmarks": {name: row}})
    with pytest.raises(BenchmarkError, match=rf"benchmarks\.{name}.*`{key}` is {told}"):
        read_cases(find(name, row.root), wanted)


@pytest.mark.parametrize("key", ["fps", "every"])
def test_a_block_counts_in_seconds_or_in_frames_and_never_in_both(key: str) -> None:
    row = {"root": "x", "split": "all", "frames": 4, "size_px": 32}
    assert Wanted(**row, **{key: 2}).known_fps == (2 if key == "fps" else None)
    for wrong in ({}, {"fps": 1.0, "every": 2}):
        with pytest.raises(ValidationError, match="needs fps, or in a block of depth `every`"):
            Wanted(**row, **wrong)


def test_no_rate_is_told_of_sequences_whose_time_is_counted_in_frames(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    wanted = small(settings, raw)
    folder, _ = extract("c3vd", wanted)
    found, _ = probed("c3vd", wanted, folder)
    assert found["fps"] is None
    assert (found["lookahead_frames"], found["lookahead_s"]) == (0, 0.0)
    known = store.read(folder).index
    assert replace(known, lookahead_frames=2).lookahead_s is None
    assert replace(known, lookahead_frames=2, fps=4.0).lookahead_s == 0.5


def test_how_far_apart_training_clips_are_changes_no_token_of_a_test(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    wanted = small(settings, raw)
    extract("c3vd", wanted)
    row = wanted.benchmarks["c3vd"].model_copy(update={"every": 3})
    rows = wanted.benchmarks | {"c3vd": row}
    _, facts = extract("c3vd", wanted.model_copy(update={"benchmarks": rows}))
    assert facts["cached"] == 2 * 2  # the two test sequences, under two encoders


# --- several depths of the encoder --------------------------------------------------------------


def test_a_token_is_what_the_wanted_blocks_say_of_its_place(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    last, _ = extract("etis", small(settings, raw))
    before = tokens_of(last, "test-0")
    several, facts = extract("etis", small(settings, raw, depths=(0, 2)))
    after = tokens_of(several, "test-0")
    assert facts["cached"] == 0
    assert after.shape == (*before.shape[:-1], 64)
    # Of three blocks the last one's tokens are what the encoder gives in the end.
    assert np.array_equal(after[..., 32:], before)
    assert not np.allclose(after[..., :32], before, atol=1e-2)


def test_clips_of_other_families_keep_the_last_tokens(settings: Settings, raw: Path) -> None:
    wanted = small(settings, raw, depths=(0, 2))
    found = {
        task: depths_of(wanted, task) for task in ("segmentation", "depth", "phase", "triplet")
    }
    assert found == {"segmentation": (0, 2), "depth": (0, 2), "phase": (), "triplet": ()}


def test_a_block_that_the_encoder_does_not_have_names_the_setting() -> None:
    with pytest.raises(EncoderError, match=r"features\.depths: \[1, 3\]: .* 0 to 2"):
        ClipEncoder(tiny_encoder(), (1, 3))


def test_an_encoder_without_blocks_to_choose_is_refused_by_its_name(
    settings: Settings, raw: Path, encoder: Path
) -> None:
    row = Baseline(model="timm:test_vit", weights="untrained", benchmarks=("etis",))
    wanted = small(settings, raw).model_copy(update={"baselines": {"images": row}})
    with pytest.raises(EncoderError, match=r"baselines\.images: .*features\.depths"):
        compared_encoders(wanted, "etis", encoder, (0, 2))


# --- decoders -----------------------------------------------------------------------------------


def probed(name: str, wanted: Settings, folder: Path) -> tuple[dict[str, Any], Path]:
    output = folder.parent.parent / "probe" / name
    metrics = folder.parent.parent / f"{name}.json"
    return probe.run(name, wanted, folder, metrics, output, lambda step, values: None), output


def test_depth_is_probed_and_the_middle_frames_are_kept_for_the_report(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    wanted = small(settings, raw)
    folder, _ = extract("c3vd", wanted)
    found, output = probed("c3vd", wanted, folder)
    assert (found["kind"], found["cases"]) == ("decoder", {"train": 2, "val": 1, "test": 2})
    assert {"abs_rel_unscaled", "delta_1.1_ratio_ppsnet_scaled"} <= set(found["pretrained"])
    with np.load(output / "predictions.npz") as arrays:
        truth = read_depth(raw / "c3vd/trans_t1_a/0003_depth.tiff")
        assert np.array_equal(arrays["truth/trans_t1_a"], truth)
        assert arrays["pretrained/trans_t1_a"].shape == (HEIGHT, WIDTH)
        picture = Image.open(raw / "c3vd/trans_t1_a/0003_color.png")
        assert np.array_equal(arrays["image/trans_t1_a"], np.asarray(picture))


def test_one_decoder_is_tested_on_every_set_of_polyps_and_no_picture_is_encoded_twice(
    settings: Settings, raw: Path, extract: Extract
) -> None:
    wanted = small(settings, raw)
    first, facts = extract("kvasir", wanted)
    assert (facts["encoded"], facts["cached"]) == (2 * 7, 0)
    other, facts = extract("etis", wanted)
    assert (facts["encoded"], facts["cached"]) == (2 * 2, 2 * 5)
    ours, _ = probed("kvasir", wanted, first)
    theirs, _ = probed("etis", wanted, other)
    assert ours["chosen"] == theirs["chosen"]
    main = "mean_dice_threshold_0.5"
    assert ours["pretrained"][main] != theirs["pretrained"][main]
    assert {"s_measure_raw", "weighted_f_minmax", "e_measure_max_raw"} <= set(ours["pretrained"])


@pytest.mark.parametrize("name", ["c3vd", "kvasir"])
@pytest.mark.parametrize("depths", ["last", (0, 2)])
def test_the_whole_encoder_is_tuned_on_maps(
    name: str, depths: Any, settings: Settings, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    wanted = small(settings, raw, depths=depths)
    facts = finetune.run(
        name,
        wanted,
        encoder,
        tmp_path / "metrics.json",
        tmp_path / "out",
        tmp_path / "scratch",
        lambda step, values: None,
    )
    assert np.isfinite(facts["pretrained"][facts["main"]]["mean"])
    with np.load(tmp_path / "out/predictions.npz") as arrays:
        (case, *_) = [key for key in arrays if key.startswith("truth/")]
        assert arrays[case.replace("truth", "pretrained")].shape == arrays[case].shape


def test_a_changed_depth_of_a_training_frame_is_another_tuning(
    settings: Settings, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    write_c3vd(tmp_path / "c3vd")
    write_polyps(tmp_path / "polyps")
    wanted = small(settings, tmp_path)
    benchmark = find("c3vd", tmp_path / "c3vd")

    def digest() -> str:
        return finetune._read(benchmark, wanted, tiny_encoder(), tmp_path / "scratch")[1]

    before = digest()
    assert digest() == before
    path = tmp_path / "c3vd/cecum_t1_a/0002_depth.tiff"
    Image.fromarray(np.full((HEIGHT, WIDTH), 9000, np.uint16)).save(path)
    assert digest() != before
