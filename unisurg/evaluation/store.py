"""The folder of frozen features of one benchmark: all that a probe needs, without the raw data.

    index.json                  facts of the benchmark and a row per case
    truth/CASE.npz              `labels` (S,) int64 and `moments` (S,) float64 in seconds; where any
                                number of classes may be seen, `labels` (S, C) int8 of 0 and 1; or
                                `mask` (H, W) bool and, for tests, `image`; of a trial `labels` are
                                rows (S,) of `TRIAL`, one camera's after the other's
    truth/CASE.depth.npy        of a sequence (S, H, W) uint16, 0 where the depth is not known, else
                                the depth over `DEPTH_STEP_MM`; for tests `image` is the middle one
    VARIANT/CASE.npy            tokens (S, t, h, w, D) of S clips, a variant per encoder and seed
    VARIANT/CASE.windows.npz    where the tokens are rows (L, h, w, D) of a whole case: `windows`
                                (S, t) int64, which rows make each clip, and perhaps `code` (t, D)

A case is a video with its labelled moments, a group of clips that belong together, or a picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisurg.benchmarks.base import Part
from unisurg.settings import Protocol, WindowKind

PRETRAINED, RANDOM = "pretrained", "random"
# Tasks whose heads give a value per pixel, and need all tokens of the grid for it.
DENSE = frozenset({"segmentation", "depth"})
# What is known of a clip of a rated trial: what belongs to the trial is the same in all its clips.
# `rating` is on its scale, `level` and `gesture` are indices, -1 where no gesture is told.
TRIAL = np.dtype(
    [
        ("rating", "<i8"),
        ("level", "<i8"),
        ("gesture", "<i8"),
        ("camera", "<i8"),
        ("exercise", "<U32"),
    ]
)


# Of 16 bits up to 100 mm, as C3VD has it: its depths come back unchanged.
DEPTH_STEP_MM = 100 / 65535


class Depths(Sequence[np.ndarray]):
    """Depths (H, W) float32 in mm of the frames of a sequence, read from disk as they come."""

    def __init__(self, path: Path) -> None:
        self._levels = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._levels)

    def __getitem__(self, frame: int) -> np.ndarray:  # type: ignore[override]
        return self._levels[frame] * np.float32(DEPTH_STEP_MM)


@dataclass(frozen=True)
class Tokens:
    """Tokens of the clips of one case, mapped from disk; `tokens[i]` is clip i, (t, h, w, D).

    `rows` is (S, t, h, w, D); or, with `windows` (S, t), the rows (L, h, w, D) of a whole video
    from which clips are put together, so that a row that many clips share is stored once. `code`
    (t, D) is then added to the time steps of a clip: encoders of single frames have no other sense
    of order.
    """

    rows: np.ndarray
    windows: np.ndarray | None = None
    code: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows if self.windows is None else self.windows)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(S, t, h, w, D)."""
        steps = self.rows.shape[1] if self.windows is None else self.windows.shape[1]
        return (len(self), steps, *self.rows.shape[-3:])

    def __getitem__(self, clip: int) -> np.ndarray:
        """Tokens (t, h, w, D) of one clip."""
        tokens = self.rows[clip] if self.windows is None else self.rows[self.windows[clip]]
        return tokens if self.code is None else tokens + self.code[:, None, None]


