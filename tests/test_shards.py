"""The training store: what is written comes back, from whole files only."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from frame_stores import LENGTHS, MemoryStore, SlowStore, assert_reading_costs_no_memory
from pretrain_corpus import VIDEOS, write_corpus

from unisurg.pretrain.store import open_store
from unisurg.video.jpeg import decode, encode
from unisurg.video.shard_writer import write_shards
from unisurg.video.shards import FACTS, FRAMES, SAMPLE_FRAMES, ShardError, ShardStore

ROOT = Path(__file__).resolve().parent.parent
QUALITY = 92
LONG = (150, 3, 64, 900, 65)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of several tar files."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(MemoryStore(LONG), folder, QUALITY, shard_mib=1)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small store to damage."""
    write_shards(MemoryStore(), tmp_path / "store", QUALITY, shard_mib=1)
    return tmp_path / "store"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_jpeg_is_rgb_on_both_sides() -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[..., 0] = 250
    back = decode(np.frombuffer(encode(frame, 95), np.uint8))
    assert back is not None
    assert np.abs(back.astype(int) - frame).max() <= 3


def test_every_frame_comes_back_in_its_place(shards: Path) -> None:
    given, store = MemoryStore(LONG), ShardStore(shards)
    assert store.videos == given.videos
    assert len(store.facts.shards) > 1
    for row, video in enumerate(given.videos):
        frames = np.arange(0, video.n_frames, 7)
        error = store.read(row, frames).astype(float) - given.read(row, frames)
        assert np.sqrt((error**2).mean((1, 2, 3))).max() < 3


def test_a_frame_is_the_same_in_whatever_window_it_is_read(shards: Path) -> None:
    store = ShardStore(shards)
    rng = np.random.default_rng(0)
    whole = store.read(0, np.arange(150))
    for wanted in ([0], [149, 0], [63, 64], [7, 7, 7], range(60, 76), rng.integers(0, 150, 20)):
        assert np.array_equal(store.read(0, np.array(wanted)), whole[np.array(wanted)])


def test_a_window_is_one_read_of_the_file(shards: Path, monkeypatch) -> None:
    import os

    calls = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: calls.append(a) or real(*a))
    ShardStore(shards).read(0, np.arange(SAMPLE_FRAMES - 8, SAMPLE_FRAMES + 8))
    assert len(calls) == 1


def test_webdataset_reads_the_same_frames(shards: Path) -> None:
    import webdataset

    store = ShardStore(shards)
    paths = [str(shards / name) for name in store.facts.shards]
    rows = {video.video_id: row for row, video in enumerate(store.videos)}
    seen = dict.fromkeys(rows, 0)
    for sample in webdataset.WebDataset(paths, shardshuffle=False):
        told = json.loads(sample["json"])
        start, count = told["first_frame"], told["frames"]
        assert sample["__key__"] == f"{told['video_id']}-{start:07d}"
        assert start == seen[told["video_id"]]
        assert count <= SAMPLE_FRAMES
        frames = [decode(np.frombuffer(sample[f"{i:04d}.jpg"], np.uint8)) for i in range(count)]
        here = store.read(rows[told["video_id"]], np.arange(start, start + count))
        assert np.array_equal(np.stack(frames), here)
        seen[told["video_id"]] += count
    assert seen == {video.video_id: video.n_frames for video in store.videos}


def test_equal_frames_make_equal_bytes(copy: Path, tmp_path: Path) -> None:
    write_shards(MemoryStore(), tmp_path / "again", QUALITY, shard_mib=1)
    assert files(tmp_path / "again") == files(copy)


def test_the_digest_tells_stores_apart(copy: Path, tmp_path: Path) -> None:
    write_shards(MemoryStore(), tmp_path / "again", QUALITY, 1)
    write_shards(MemoryStore(), tmp_path / "quality", QUALITY - 1, 1)
    write_shards(MemoryStore((*LENGTHS[:-1], LENGTHS[-1] - 1)), tmp_path / "shorter", QUALITY, 1)
    digests = [
        ShardStore(folder).digest
        for folder in (copy, *(tmp_path / name for name in ("again", "quality", "shorter")))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert all(len(digest) == 64 for digest in digests)


def test_the_facts_are_those_of_the_files(copy: Path) -> None:
    store, given = ShardStore(copy), MemoryStore()
    facts = store.facts
    assert (facts.videos, facts.frames) == (len(LENGTHS), sum(LENGTHS))
    size = sum(path.stat().st_size for path in copy.glob("*.tar"))
    assert facts.bytes == size
    assert facts.mb_per_hour == pytest.approx(size / 1e6 / (sum(LENGTHS) / 3600), rel=1e-3)
    errors = [
        store.read(row, frame).astype(float) - given.read(row, frame)
        for row, n in enumerate(LENGTHS)
        for frame in np.arange(0, n, SAMPLE_FRAMES)[:, None]
    ]
    assert facts.psnr_db == pytest.approx(
        10 * np.log10(255**2 / np.square(errors).mean()), abs=0.01
    )


def test_higher_quality_is_nearer_and_larger(copy: Path, tmp_path: Path) -> None:
    rough = write_shards(MemoryStore(), tmp_path / "rough", 50, 1)
    fine = ShardStore(copy).facts
    assert rough.psnr_db is not None
    assert fine.psnr_db is not None
    assert rough.psnr_db < fine.psnr_db
    assert rough.bytes < fine.bytes


def test_a_shard_is_closed_after_the_video_that_makes_it_larger(shards: Path) -> None:
    *full, last = ShardStore(shards).facts.shards.values()
    assert min(full) > 1 << 20
    assert last < 1 << 20


def test_a_store_travels_without_its_index_and_reads_where_it_arrives(shards: Path) -> None:
    store = ShardStore(shards)
    expected = store.read(3, np.arange(5))
    sent = pickle.dumps(store)
    assert len(sent) < 3000
    assert np.array_equal(pickle.loads(sent).read(3, np.arange(5)), expected)


@pytest.mark.parametrize("name", ["shard-00000.tar", FRAMES, "videos.parquet", FACTS])
@pytest.mark.parametrize("deed", ["removed", "cut"])
def test_a_torn_store_is_an_error_that_names_the_file_and_the_remedy(
    copy: Path, name: str, deed: str
) -> None:
    path = copy / name
    whole = path.read_bytes()
    path.unlink() if deed == "removed" else path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShardError, match=rf"{name}: .*delete the folder and run `unisurg shards`"):
        open_store(copy, 0)
    path.write_bytes(whole)
    open_store(copy, 0)


