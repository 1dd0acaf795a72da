"""Batches: a function of seed and step, whoever makes them and whatever dies on the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from frame_stores import Deed, answer, assert_reading_costs_no_memory
from pretrain_corpus import VIDEOS, write_corpus

from unisurg.corpus.balance import clip_weights
from unisurg.corpus.manifest import write_manifest
from unisurg.pretrain.data import Batches
from unisurg.pretrain.sampler import draw_batch, even_draws
from unisurg.pretrain.store import EmptyCorpus, NoStore, open_store
from unisurg.pretrain.workers import WorkerDied, Workers
from unisurg.settings import Pretrain, Settings
from unisurg.video.shard_writer import write_shards
from unisurg.video.shards import ShardError

STEPS = range(2, 8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "curated")


@pytest.fixture(scope="module")
def shards(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_shards(open_store(corpus, 0), folder, 92, 1)
    return folder


@pytest.fixture(scope="module")
def small(settings: Settings) -> Pretrain:
    return settings.pretrain.model_copy(
        update={"frames": 4, "size_px": 48, "batch": 4, "workers": 1, "prefetch": 2}
    )


@pytest.fixture(scope="module")
def expected(shards: Path, small: Pretrain) -> list[torch.Tensor]:
    batches = Batches(shards, small, seed=0)
    return [batches.at(step) for step in STEPS]


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def workers_of_this_process() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("unisurg.corpus.child" in part for part in child.cmdline())
    ]


# --- what a batch is


def test_a_batch_is_the_same_whatever_was_read_before(shards, small) -> None:
    fresh, used = Batches(shards, small, seed=0), Batches(shards, small, seed=0)
    for step in (5, 2, 9):
        used.at(step)
    assert torch.equal(fresh.at(3), used.at(3))
    assert fresh.at(3).shape == (4, 4, 48, 48, 3)
    assert fresh.at(3).dtype == torch.uint8
    assert not torch.equal(fresh.at(3), fresh.at(4))
    assert not torch.equal(fresh.at(3), Batches(shards, small, seed=1).at(3))


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 2), (3, 5)])
def test_any_number_of_workers_gives_the_same_batches_in_order(
    shards, small, expected, workers: int, prefetch: int
) -> None:
    section = small.model_copy(update={"workers": workers, "prefetch": prefetch})
    with Batches(shards, section, seed=0) as batches:
        assert same(list(batches.stream(STEPS)), expected)
        assert batches.waited_s > 0


@pytest.mark.parametrize("cache_mib", [0, 1])
def test_the_size_of_the_cache_shows_in_no_batch(shards, small, expected, cache_mib: int) -> None:
    section = small.model_copy(update={"cache_mib": cache_mib})
    with Batches(shards, section, seed=0) as batches:
        assert same(list(batches.stream(STEPS)), expected)


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_share_the_batch_of_one_process(shards, small, expected, world: int) -> None:
    for step, whole in zip(STEPS, expected, strict=True):
        parts = [Batches(shards, small, 0, rank, world).at(step) for rank in range(world)]
        assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(shards, small) -> None:
    with pytest.raises(ValueError, match=r"pretrain\.batch 4 does not divide by 3 processes"):
        Batches(shards, small, 0, rank=0, world=3)


def test_a_stream_may_start_anywhere_and_be_left_and_taken_up(shards, small, expected) -> None:
    with Batches(shards, small, 0) as batches:
        stream = batches.stream(STEPS)
        assert torch.equal(next(stream), expected[0])
        stream.close()
        assert same(list(batches.stream(STEPS[3:])), expected[3:])
        assert list(batches.stream(range(0))) == []


def test_no_more_is_made_ahead_than_was_asked_for(shards, small, monkeypatch) -> None:
    made: list[int] = []
    real = Batches._submit
    monkeypatch.setattr(Batches, "_submit", lambda self, s: made.append(s) or real(self, s))
    with Batches(shards, small, 0) as batches:
        for step, _ in enumerate(batches.stream(range(20))):
            assert len(made) <= step + 1 + small.prefetch
    assert made == list(range(20))


def test_shards_and_the_corpus_itself_give_the_same_clips(corpus, shards, small) -> None:
    mp4, jpeg = Batches(corpus, small, 0), Batches(shards, small, 0)
    assert mp4.digest != jpeg.digest
    for step in range(3):
        error = mp4.at(step).float() - jpeg.at(step).float()
        assert error.square().mean().sqrt() < 8
    with Batches(corpus, small, 0) as batches:
        assert same(list(batches.stream(range(2))), [mp4.at(0), mp4.at(1)])


def test_the_digest_is_that_of_the_data(corpus, shards, small, tmp_path: Path) -> None:
    again = write_corpus(tmp_path / "curated")
    assert Batches(corpus, small, 0).digest == Batches(again, small, 5).digest
    write_shards(open_store(again, 0), tmp_path / "shards", 50, 1)
    assert Batches(tmp_path / "shards", small, 0).digest != Batches(shards, small, 0).digest


# --- folders that cannot be used


def test_a_folder_that_is_no_store_says_what_to_do(tmp_path: Path, small) -> None:
    with pytest.raises(NoStore, match="run `unisurg curate` and `unisurg shards`"):
        Batches(tmp_path, small, 0)
    with pytest.raises(NoStore, match="gone: neither"):
        Batches(tmp_path / "gone", small, 0)
    write_manifest(tmp_path, [])
    with pytest.raises(EmptyCorpus, match="no clips; see quarantine"):
        Batches(tmp_path, small, 0)


def test_a_damaged_frame_reaches_the_trainer_by_name(corpus, small, tmp_path: Path) -> None:
    write_shards(open_store(corpus, 0), tmp_path, 92, 1)
    shard = tmp_path / "shard-00000.tar"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with (
        Batches(tmp_path, small, 0) as batches,
        pytest.raises(ShardError, match=r"shard-00000\.tar: frame \d+ of video \w+ is damaged"),
    ):
        next(batches.stream(STEPS))


# --- workers that die


def interrupted(
    shards: Path, section: Pretrain, sign: signal.Signals
) -> Iterator[torch.Tensor | int]:
    """A stream in the midst of which a worker is really hit; ends with how many were replaced."""
    with Batches(shards, section, 0) as batches:
        for number, clips in enumerate(batches.stream(STEPS)):
            yield clips
            if number == 1:
                os.kill(workers_of_this_process()[0].pid, sign)
        assert batches._workers is not None
        yield batches._workers.replaced


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_replaced_and_no_batch_is_different(
    shards, small, expected, workers: int
) -> None:
    section = small.model_copy(update={"workers": workers})
    *found, replaced = interrupted(shards, section, signal.SIGKILL)
    assert same(found, expected)
    assert replaced == 1


def test_a_hung_worker_is_replaced_and_no_batch_is_different(
    shards, small, expected, monkeypatch
) -> None:
    monkeypatch.setattr("unisurg.pretrain.data.LIMIT_S", 3.0)
    *found, replaced = interrupted(shards, small, signal.SIGSTOP)
    assert same(found, expected)
    assert replaced == 1


@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_a_task_that_takes_its_worker_down_once_is_redone(kind: str, tmp_path: Path) -> None:
    with Workers(2, answer, {"offset": 100}, limit_s=2.0) as workers:
        tasks = [Deed(i) for i in range(6)]
        tasks[2] = Deed(2, kind, tmp_path / "note")
        futures = [workers.submit(task, i) for i, task in enumerate(tasks)]
        assert [future.result() for future in futures] == [100 + i for i in range(6)]
        assert workers.replaced == 1


def test_a_task_that_takes_two_workers_down_is_named_and_the_others_are_done() -> None:
    with Workers(2, answer, {"offset": 0}, limit_s=20.0) as workers:
        tasks = [Deed(0), Deed(1, "kill"), Deed(2), Deed(3, "fail"), Deed(4)]
        futures = [workers.submit(task, i) for i, task in enumerate(tasks)]
        with pytest.raises(WorkerDied, match=r"clip 1: .* \(died by SIGKILL; died by SIGKILL\)"):
            futures[1].result()
        with pytest.raises(ValueError, match="no clip 3"):
            futures[3].result()
        assert [futures[i].result() for i in (0, 2, 4)] == [0, 2, 4]
        assert workers.replaced == 2


def test_closing_ends_every_worker_busy_or_not(shards, small) -> None:
    section = small.model_copy(update={"workers": 2})
    with Batches(shards, section, 0) as batches:
        next(batches.stream(STEPS))
        assert len(workers_of_this_process()) == 2
    assert workers_of_this_process() == []
    start = time.monotonic()
    with Workers(1, answer, {"offset": 0}, limit_s=600.0) as workers:
        hanging, waiting = workers.submit(Deed(0, "stop")), workers.submit(Deed(1))
        while not hanging.running():
            time.sleep(0.01)
    assert time.monotonic() - start < 30
    assert waiting.cancelled()
    assert hanging.done()
    assert workers_of_this_process() == []


def test_batches_made_here_start_no_process(shards, small) -> None:
    batches = Batches(shards, small, 0)
    batches.at(0)
    batches.fixed(2)
    assert workers_of_this_process() == []


# --- which clips


def test_every_specialty_and_every_source_in_it_is_drawn_alike() -> None:
    """1 / (N_d |D_s|): frequencies of 40,000 draws against the weights, and those against it."""
    sources = ["a", "a", "b", "c", "c", "c"]
    specialties = ["liver", "liver", "liver", "bowel", "bowel", "bowel"]
    lengths = [19, 100, 40, 30, 300, 17]
    windows = [n - 15 for n in lengths]
    weights = clip_weights(sources, specialties, windows)
    drawn = np.zeros(len(lengths))
    for step in range(40):
        for draw in draw_batch(weights, lengths, 16, 1000, seed=0, step=step):
            drawn[draw.row] += 1
    shares = drawn / drawn.sum()
    assert shares == pytest.approx(weights, abs=0.01)
    assert shares[:3].sum() == pytest.approx(0.5, abs=0.01)
    assert shares[2] == pytest.approx(0.25, abs=0.01)
    totals = {"a": windows[0] + windows[1], "b": windows[2], "c": sum(windows[3:])}
    for row, source in enumerate(sources):
        in_specialty = 2 if specialties[row] == "liver" else 1
        exact = windows[row] / (totals[source] * in_specialty) / 2
        assert shares[row] == pytest.approx(exact, abs=0.01)


def test_fixed_clips_are_balanced_over_sources_and_spread_over_videos() -> None:
    sources = ["a"] * 10 + ["b"] * 3 + ["c"]
    lengths = [50] * 10 + [64] * 3 + [17]
    draws = even_draws(sources, lengths, 16, 18)
    rows = [draw.row for draw in draws]
    counts = {name: sum(sources[row] == name for row in rows) for name in "abc"}
    assert counts == {"a": 9, "b": 8, "c": 1}  # c holds one window, the others make up for it
    assert max(rows.count(row) for row in range(10)) == 1
    assert sorted(rows.count(row) for row in (10, 11, 12)) == [2, 3, 3]
    few = sorted(draw.row for draw in even_draws(["a"] * 10, [50] * 10, 16, 2))
    assert few == [2, 7]


@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_fixed_windows_do_not_overlap_and_one_lies_in_the_middle(count: int) -> None:
    draws = even_draws(["a", "a"], [100, 20], 8, count)
    assert len(draws) == min(count, 12 + 2)
    seen = [(draw.row, int(frame)) for draw in draws for frame in draw.frames]
    assert len(set(seen)) == len(seen) == 8 * len(draws)
    (alone,) = even_draws(["a"], [100], 8, 1)
    assert alone.frames.tolist() == list(range(46, 54))


def test_fixed_clips_are_the_same_in_every_process_and_seed(shards, small) -> None:
    clips, sources, videos = Batches(shards, small, 0).fixed(6)
    assert clips.shape == (6, 4, 48, 48, 3)
    assert clips.dtype == torch.uint8
    assert sources == [VIDEOS[name][0] for name in videos]
    assert sources.count("alpha") == sources.count("beta") == 3
    again, _, same_videos = Batches(shards, small, 7, rank=1, world=2).fixed(6)
    assert torch.equal(clips, again)
    assert videos == same_videos
    all_of_them = Batches(shards, small, 0).fixed(1000)[0]
    assert len(all_of_them) == sum(max(1, n // 4) for _, n in VIDEOS.values())


# --- memory


def test_reading_hundreds_of_clips_takes_no_more_memory(corpus, small) -> None:
    assert_reading_costs_no_memory(open_store(corpus, 0), row=0, starts=4)
