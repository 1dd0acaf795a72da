"""Features are causal, computed once, cached by content and survive an interrupted run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from unisurg.benchmarks import BenchmarkError, find
from unisurg.benchmarks.avos import AVOS
from unisurg.benchmarks.base import PARTS
from unisurg.benchmarks.cholec80 import CHOLEC80, PHASES
from unisurg.benchmarks.egosurgery import EGOSURGERY
from unisurg.evaluation import store
from unisurg.evaluation.extraction import cache, features, frames
from unisurg.evaluation.extraction.cases import ProbeCase, Video, read_cases
from unisurg.evaluation.extraction.clips import CaseClips, Chunk, chunks, merged
from unisurg.evaluation.extraction.frames import Footage, whole_frame
from unisurg.models.checkpoints import load_encoder, random_encoder, save_encoder
from unisurg.models.normalise import to_input
from unisurg.models.zoo import ClipEncoder, timm_encoder
from unisurg.settings import Baseline, Settings, load
from unisurg.video.sampling import causal_windows

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 6
VIDEOS = 4


def write_video(path: Path, seconds: int, seed: int, size: tuple[int, int] = (64, 80)) -> None:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    height, width = size
    pictures = rng.integers(0, 256, (seconds, height // 16, width // 16, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(seconds * 25):
            picture = pictures[i // 25].repeat(16, 0).repeat(16, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_raw(root: Path) -> None:
    """A tiny copy of both data sets in their official layouts."""
    for number in range(1, VIDEOS + 1):
        name, base = f"video{number:02d}", root / "cholec80"
        write_video(base / f"videos/{name}.mp4", SECONDS, seed=number)
        rows = [f"{i}\t{PHASES[i * 3 // (25 * SECONDS)]}" for i in range(25 * SECONDS)]
        (base / "phase_annotations").mkdir(exist_ok=True)
        text = "\n".join(["Frame\tPhase", *rows]) + "\n"
        (base / f"phase_annotations/{name}-phase.txt").write_text(text)
    for folder, count in (("TrainDataset", 5), ("TestDataset/Kvasir", 2)):
        for i in range(count):
            rng = np.random.default_rng([i, count])
            picture = rng.integers(0, 256, (30 + i, 40, 3), np.uint8)
            for kind, pixels in (("images", picture), ("masks", picture[..., 0])):
                (root / "polyps" / folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / "polyps" / folder / kind / f"{i}.png")


def write_pictures(root: Path) -> None:
    """EgoSurgery's layout: folders of pictures every two seconds, some without a phase."""
    phases = [EGOSURGERY.classes[i] for i in (0, 0, 1, 1, 2, 2)] + [""]
    for number in range(1, VIDEOS + 1):
        name = f"{number:02d}"
        folder = root / "egosurgery/images" / name
        folder.mkdir(parents=True)
        (root / "egosurgery/annotations/phase").mkdir(parents=True, exist_ok=True)
        rows = ["Frame,Phase"]
        for i, phase in enumerate(phases):
            picture = np.random.default_rng([number, i]).integers(0, 256, (4, 5, 3), np.uint8)
            frame = f"{name}_1_{i + 1:04d}"
            Image.fromarray(picture.repeat(16, 0).repeat(16, 1)).save(folder / f"{frame}.jpg")
            rows.append(f"{frame},{phase}")
        table = root / f"egosurgery/annotations/phase/{name}_1.csv"
        table.write_text("\n".join(rows) + "\n")


def write_clips(root: Path) -> None:
    """AVOS's layout: several clips of a YouTube video, one of them in another shape."""
    rows = []
    for number in range(1, VIDEOS + 1):
        for clip in range(2):
            name = f"-youtube_{number:02d}_{clip}_{clip + 3}"
            size = (64, 80) if (number, clip) != (1, 1) else (96, 64)
            write_video(root / f"avos/videos/{name}.mp4", 2 + clip, 10 * number + clip, size)
            rows.append(f"{name}.mp4\t{AVOS.classes[clip]}")
    (root / "avos/anno_meta.txt").write_text("\n".join(rows) + "\n")


FOLDERS = {"cholec80": "cholec80", "kvasir": "polyps", "egosurgery": "egosurgery", "avos": "avos"}
FRAMES = "frames-untrained"