@dataclass(frozen=True)
class StoredCase:
    """One case in the folder `root`.

    Statistics draw the cases of one `group` together; it is the case itself unless told otherwise.
    """

    root: Path
    case: str
    split: Part
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.case)

    def tokens(self, variant: str) -> Tokens:
        """Tokens of the encoder `variant`."""
        rows = np.load(tokens_path(self.root, variant, self.case), mmap_mode="r")
        windows = windows_path(self.root, variant, self.case)
        if not windows.is_file():
            return Tokens(rows)
        with np.load(windows) as stored:
            return Tokens(rows, stored["windows"], stored.get("code"))

    def truth(self) -> Any:
        """Labels of the S clips of a video, a trial or a group, mask (H, W) bool of a picture.

        Labels are (S,), or (S, C) where any number of classes may be seen. Of a sequence with depth
        the `Depths` of its S frames.
        """
        depths = depths_path(self.root, self.case)
        if depths.is_file():
            return Depths(depths)
        with np.load(truth_path(self.root, self.case)) as arrays:
            return arrays["labels"] if "labels" in arrays else arrays["mask"]

    def moments(self) -> np.ndarray:
        """Seconds (S,) from the start of the video, ascending, at which its clips are labelled.

        Of a group of clips, where each starts in its file.
        """
        with np.load(truth_path(self.root, self.case)) as arrays:
            return arrays["moments"]

    def image(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a test picture, or of the middle one of a test sequence."""
        with np.load(truth_path(self.root, self.case)) as arrays:
            return arrays["image"]


@dataclass(frozen=True)
class Index:
    """What `index.json` says about the benchmark and how its features were made.

    `encoders` maps each encoder's name to its variants: one, or one per seed where it is untrained.
    `digests` maps each variant to the digest of its weights. `fps` is None where nobody knows the
    rate of the frames: a clip of a sequence with depth are neighbours. `lookahead_frames` is how
    many frames after the labelled moment a clip may know of, 0 for the causal windows of `dense`.
    `every_s` are the seconds between the clips of a training or validation video, 0 where cases are
    no videos; `test_every_s` those of a test video.
    """

    benchmark: str
    task: str
    split: str
    refit: bool
    unit: str
    main: str
    classes: tuple[str, ...]
    size_px: int
    frames: int
    fps: float | None
    protocol: Protocol
    window: WindowKind
    lookahead_frames: int
    every_s: float
    test_every_s: float
    encoders: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]

    @property
    def lookahead_s(self) -> float | None:
        """`lookahead_frames` in seconds; None where they are not 0 and their rate is not known."""
        if not self.lookahead_frames:
            return 0.0
        return None if self.fps is None else self.lookahead_frames / self.fps


@dataclass(frozen=True)
class Store:
    index: Index
    _cases: tuple[StoredCase, ...]

    def cases(self, part: Part) -> list[StoredCase]:
        """Cases of one part of the split, in the order of the benchmark."""
        return [case for case in self._cases if case.split == part]


def read(root: Path) -> Store:
    """Open a folder of features.

    Raises:
        FileNotFoundError: the folder is missing or the extraction did not finish.
    """
    path = root / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no finished features here; run the stage `features`")
    facts = json.loads(path.read_text(encoding="utf-8"))
    rows = facts.pop("cases")
    encoders = {name: tuple(variants) for name, variants in facts.pop("encoders").items()}
    index = Index(**{**facts, "classes": tuple(facts["classes"]), "encoders": encoders})
    cases = (StoredCase(root, row["case"], row["split"], row["group"]) for row in rows)
    return Store(index, tuple(cases))


def write_index(root: Path, index: Index, cases: Sequence[StoredCase]) -> None:
    """Write `index.json`; equal content gives equal bytes."""
    rows = [{"case": case.case, "split": case.split, "group": case.group} for case in cases]
    text = json.dumps({**asdict(index), "cases": rows}, indent=1)
    (root / "index.json").write_text(text + "\n", encoding="utf-8")


def write_truth(root: Path, case: str, **arrays: np.ndarray) -> None:
    """Write the truth of a case; equal content gives equal bytes."""
    path = truth_path(root, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def write_depths(root: Path, case: str, depths: Sequence[np.ndarray]) -> None:
    """Write the depths (H, W) in mm of the frames of a sequence, one of them in memory.

    Raises:
        ValueError: a depth is negative, or more than 16 bits hold.
    """
    path = depths_path(root, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(depths), *depths[0].shape)
    levels = np.lib.format.open_memmap(path, "w+", np.uint16, shape)
    for i, depth in enumerate(depths):
        steps = np.rint(depth / DEPTH_STEP_MM)
        if not (steps.min() >= 0 and steps.max() <= np.iinfo(np.uint16).max):
            raise ValueError(f"{case}: depths from {depth.min()} to {depth.max()} mm")
        levels[i] = steps
    levels.flush()


def write_windows(
    root: Path, variant: str, case: str, windows: np.ndarray, code: np.ndarray | None
) -> None:
    """Say which rows make each clip, (S, t), and which code (t, D) to add to their time steps."""
    path = windows_path(root, variant, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_windows(path, windows, code)


def save_windows(path: Path, windows: np.ndarray, code: np.ndarray | None) -> None:
    """Write a file of windows; equal content gives equal bytes."""
    arrays = {"windows": windows} if code is None else {"windows": windows, "code": code}
    np.savez_compressed(path, allow_pickle=False, **arrays)


def pictured(task: str, of_case: Any) -> Any:
    """What is shown of a case's truth or prediction: of a sequence with depth its middle frame."""
    return of_case[len(of_case) // 2] if task == "depth" else of_case


def tokens_path(root: Path, variant: str, case: str) -> Path:
    return root / variant / f"{case}.npy"


def windows_path(root: Path, variant: str, case: str) -> Path:
    return root / variant / f"{case}.windows.npz"


def truth_path(root: Path, case: str) -> Path:
    return root / "truth" / f"{case}.npz"


def depths_path(root: Path, case: str) -> Path:
    return root / "truth" / f"{case}.depth.npy"
