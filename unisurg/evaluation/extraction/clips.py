"""Clips of a case as pixels: one after the other with every frame read once, or any at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unisurg.evaluation.extraction.cases import ProbeCase
from unisurg.evaluation.extraction.frames import Footage, Frames
from unisurg.evaluation.extraction.windows import clip_windows
from unisurg.settings import WindowKind

Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Chunk:
    """Some consecutive windows (B, T, H, W, 3) uint8, and `frames` (n, H, W, 3) new in them."""

    windows: np.ndarray
    frames: np.ndarray


def chunks(read: Read, windows: np.ndarray, batch: int) -> Iterator[Chunk]:
    """The windows (W, T) of one source, `batch` at a time, every frame read once.

    Only the frames of the current batch are held, so a recording of hours fits. Over all chunks
    the new frames are those of the windows in ascending order, each once, where windows ascend and
    leave no frame out within themselves.
    """
    held: dict[int, np.ndarray] = {}
    for start in range(0, len(windows), batch):
        here = windows[start : start + batch]
        needed = np.unique(here)
        missing = np.array([i for i in needed.tolist() if i not in held], np.int64)
        fresh = read(missing) if missing.size else next(iter(held.values()))[None][:0]
        held.update(zip(missing.tolist(), fresh, strict=True))
        held = {i: held[i] for i in needed.tolist()}
        pixels = np.stack([held[i] for i in here.ravel().tolist()])
        yield Chunk(pixels.reshape(*here.shape, *pixels.shape[1:]), fresh)


def merged(parts: Iterable[Chunk], batch: int) -> Iterator[Chunk]:
    """Consecutive chunks of one size put together while they hold at most `batch` windows."""
    waiting: list[Chunk] = []
    for part in parts:
        count = sum(len(chunk.windows) for chunk in waiting)
        fits = waiting and waiting[0].windows.shape[1:] == part.windows.shape[1:]
        if waiting and (not fits or count + len(part.windows) > batch):
            yield _joined(waiting)
            waiting = []
        waiting.append(part)
    if waiting:
        yield _joined(waiting)


def _joined(parts: Sequence[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    return Chunk(
        np.concatenate([part.windows for part in parts]),
        np.concatenate([part.frames for part in parts]),
    )


class CaseClips(Sequence[np.ndarray]):
    """Random access to the clips of a case: `clips[i]` is uint8 (T, H, W, 3).

    Nothing is opened before it is read; one source is held open until another one is read.
    """

    def __init__(self, case: ProbeCase, footage: Footage, window: WindowKind) -> None:
        self._case, self._footage, self._window = case, footage, window
        lengths = [len(source) for source in case.sources]
        self._starts = np.cumsum([0, *lengths])
        self._opened: tuple[int, Frames, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, clip: int) -> np.ndarray:  # type: ignore[override]
        if not 0 <= clip < len(self):
            raise IndexError(f"{self._case.case}: clip {clip} of {len(self)}")
        source = int(np.searchsorted(self._starts, clip, side="right")) - 1
        frames, windows = self._open(source)
        window = windows[clip - self._starts[source]]
        needed, places = np.unique(window, return_inverse=True)
        return frames.read(needed)[places]

    def batch(self, clips: Iterable[int]) -> np.ndarray:
        """Clips (B, T, H, W, 3) uint8.

        Raises:
            ValueError: the clips differ in size, as those of different files may.
        """
        return np.stack([self[clip] for clip in clips])

    def close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
        self._opened = None

    def _open(self, source: int) -> tuple[Frames, np.ndarray]:
        if self._opened is None or self._opened[0] != source:
            self.close()
            what = self._case.sources[source]
            frames = self._footage.open(what)
            wanted = self._footage.wanted
            windows = clip_windows(what, wanted, self._window, frames.rate, len(frames))
            self._opened = source, frames, windows
        return self._opened[1:]
