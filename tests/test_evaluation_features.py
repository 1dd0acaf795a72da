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
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unisurg.benchmarks import BenchmarkError
from unisurg.benchmarks.cholec80 import PHASES
from unisurg.evaluation import features, frames, store
from unisurg.evaluation.frames import Clips, whole_frame
from unisurg.models.checkpoints import load_encoder, random_encoder, save_encoder
from unisurg.models.normalise import to_input
from unisurg.settings import Settings, load

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 6
VIDEOS = 4


def write_video(path: Path, seconds: int, seed: int) -> None:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (seconds, 4, 5, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
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


def small(root: Path) -> Settings:
    """The settings of params.yaml on that copy, at a size that takes a second."""
    settings = load(ROOT / "params.yaml")
    change = {"frames": 4, "size_px": 32}
    rows = {
        name: row.model_copy(update={**change, "root": root / folder})
        for (name, row), folder in zip(
            settings.benchmarks.items(), ("cholec80", "polyps"), strict=True
        )
    }
    fewer = settings.features.model_copy(
        update={"random_encoders": 1, "batch": 4, "grid": 1, "fit_every_s": 1}
    )
    return settings.model_copy(update={"benchmarks": rows, "features": fewer})


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_raw(root)
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
    windows = np.array([frames._window(t, 5, 1.0, 20) for t in range(20)])
    clips = np.concatenate(list(Clips(video, windows, (8, 8), batch)))
    assert video.seen == list(range(20))
    assert np.array_equal(clips[:, :, 0, 0, 0], windows)


@pytest.mark.parametrize("fps", [0.3, 0.5, 1.0, 2.0, 3.7])
def test_no_frame_of_a_clip_lies_after_its_second(fps: float) -> None:
    n_frames = int(60 * fps)
    for second in range(58):
        window = frames._window(second, 6, fps, n_frames)
        assert len(window) == 6
        assert window.min() >= 0
        assert window.max() <= second * fps + 1e-6
        assert second - window.max() / fps < 1 / fps + 1e-6


def test_the_start_is_padded_by_the_first_frame() -> None:
    assert frames._window(2, 5, 1.0, 10).tolist() == [0, 0, 0, 1, 2]


def test_labels_past_the_end_of_a_video_see_its_last_frames() -> None:
    assert frames._window(12, 3, 1.0, 10).tolist() == [7, 8, 9]


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


# --- extraction ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def extracted(raw: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of both benchmarks and their cache, computed once for the tests that only look."""
    folder = tmp_path_factory.mktemp("extracted")
    for name in ("cholec80", "kvasir"):
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
    sha256 = frames.file_sha256(raw / "cholec80/videos/video01.mp4")
    (clip,) = (extracted / "scratch/video").glob(f"{sha256}*.mp4")
    seen = open_clip(clip).read([0, 0, 1, 2])
    size = whole_frame(*seen.shape[1:3], 32, 16)
    clip_in = np.stack([frames.resize(frame, size) for frame in seen])[None]
    with torch.inference_mode():
        expected = load_encoder(encoder)(to_input(torch.from_numpy(clip_in)))
    pooled = expected.unflatten(1, (2, -1)).mean(2)[0]
    assert np.allclose(tokens[2, :, 0, 0], pooled.numpy(), atol=5e-3)


def test_only_videos_that_are_not_tested_may_be_seen_less_often(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw)
    seldom = settings.features.model_copy(update={"fit_every_s": 4})
    seldom = settings.model_copy(update={"features": seldom})
    features.extract("cholec80", seldom, encoder, tmp_path / "out", extracted / "scratch")
    found, dense = store.read(tmp_path / "out"), store.read(extracted / "cholec80")
    for part, every in (("train", 4), ("val", 4), ("test", 1)):
        for some, every_second in zip(found.cases(part), dense.cases(part), strict=True):
            assert np.array_equal(some.truth(), every_second.truth()[::every])
            ours, theirs = (case.tokens("pretrained") for case in (some, every_second))
            assert np.allclose(ours, theirs[::every], atol=5e-3)


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
    assert (facts["encoded"], facts["cached"]) == (0, 2 * VIDEOS)
    assert digests(tmp_path / "again") == digests(extracted / "cholec80")


def test_a_fresh_run_writes_the_same_bytes(
    extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    facts = features.extract("kvasir", small(raw), encoder, tmp_path / "a", tmp_path / "scratch")
    assert facts["encoded"] == 2 * 7
    assert digests(tmp_path / "a") == digests(extracted / "kvasir")


def test_another_encoder_reruns_only_itself(extracted: Path, raw: Path, tmp_path: Path) -> None:
    settings = small(raw)
    save_encoder(tmp_path / "other", random_encoder(settings.model, seed=5), {})
    facts = features.extract(
        "kvasir", settings, tmp_path / "other", tmp_path / "out", extracted / "scratch"
    )
    assert (facts["encoded"], facts["cached"]) == (7, 7)


@pytest.mark.parametrize("change", [{"frames": 6}, {"size_px": 48}])
def test_another_transform_reads_no_old_feature(
    change: dict[str, int], extracted: Path, raw: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = small(raw)
    row = settings.benchmarks["kvasir"].model_copy(update=change)
    settings = settings.model_copy(update={"benchmarks": {"kvasir": row}})
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
    assert facts["cached"] == 0


def test_features_hold_no_path_of_this_machine(extracted: Path) -> None:
    index = json.loads((extracted / "cholec80/index.json").read_text())
    assert str(extracted) not in json.dumps(index)
    assert set(index["encoders"]) == {"pretrained", "random-0"}


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


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_evaluation_features import small
from unisurg.evaluation.features import extract
raw, encoder, output, scratch = map(Path, sys.argv[2:])
extract("cholec80", small(raw), encoder, output, scratch)
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
