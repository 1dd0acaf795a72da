"""A cache over a store: bounded, and no pixel different."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from frame_stores import HEIGHT, WIDTH, MemoryStore

from unisurg.video.store import MIB, CachedStore

FRAME_MIB = HEIGHT * WIDTH * 3 / MIB


class Counting(MemoryStore):
    """Counts the frames that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def read(self, row: int, frames: np.ndarray) -> np.ndarray:
        self.decoded += len(frames)
        return super().read(row, frames)


def windows(count: int) -> list[tuple[int, np.ndarray]]:
    rng = np.random.default_rng(0)
    starts = [(int(rng.integers(4)), int(rng.integers(140))) for _ in range(count)]
    return [
        (
            row,
            np.minimum(np.arange(s, s + 8), n - 1) if s < (n := (150, 3, 64, 65)[row]) else [n - 1],
        )
        for row, s in starts
    ]


@pytest.mark.parametrize("frames", [0, 5, 40, 1000])
def test_a_cache_of_any_size_changes_no_pixel_and_stays_within_its_bound(frames: int) -> None:
    plain, cached = MemoryStore(), CachedStore(MemoryStore(), frames * FRAME_MIB)
    for row, window in windows(60):
        wanted = np.array(window)
        assert np.array_equal(cached.read(row, wanted), plain.read(row, wanted))
        assert cached.cached_bytes <= frames * FRAME_MIB * MIB


def test_a_store_that_fits_is_decoded_once() -> None:
    store = Counting()
    cached = CachedStore(store, 1000 * FRAME_MIB)
    for _ in range(3):
        for row, video in enumerate(store.videos):
            for start in range(0, video.n_frames, 2):
                cached.read(row, np.minimum(np.arange(start, start + 8), video.n_frames - 1))
    assert store.decoded == sum(video.n_frames for video in store.videos)


def test_of_a_store_that_does_not_fit_only_what_is_asked_for_is_decoded() -> None:
    store = Counting()
    cached = CachedStore(store, 10 * FRAME_MIB)
    for start in (0, 50, 100, 0, 50, 100):
        cached.read(0, np.arange(start, start + 8))
    assert store.decoded == 48


def test_the_frames_used_last_stay() -> None:
    store = Counting()
    cached = CachedStore(store, 3 * FRAME_MIB)
    for frame in (0, 1, 2, 0, 3):
        cached.read(0, np.array([frame]))
    before = store.decoded
    cached.read(0, np.array([2, 0, 3]))
    assert store.decoded == before
    cached.read(0, np.array([1]))
    assert store.decoded == before + 1


def test_changing_what_was_read_leaves_the_cache_as_it_was() -> None:
    cached = CachedStore(MemoryStore(), 100 * FRAME_MIB)
    cached.read(0, np.arange(4))[:] = 0
    assert np.array_equal(cached.read(0, np.arange(4)), MemoryStore().read(0, np.arange(4)))


def test_a_cache_travels_empty() -> None:
    cached = CachedStore(MemoryStore(), 1000 * FRAME_MIB)
    cached.read(0, np.arange(100))
    sent = pickle.dumps(cached)
    assert len(sent) < 4000
    assert pickle.loads(sent).cached_bytes == 0
    assert cached.cached_bytes == 100 * HEIGHT * WIDTH * 3


@pytest.mark.parametrize("wanted", [[-1], [3], [0, 9], []])
def test_a_frame_that_is_not_there_is_an_error_that_names_the_video(wanted: list[int]) -> None:
    for store in (MemoryStore(), CachedStore(MemoryStore(), 1.0)):
        with pytest.raises(IndexError, match=r"video video-1: frames .* it has 0\.\.2"):
            store.read(1, np.array(wanted, dtype=np.int64))