def small(root: Path, **features: Any) -> Settings:
    """The settings of params.yaml on that copy, at a size that takes a second."""
    settings = load(ROOT / "params.yaml")
    rows = {
        name: settings.benchmarks[name].model_copy(
            update={"frames": 4, "size_px": 32, "root": root / folder}
        )
        for name, folder in FOLDERS.items()
    }
    baseline = Baseline(model="timm:test_vit", weights="untrained", benchmarks=tuple(FOLDERS))
    fewer = {"random_encoders": 1, "batch": 4, "grid": 1, "fit_every_s": 1, "protocol": "dense"}
    return settings.model_copy(
        update={
            "benchmarks": rows,
            "features": settings.features.model_copy(update={**fewer, **features}),
            "baselines": {FRAMES: baseline},
        }
    )


Extract = Callable[..., store.Store]
ENCODERS = 3  # of small: pretrained, random-0 and the frame encoder


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_raw(root)
    write_pictures(root)
    write_clips(root)
    return root


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder, random_encoder(load(ROOT / "params.yaml").model, seed=99), {})
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- clips --------------------------------------------------------------------------------------


class CountingVideo:
    """Frame i is a picture of value i; remembers what was read."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.seen: list[int] = []

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        self.seen.extend(indices.tolist())
        return np.stack([np.full((*self.size, 3), i, np.uint8) for i in indices])


@pytest.mark.parametrize("batch", [1, 3, 16, 100])
def test_each_frame_is_decoded_once_whatever_the_batch(batch: int) -> None:
    video = CountingVideo((8, 8))
    windows = causal_windows(np.arange(25.0), 5, 1.0, 1.0, 20)
    found = list(chunks(video, windows, batch))
    assert video.seen == list(range(20))
    clips = np.concatenate([chunk.windows for chunk in found])
    assert np.array_equal(clips[:, :, 0, 0, 0], windows)
    fresh = np.concatenate([chunk.frames for chunk in found])
    assert fresh[:, 0, 0, 0].tolist() == list(range(20))


def test_short_sources_of_one_size_share_a_batch() -> None:
    def part(count: int, width: int) -> Chunk:
        return Chunk(np.zeros((count, 2, 1, width, 3)), np.zeros((1, 1, width, 3)))

    found = list(merged([part(1, 4), part(1, 4), part(2, 4), part(1, 8), part(4, 8)], batch=3))
    assert [chunk.windows.shape[::3][:1] for chunk in found] == [(2,), (2,), (1,), (4,)]
    assert [len(chunk.frames) for chunk in found] == [2, 1, 1, 1]


class EndlessVideo:
    """Six hours of frames; knows how many of those it gave are still held by somebody."""

    rate, size = 1.0, (8, 8)
    held = most = 0

    def __len__(self) -> int:
        return 6 * 3600

    def read(self, indices: np.ndarray) -> np.ndarray:
        given = np.zeros((len(indices), *self.size, 3), np.uint8)
        self.held += len(indices)
        self.most = max(self.most, self.held)
        weakref.finalize(given, self._let_go, len(indices))
        return given

    def _let_go(self, count: int) -> None:
        self.held -= count

    def close(self) -> None:
        pass


class MeanColour:
    """An encoder of one token, so that hours take seconds."""

    tubelet, digest, device = (2, 8, 8), "mean", torch.device("cpu")
    facts: ClassVar[dict[str, str]] = {}

    def __init__(self, by_frame: bool) -> None:
        self.by_frame = by_frame

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        means = clips.float().mean((2, 3))[:, :, None, None]
        return means if self.by_frame else means[:, ::2]


def encode(
    video: Any,
    encoders: dict[str, Any],
    settings: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Path]:
    """Files of tokens of a test video labelled at every frame, by encoder."""
    seconds = np.arange(float(len(video)))
    source = Video(folder, 1.0, seconds, 1.0, len(video))
    case = ProbeCase("long", "test", (source,), np.zeros(len(video), np.int64), seconds)
    footage = Footage(settings.benchmarks["cholec80"], settings.curate, folder, 16)
    monkeypatch.setattr(footage, "open", lambda source: video)
    job = features.Extraction(settings, CHOLEC80, encoders, footage, folder)
    entries = {variant: folder / f"{variant}.npy" for variant in encoders}
    features._encode(job, case, entries)
    return entries


class NoiseVideo(EndlessVideo):
    """Forty frames of noise; from frame `changed` on of other noise."""

    def __init__(self, changed: int) -> None:
        rng, other = np.random.default_rng(0), np.random.default_rng(1)
        self.frames = rng.integers(0, 256, (40, 32, 32, 3), np.uint8)
        self.frames[changed:] = other.integers(0, 256, (40 - changed, 32, 32, 3), np.uint8)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.frames[indices]


@pytest.mark.parametrize("changed", [1, 18, 39])
def test_in_dense_causal_clips_no_bit_depends_on_a_later_frame(
    changed: int, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(raw)
    encoders = {
        "clips": ClipEncoder(random_encoder(settings.model, 0)),
        "frames": timm_encoder("test_vit", "untrained", 0),
    }
    found = []
    for video in (NoiseVideo(40), NoiseVideo(changed)):
        entries = encode(video, encoders, settings, tmp_path, monkeypatch)
        found.append({variant: np.load(path) for variant, path in entries.items()})
    for variant, before in found[0].items():
        after = found[1][variant]
        assert np.array_equal(before[:changed], after[:changed])
        assert not np.array_equal(before[changed], after[changed])


@pytest.mark.parametrize("protocol", ["dense", "fast"])
def test_six_hours_are_encoded_with_the_frames_of_a_chunk_in_memory(
    protocol: str, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = EndlessVideo()
    encoders = {"clips": MeanColour(False), "frames": MeanColour(True)}
    settings = small(raw, protocol=protocol, batch=16)
    entries = encode(video, encoders, settings, tmp_path, monkeypatch)
    assert video.most <= 2 * (16 + 4) * 4, "two chunks and their windows"
    rows = {variant: len(np.load(path, mmap_mode="r")) for variant, path in entries.items()}
    assert rows == {"clips": 6 * 3600 // (1 if protocol == "dense" else 2), "frames": 6 * 3600}


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 854, (96, 176)), (256, 256, (96, 96)), (854, 480, (176, 96)), (50, 60, (96, 112))],
)
def test_the_whole_frame_keeps_its_aspect_to_the_nearest_token(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    assert whole_frame(height, width, size_px=96, multiple=16) == expected


def test_the_border_of_a_picture_is_kept() -> None:
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, :8] = picture[:, -8:] = 255
    small_picture = frames.resize(picture, (32, 32))
    assert small_picture[:, 0].min() > 200
    assert small_picture[:, -1].min() > 200


def test_pooling_averages_space_and_keeps_time() -> None:
    tokens = torch.arange(2 * 3 * 4 * 6 * 5.0).view(2, 3, 4, 6, 5)
    pooled = features.pool(tokens, 2)
    assert pooled.shape == (2, 3, 2, 2, 5)
    assert torch.allclose(pooled[1, 2, 0, 1], tokens[1, 2, :2, 3:].mean((0, 1)))
    assert features.pool(tokens, 0) is tokens
    assert features.pool(tokens, 6) is tokens
    assert features.pool(tokens, 5).shape == (2, 3, 4, 5, 5)


def clips_of(case: store.StoredCase, variant: str) -> np.ndarray:
    """Tokens (S, t, h, w, D) of all clips of a case."""
    tokens = case.tokens(variant)
    return np.stack([tokens[i] for i in range(len(tokens))])


# --- extraction ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def extracted(raw: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of both benchmarks and their cache, computed once for the tests that only look."""
    folder = tmp_path_factory.mktemp("extracted")
    for name in FOLDERS:
        features.extract(name, small(raw), encoder, folder / name, folder / "scratch")
    return folder