def test_a_store_of_another_format_is_refused(copy: Path) -> None:
    facts = json.loads((copy / FACTS).read_text())
    (copy / FACTS).write_text(json.dumps(facts | {"format": "unisurg-shards-9"}))
    with pytest.raises(ShardError, match=r"facts\.json: format unisurg-shards-9, this version"):
        ShardStore(copy)


def test_a_damaged_frame_is_named_and_the_others_are_read(copy: Path) -> None:
    store = ShardStore(copy)
    before = store.read(0, np.array([69, 71]))
    path = copy / "shard-00000.tar"
    index = np.load(copy / FRAMES)
    data = bytearray(path.read_bytes())
    data[int(index[70]["offset"]) + int(index[70]["size"]) // 2] ^= 0x10
    path.write_bytes(data)
    named = r"shard-00000\.tar: frame 70 of video video-0 is damaged"
    with pytest.raises(ShardError, match=named):
        store.read(0, np.arange(64, 80))
    assert np.array_equal(store.read(0, np.array([69])), before[:1])
    assert np.array_equal(store.read(0, np.array([71])), before[1:])


def test_a_shard_that_vanishes_under_a_reader_is_named(copy: Path) -> None:
    store = ShardStore(copy)
    (copy / "shard-00000.tar").unlink()
    with pytest.raises(ShardError, match=r"shard-00000\.tar: no such file"):
        store.read(0, np.arange(4))


def test_a_killed_writer_leaves_no_store_and_the_next_one_the_same_bytes(
    copy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    write_shards(MemoryStore((9,)), folder, QUALITY, 1)
    script = (
        "from pathlib import Path; from frame_stores import SlowStore\n"
        "from unisurg.video.shard_writer import write_shards\n"
        f"write_shards(SlowStore(), Path({str(folder)!r}), {QUALITY}, 1)"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    writer = subprocess.Popen([sys.executable, "-c", script], env=environment)
    end = time.monotonic() + 30
    while not list(folder.glob("*.tar.part")) and time.monotonic() < end:
        time.sleep(0.02)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    with pytest.raises(ShardError, match=r"facts\.json: no such file"):
        open_store(folder, 0)
    write_shards(SlowStore(), folder, QUALITY, 1)
    assert files(folder) == files(copy)


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "x" * 65])
def test_a_video_that_cannot_name_a_sample_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    store = MemoryStore()
    store.videos[1] = type(store.videos[1])(name, "s", "t", 3, 1.0, 80, 48)
    with pytest.raises(ValueError, match=r"video_id .*can name a sample"):
        write_shards(store, tmp_path / "store", QUALITY, 1)
    assert not (tmp_path / "store").exists()


def test_a_store_without_a_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a video"):
        write_shards(MemoryStore(()), tmp_path, QUALITY, 1)


def test_reading_for_long_takes_no_more_memory(shards: Path) -> None:
    assert_reading_costs_no_memory(ShardStore(shards), row=3, starts=880)


def test_the_stage_writes_the_corpus_as_shards(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "unisurg", "shards"),
            *("--input", str(tmp_path / "corpus"), "--output", str(tmp_path / "shards")),
            *("--params", str(ROOT / "params.yaml"), "--set", "tracking.enabled=false"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    store, corpus = ShardStore(tmp_path / "shards"), open_store(tmp_path / "corpus", 0)
    assert list(store.videos) == list(corpus.videos)
    assert f"shards: {len(VIDEOS)} videos, {store.facts.frames} frames" in done.stdout
    assert f"{store.facts.mb_per_hour:.1f} MB" in done.stdout
    assert (tmp_path / "shards.shards.run.json").is_file()
    error = store.read(0, np.arange(9)).astype(float) - corpus.read(0, np.arange(9))
    assert np.sqrt(np.square(error).mean()) < 8