def test_a_stored_token_is_the_encoder_on_the_causal_clip(
    extracted: Path, raw: Path, encoder: Path
) -> None:
    from unisurg.video.decode import open_clip

    case = store.read(extracted / "cholec80").cases("train")[0]
    tokens = case.tokens("pretrained")
    assert tokens.shape == (SECONDS, 2, 1, 1, 128)
    assert case.truth().tolist() == [0, 0, 1, 1, 2, 2]
    sha256 = frames.sha256(raw / "cholec80/videos/video01.mp4")
    (clip,) = (extracted / "scratch/video").glob(f"{sha256}*.mp4")
    seen = open_clip(clip).read([0, 0, 1, 2])
    size = whole_frame(*seen.shape[1:3], 32, 16)
    clip_in = np.stack([frames.resize(frame, size) for frame in seen])[None]
    with torch.inference_mode():
        expected = load_encoder(encoder)(to_input(torch.from_numpy(clip_in)))
    pooled = expected.unflatten(1, (2, -1)).mean(2)[0]
    assert np.allclose(tokens[2][:, 0, 0], pooled.numpy(), atol=5e-3)


def test_only_videos_that_are_not_tested_may_be_seen_less_often(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    seldom = small(raw, fit_every_s=4)
    features.extract("cholec80", seldom, encoder, tmp_path / "out", extracted / "scratch")
    found, dense = store.read(tmp_path / "out"), store.read(extracted / "cholec80")
    for part, every in (("train", 4), ("val", 4), ("test", 1)):
        for some, every_second in zip(found.cases(part), dense.cases(part), strict=True):
            seen = np.flatnonzero(np.isin(every_second.moments(), some.moments()))
            assert len(seen) == len(some.moments())
            assert (np.diff(seen) == every).all()
            assert np.array_equal(some.truth(), every_second.truth()[seen])
            for variant in ("pretrained", f"{FRAMES}-0"):
                ours, theirs = (clips_of(case, variant) for case in (some, every_second))
                assert np.allclose(ours, theirs[seen], atol=5e-3)


def test_pictures_keep_their_full_grid_and_their_truth(extracted: Path, raw: Path) -> None:
    data = store.read(extracted / "kvasir")
    assert [len(data.cases(part)) for part in ("train", "val", "test")] == [4, 1, 2]
    case = data.cases("test")[1]
    assert case.tokens("random-0").shape == (1, 2, 2, 2, 128)
    assert case.image().shape == (31, 40, 3)
    assert np.array_equal(case.truth(), case.image()[..., 0] > 128)


def test_a_second_run_reads_the_cache_and_writes_the_same_bytes(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    facts = features.extract(
        "cholec80", small(raw), encoder, tmp_path / "again", extracted / "scratch"
    )
    assert (facts["encoded"], facts["cached"]) == (0, ENCODERS * VIDEOS)
    assert digests(tmp_path / "again") == digests(extracted / "cholec80")


def test_a_fresh_run_writes_the_same_bytes(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    facts = features.extract("kvasir", small(raw), encoder, tmp_path / "a", tmp_path / "scratch")
    assert facts["encoded"] == ENCODERS * 7
    assert digests(tmp_path / "a") == digests(extracted / "kvasir")


def test_another_encoder_reruns_only_itself(extracted: Path, raw: Path, tmp_path: Path) -> None:
    settings = small(raw)
    save_encoder(tmp_path / "other", random_encoder(settings.model, seed=5), {})
    facts = features.extract(
        "kvasir", settings, tmp_path / "other", tmp_path / "out", extracted / "scratch"
    )
    assert (facts["encoded"], facts["cached"]) == (7, 14)


@pytest.mark.parametrize("change", [{"frames": 6}, {"size_px": 48}])
def test_another_transform_reads_no_old_feature(
    change: dict[str, int], extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw)
    row = settings.benchmarks["kvasir"].model_copy(update=change)
    settings = settings.model_copy(update={"benchmarks": {**settings.benchmarks, "kvasir": row}})
    facts = features.extract("kvasir", settings, encoder, tmp_path, extracted / "scratch")
    assert facts["cached"] == 0


def test_equal_weights_in_another_network_read_no_old_feature(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    """Two heads or four have the same weights by name and shape, and other features."""
    other = shutil.copytree(encoder, tmp_path / "encoder")
    config = json.loads((other / "config.json").read_text())
    config["size"]["heads"] //= 2
    (other / "config.json").write_text(json.dumps(config))
    facts = features.extract("kvasir", small(raw), other, tmp_path / "out", extracted / "scratch")
    assert facts["cached"] == 7, "the frame encoder alone"


def test_features_hold_no_path_of_this_machine(extracted: Path) -> None:
    index = json.loads((extracted / "cholec80/index.json").read_text())
    assert str(extracted) not in json.dumps(index)
    assert index["encoders"] == {
        "pretrained": ["pretrained"],
        "random": ["random-0"],
        FRAMES: [f"{FRAMES}-0"],
    }
    assert set(index["digests"]) == {"pretrained", "random-0", f"{FRAMES}-0"}


def test_a_video_much_longer_than_its_labels_is_an_error(
    raw: Path, encoder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cholec80"
    (root / "phase_annotations").mkdir(parents=True)
    for path in (raw / "cholec80/phase_annotations").iterdir():
        (root / "phase_annotations" / path.name).write_text(path.read_text())
    for i in range(1, VIDEOS + 1):
        write_video(root / f"videos/video{i:02d}.mp4", SECONDS + 8, seed=i)
    with pytest.raises(BenchmarkError, match=r"video01\.mp4: lasts 14 s but has labels for 6 s"):
        features.extract("cholec80", small(tmp_path), encoder, tmp_path / "out", tmp_path / "s")


def test_a_video_that_cannot_be_read_is_named(raw: Path, encoder: Path, tmp_path: Path) -> None:
    root = tmp_path / "cholec80"
    (root / "phase_annotations").mkdir(parents=True)
    (root / "videos").mkdir()
    for path in (raw / "cholec80/phase_annotations").iterdir():
        (root / "phase_annotations" / path.name).write_text(path.read_text())
        (root / "videos" / path.name.replace("-phase.txt", ".mp4")).write_bytes(b"no video")
    with pytest.raises(BenchmarkError, match=r"video01\.mp4: cannot be read"):
        features.extract("cholec80", small(tmp_path), encoder, tmp_path / "out", tmp_path / "s")


# --- protocols, windows, kinds of cases ---------------------------------------------------------


@pytest.fixture
def extract(encoder: Path, extracted: Path) -> Extract:
    """Features of other settings; videos that were normalised before are not normalised again."""

    def run(name: str, raw: Path, output: Path, **change: Any) -> store.Store:
        features.extract(name, small(raw, **change), encoder, output, extracted / "scratch")
        return store.read(output)

    return run


def test_frames_encoded_by_themselves_are_stored_once_and_know_their_place(
    extracted: Path, raw: Path
) -> None:
    case = store.read(extracted / "cholec80").cases("test")[0]
    tokens = case.tokens(f"{FRAMES}-0")
    assert tokens.shape == (SECONDS, 4, 1, 1, 64)
    assert tokens.rows.shape == (SECONDS, 1, 1, 64)
    assert tokens.windows is not None
    assert tokens.windows[2].tolist() == [0, 0, 1, 2]
    assert tokens.code is not None
    assert np.allclose(tokens[5][3, 0, 0] - tokens.code[3], tokens.rows[5, 0, 0], atol=1e-3)


def changed_after(raw: Path, root: Path, second: int) -> Path:
    """The pictures of egosurgery, those after `second` of each video replaced."""
    shutil.copytree(raw / "egosurgery", root / "egosurgery")
    for path in sorted((root / "egosurgery/images").rglob("*.jpg")):
        if (int(path.stem[-4:]) - 1) * 2 > second:
            Image.fromarray(np.full((64, 80, 3), 200, np.uint8)).save(path)
    return root


@pytest.mark.parametrize(
    ("change", "ahead_s"),
    [
        ({}, 0),
        ({"window": "centred"}, 4),
        ({"protocol": "fast"}, 2),
        ({"protocol": "fast", "window": "centred"}, 6),
    ],
)
def test_no_token_knows_of_a_later_frame_than_the_index_says(
    change: dict[str, Any], ahead_s: int, extract: Extract, raw: Path, tmp_path: Path
) -> None:
    """Causality as a theorem: with everything after second 6 replaced, what changes and when."""
    stores = [
        extract("egosurgery", root, tmp_path / name, **change, random_encoders=0)
        for name, root in (("as-is", raw), ("changed", changed_after(raw, tmp_path / "raw", 6)))
    ]
    assert stores[0].index.lookahead_s == ahead_s
    for one, other in zip(stores[0].cases("test"), stores[1].cases("test"), strict=True):
        safe = one.moments() + ahead_s <= 6
        before, after = (clips_of(case, "pretrained") for case in (one, other))
        # x264 looks ahead when it shares out bits, so that earlier frames differ by a shade.
        moved = np.abs(before.astype(np.float32) - after).max((1, 2, 3, 4))
        assert moved[safe].max(initial=0) < 0.1 < moved[~safe].max()


def test_fast_keeps_every_time_step_of_a_video_once(
    extract: Extract, extracted: Path, raw: Path, tmp_path: Path
) -> None:
    data = extract("cholec80", raw, tmp_path / "out", protocol="fast")
    assert (data.index.protocol, data.index.lookahead_s) == ("fast", 1.0)
    case = data.cases("test")[0]
    tokens = case.tokens("pretrained")
    assert tokens.rows.shape == (SECONDS // 2, 1, 1, 128)
    assert tokens.shape == (SECONDS, 2, 1, 1, 128)
    assert tokens.windows is not None
    assert tokens.windows.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [1, 2], [1, 2]]
    dense = store.read(extracted / "cholec80").cases("test")[0]
    # Where a window ends at the moment the two protocols are the same, but for the row before.
    assert np.allclose(tokens[5][1], dense.tokens("pretrained")[5][1], atol=5e-3)
    assert np.array_equal(clips_of(case, f"{FRAMES}-0"), clips_of(dense, f"{FRAMES}-0")), (
        "frames by themselves are the same in both"
    )


@pytest.mark.parametrize("name", ["kvasir", "avos"])
def test_fast_is_dense_where_clips_share_no_frames(
    name: str, extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw, protocol="fast")
    facts = features.extract(name, settings, encoder, tmp_path / "out", extracted / "scratch")
    assert facts["encoded"] == 0
    assert digests(tmp_path / "out") == digests(extracted / name)


def test_pictures_in_folders_are_a_slow_video_and_what_has_no_phase_is_left_out(
    extracted: Path,
) -> None:
    data = store.read(extracted / "egosurgery")
    assert (data.index.every_s, data.index.test_every_s, data.index.fps) == (2.0, 2.0, 0.5)
    for case in data.cases("test"):
        assert case.truth().tolist() == [0, 0, 1, 1, 2, 2]
        assert case.moments().tolist() == [0, 2, 4, 6, 8, 10]
        assert case.tokens("pretrained").shape == (6, 2, 1, 1, 128)
        assert len(case.tokens(f"{FRAMES}-0").rows) == 6


def test_clips_of_a_recording_are_one_case_whatever_their_shape(extracted: Path) -> None:
    data = store.read(extracted / "avos")
    assert (data.index.every_s, data.index.test_every_s) == (0.0, 0.0)
    cases = [case for part in PARTS for case in data.cases(part)]
    assert [case.case for case in cases] == [f"-youtube_{i:02d}" for i in range(1, VIDEOS + 1)]
    for case in cases:
        assert case.truth().tolist() == [0, 1]
        assert case.tokens("pretrained").shape == (2, 2, 1, 1, 128)
        assert case.tokens(f"{FRAMES}-0").shape == (2, 4, 1, 1, 64)


def test_clips_of_other_shapes_need_a_common_grid(
    extract: Extract, extracted: Path, raw: Path, tmp_path: Path
) -> None:
    with pytest.raises(cache.UnevenTokens, match=r"set features\.grid"):
        extract("avos", raw, tmp_path / "out", grid=0)
    assert not list((extracted / "scratch/tokens").rglob(".*")), "nothing is left half written"


@pytest.mark.parametrize("name", FOLDERS)
def test_clips_at_random_access_are_those_that_were_encoded(
    name: str, extracted: Path, raw: Path, encoder: Path
) -> None:
    settings = small(raw)
    wanted = settings.benchmarks[name]
    module = load_encoder(encoder)
    footage = Footage(wanted, settings.curate, extracted / "scratch", multiple=16)
    data = store.read(extracted / name)
    cases = read_cases(find(name, wanted.root), settings)
    test = [case for case in cases if case.split == "test"]
    for case, stored in zip(test, data.cases("test"), strict=True):
        clips = CaseClips(case, footage, settings.features.window)
        assert (case.case, len(clips)) == (stored.case, len(stored.tokens("pretrained")))
        assert np.array_equal(case.truth(), stored.truth())
        last = len(clips) - 1
        pixels = torch.from_numpy(clips.batch([last]))
        with torch.inference_mode():
            tokens = module(to_input(pixels)).unflatten(1, module.grid(*pixels.shape[1:4]))
        expected = features.pool(tokens, 0 if name == "kvasir" else 1)[0]
        assert np.allclose(stored.tokens("pretrained")[last], expected, atol=5e-3)
        clips.close()


def test_frames_that_are_no_whole_tubelets_are_an_error(
    raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw)
    row = settings.benchmarks["kvasir"].model_copy(update={"frames": 3})
    settings = settings.model_copy(update={"benchmarks": {"kvasir": row}})
    with pytest.raises(ValueError, match=r"benchmarks\.kvasir\.frames: 3 frames .* multiple of 2"):
        features.extract("kvasir", settings, encoder, tmp_path / "out", tmp_path / "scratch")


def test_a_folder_of_pictures_is_known_by_names_and_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    before = frames.sha256(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"not a picture")
    assert frames.sha256(tmp_path) == before
    (tmp_path / "b.jpg").rename(tmp_path / "c.jpg")
    renamed = frames.sha256(tmp_path)
    (tmp_path / "c.jpg").write_bytes(b"other")
    assert len({before, renamed, frames.sha256(tmp_path)}) == 3


def test_the_size_report_counts_what_is_on_disk(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, scratch = tmp_path / "out", extracted / "scratch"
    facts = features.extract("avos", small(raw), encoder, output, scratch)
    assert facts["bytes"] == sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    assert facts["cache_bytes"] == sum(p.stat().st_size for p in scratch.rglob("*") if p.is_file())
    assert "features of avos: 4 cases, 8 clips, 3 encoders, " in capsys.readouterr().err


# --- interrupted and side by side ---------------------------------------------------------------


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_evaluation_features import small
from unisurg.evaluation.extraction.features import extract
raw, encoder, output, scratch = map(Path, sys.argv[2:])
# Without the image model, whose library takes seconds to load.
settings = small(raw).model_copy(update={"baselines": {}})
extract("cholec80", settings, encoder, output, scratch)
"""


def test_a_killed_run_goes_on_where_it_was(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    folders = [str(path) for path in (raw, encoder, tmp_path / "out", tmp_path / "scratch")]
    tests = str(Path(__file__).parent)
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, tests, *folders], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        tokens = tmp_path / "scratch/tokens"
        while not list(tokens.rglob("[!.]*.npy")) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    done = len(list(tokens.rglob("[!.]*.npy")))
    assert done > 0
    assert not (tmp_path / "out/index.json").exists()
    facts = features.extract(
        "cholec80", small(raw), encoder, tmp_path / "out", tmp_path / "scratch"
    )
    assert facts["cached"] >= done
    assert digests(tmp_path / "out") == digests(extracted / "cholec80")


def test_an_encoder_compared_with_its_own_twin_is_encoded_once_for_both(
    raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw)
    twin = Baseline(model=str(encoder), weights="as-stored", benchmarks=("avos",))
    settings = settings.model_copy(update={"baselines": {"twin": twin}})
    facts = features.extract("avos", settings, encoder, tmp_path / "out", tmp_path / "scratch")
    made = digests(tmp_path / "out")
    twins = {name for name in made if name.startswith("twin/")}
    assert len(twins) == facts["cases"]
    assert all(made[name] == made[name.replace("twin/", "pretrained/")] for name in twins)
    assert facts["encoded"] == 2 * facts["cases"]  # the encoder and random-0


def test_two_processes_at_once_end_with_whole_and_equal_files(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    tests, scratch = str(Path(__file__).parent), str(tmp_path / "scratch")
    command = [sys.executable, "-c", SCRIPT, tests, str(raw), str(encoder)]
    children = [
        subprocess.Popen([*command, str(tmp_path / "out"), scratch], cwd=ROOT) for _ in range(2)
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    ours, theirs = digests(tmp_path / "out"), digests(extracted / "cholec80")
    del ours["index.json"], theirs["index.json"]
    assert ours == {name: value for name, value in theirs.items() if FRAMES not in name}
    assert (tmp_path / "out/index.json").exists()
    tokens = list((tmp_path / "scratch/tokens").rglob("*.npy"))
    assert len(tokens) == 2 * VIDEOS, "nothing is made twice or left lying aside"
