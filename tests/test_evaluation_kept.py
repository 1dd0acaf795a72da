"""A head that was chosen before is found again by all that decides it, and by nothing less."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from probe_stores import BLIND, CLIPS, FRAMES, KNOWING, epochs, index, quick, save, write

from unisurg.evaluation import store
from unisurg.evaluation.probing import kept, probe, trained
from unisurg.evaluation.probing.choosing import Chosen
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.runs import Run, runs_of
from unisurg.settings import LabelEfficiency, Probe, Settings, Temporal

EVERYTHING = {
    "seeds": (0,),
    "bootstrap": 10,
    "kinds": ("attentive", "linear", "knn", "temporal"),
    "view": ("tokens", "change"),
    "lr": (3e-2,),
    "weight_decay": (0.05,),
    "smoothing_s": 3,
    "label_efficiency": LabelEfficiency(benchmarks=("cholec80",), fractions=(0.4,)),
}
WRITTEN = ("m.json", "probe/predictions.npz", "probe/tables.npz")
SHAPING = {
    "epochs": epochs(3),
    "batch": 8,
    "depth": 1,
    "heads": 1,
    "view": ("change",),
    "lr": (1e-3, 1e-2),
    "weight_decay": (0.01, 0.2),
    "halving": (),
    "temporal": Temporal(width=8, layers=2, dropout=0.1, epochs=2),
}
NEUTRAL = {
    "baseline": False,
    "bootstrap": 20,
    "kinds": ("attentive", "knn"),
    "label_efficiency": LabelEfficiency(benchmarks=("cholec80",), fractions=()),
    "neighbours": (3,),
    "seeds": (0,),
    "smoothing_s": 7,
}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for every time that heads were trained."""
    counted: list[int] = []

    def fit(*given):
        counted.append(len(counted))
        return train(*given)

    train = trained.fit
    monkeypatch.setattr(trained, "fit", fit)
    return counted


def run(root: Path, settings: Settings, folder: Path, scratch: Path | None) -> list[bytes]:
    """The bytes that a probe writes, and what it tells."""
    told: list[tuple[int, dict[str, float]]] = []
    probe.run(
        "made-up",
        settings,
        features=root,
        metrics_path=folder / "m.json",
        output=folder / "probe",
        on_metrics=lambda step, values: told.append((step, values)),
        scratch=scratch,
    )
    return [(folder / name).read_bytes() for name in WRITTEN] + [json.dumps(told).encode()]


def choices(root: Path, settings: Settings, scratch: Path | None) -> dict[Run, Chosen]:
    data = store.read(root)
    task = probe.task_of(data.index, settings)
    kinds = kinds_of(task, data.index, settings.probe)
    runs = runs_of(data.index, settings.probe, [kind.name for kind in kinds])
    return probe.choose_all(task, data, kinds, runs, lambda step, values: None, scratch)


def one_head(settings: Settings, **update: object) -> Settings:
    """One kind of head, one seed, the pretrained encoder and the baseline: two heads."""
    return quick(settings, **{"seeds": (0,), "baseline": False, **update})


def state(chosen: Chosen) -> torch.Tensor:
    return torch.cat([value.flatten() for value in chosen.head.module.state_dict().values()])


def rewrite(root: Path, case: str, **changed: np.ndarray) -> None:
    """Write the truth of a case again with other arrays in it."""
    with np.load(store.truth_path(root, case)) as arrays:
        store.write_truth(root, case, **{**arrays, **changed})


# --- with or without the store ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "refit"),
    [("phase", True), ("action", False), ("segmentation", True), ("triplet", False)],
)
def test_what_is_written_and_told_is_the_same_with_the_store_and_nothing_is_trained_again(
    task: str, refit: bool, settings, tmp_path: Path, fits: list[int]
) -> None:
    asked = quick(settings, **EVERYTHING)
    root = write(tmp_path / "features", index(task, refit=refit))
    without = run(root, asked, tmp_path / "a", scratch=None)
    trained_without = len(fits)
    assert run(root, asked, tmp_path / "b", tmp_path / "heads") == without
    assert len(fits) == 2 * trained_without > 0
    assert run(root, asked, tmp_path / "c", tmp_path / "heads") == without
    assert len(fits) == 2 * trained_without


def test_benchmarks_with_other_test_cases_and_other_names_share_their_heads(
    settings, tmp_path: Path, fits: list[int]
) -> None:
    facts = index("segmentation")
    one = write(tmp_path / "one", facts)
    two = write(tmp_path / "two", facts, seed=1)
    for folder in ("truth", KNOWING, *BLIND, FRAMES):
        for path in (one / folder).iterdir():
            if not path.name.startswith("test"):
                shutil.copy(path, two / folder / f"renamed-{path.name}")
    cases = [
        case if case.split == "test" else store.StoredCase(two, f"renamed-{case.case}", case.split)
        for part in ("train", "val", "test")
        for case in store.read(two).cases(part)
    ]
    store.write_index(two, facts, cases)
    anew = run(two, one_head(settings), tmp_path / "anew", scratch=None)
    first = run(one, one_head(settings), tmp_path / "first", tmp_path / "heads")
    before = len(fits)
    assert run(two, one_head(settings), tmp_path / "second", tmp_path / "heads") == anew != first
    assert len(fits) == before


def test_the_global_random_state_is_left_alone_where_a_head_is_found(
    settings, tmp_path: Path
) -> None:
    root = write(tmp_path / "features", index("phase"))
    choices(root, one_head(settings), tmp_path / "heads")
    before = torch.get_rng_state()
    choices(root, one_head(settings), tmp_path / "heads")
    assert torch.equal(before, torch.get_rng_state())


# --- what decides -------------------------------------------------------------------------------


def test_every_setting_of_the_probe_either_decides_or_does_not() -> None:
    assert set(SHAPING) | set(NEUTRAL) == set(Probe.model_fields)
    assert set(NEUTRAL) == kept.NEUTRAL


@pytest.mark.parametrize("name", SHAPING)
def test_another_setting_that_shapes_heads_is_another_head(
    name: str, settings, tmp_path: Path, fits: list[int]
) -> None:
    root = write(tmp_path / "features", index("phase"))
    choices(root, one_head(settings), tmp_path / "heads")
    before = len(fits)
    choices(root, one_head(settings, **{name: SHAPING[name]}), tmp_path / "heads")
    assert len(fits) == 2 * before


def test_settings_that_shape_no_head_find_it(settings, tmp_path: Path, fits: list[int]) -> None:
    root = write(tmp_path / "features", index("phase"))
    choices(root, quick(settings), tmp_path / "heads")
    before = len(fits)
    for name, value in NEUTRAL.items():
        choices(root, quick(settings, **{name: value}), tmp_path / "heads")
    assert len(fits) == before


def other_tokens(root: Path, case: str) -> None:
    tokens = np.load(store.tokens_path(root, KNOWING, case)).astype(np.float32)
    tokens.flat[-1] += 1
    save(root, KNOWING, case, tokens)


def other_windows(root: Path, case: str) -> None:
    rows = np.arange(CLIPS)[:, None] - np.array([2, 0])
    store.write_windows(root, KNOWING, case, rows.clip(0), None)


def other_label(root: Path, case: str) -> None:
    with np.load(store.truth_path(root, case)) as arrays:
        labels = arrays["labels"].copy()
    labels[-1] = (labels[-1] + 1) % 3
    rewrite(root, case, labels=labels)


def other_moments(root: Path, case: str) -> None:
    rewrite(root, case, moments=4.0 * np.arange(1, CLIPS + 1))


CHANGES: list[Callable[[Path, str], None]] = [other_tokens, other_label, other_moments]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", ["train0", "val1"])
def test_other_bytes_of_a_case_are_another_head(
    case: str, change: Callable[[Path, str], None], settings, tmp_path: Path, fits: list[int]
) -> None:
    asked = one_head(settings)
    root = write(tmp_path / "features", index("phase"))
    choices(root, asked, tmp_path / "heads")
    before = len(fits)
    change(root, case)
    found = choices(root, asked, tmp_path / "heads")
    anew = choices(root, asked, scratch=None)
    again = [run for run in found if run.encoder == KNOWING or change is not other_tokens]
    # What has changed was trained for `found`, and all of it, two heads, for `anew`.
    assert len(fits) == before + len(again) + 2
    for one in found:
        assert torch.equal(state(found[one]), state(anew[one]))


def test_other_windows_of_the_same_rows_are_another_head(
    settings, tmp_path: Path, fits: list[int]
) -> None:
    root = write(tmp_path / "features", index("phase"))
    choices(root, one_head(settings), tmp_path / "heads")
    before = len(fits)
    with np.load(store.windows_path(root, FRAMES, "val0")) as arrays:
        store.write_windows(root, FRAMES, "val0", arrays["windows"][::-1], arrays["code"])
    choices(root, one_head(settings), tmp_path / "heads")
    assert len(fits) == before + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refit", True),
        ("main", "recall_sm_per_video_unrelaxed"),
        ("classes", ("a", "b", "c", "d")),
        ("size_px", 32),
        ("every_s", 2.0),
        ("test_every_s", 2.0),
    ],
)
def test_other_facts_of_the_benchmark_are_another_head(
    name: str, value: object, settings, tmp_path: Path
) -> None:
    root = write(tmp_path / "features", index("phase"))
    before = set(choices_kept(root, one_head(settings), tmp_path / "heads"))
    text = json.loads((root / "index.json").read_text())
    (root / "index.json").write_text(json.dumps({**text, name: value}))
    assert len(choices_kept(root, one_head(settings), tmp_path / "heads") - before) == 2


def choices_kept(root: Path, settings: Settings, heads: Path) -> set[str]:
    """Names of the files of heads once a choice has been made."""
    choices(root, settings, heads)
    return {path.name for path in heads.glob("*.pt")}


def test_another_seed_version_or_torch_is_another_head(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, heads = write(tmp_path / "features", index("phase")), tmp_path / "heads"
    found = [choices_kept(root, one_head(settings), heads)]
    found.append(choices_kept(root, one_head(settings, seeds=(1,)), heads))
    monkeypatch.setattr(kept, "_code", lambda: "edited")
    found.append(choices_kept(root, one_head(settings), heads))
    monkeypatch.setattr(torch, "__version__", "0.0")
    found.append(choices_kept(root, one_head(settings), heads))
    assert [len(names) for names in found] == [2, 4, 6, 8]


# --- files --------------------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, emptied, flipped])
def test_a_damaged_file_is_made_again(
    damage: Callable[[Path], None], settings, tmp_path: Path, fits: list[int]
) -> None:
    asked, heads = one_head(settings), tmp_path / "heads"
    root = write(tmp_path / "features", index("phase"))
    first = choices(root, asked, heads)
    before = len(fits)
    damaged = sorted(heads.glob("*.pt"))[0]
    damage(damaged)
    again = choices(root, asked, heads)
    assert len(fits) == before + 1
    assert all(torch.equal(state(first[one]), state(again[one])) for one in first)
    choices(root, asked, heads)
    assert len(fits) == before + 1


def test_a_write_that_fails_leaves_nothing_behind(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    root = write(tmp_path / "features", index("phase"))
    with pytest.raises(OSError, match="disk full"):
        choices(root, one_head(settings), tmp_path / "heads")
    assert list((tmp_path / "heads").glob("*.pt")) == []


class Code:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("ran",)


def test_a_file_cannot_bring_code_with_it(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root, heads = write(tmp_path / "features", index("phase")), tmp_path / "heads"
    choices(root, one_head(settings), heads)
    buffer = io.BytesIO()
    torch.save({"state": Code()}, buffer)
    content = buffer.getvalue()
    for path in heads.glob("*.pt"):
        path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(UnpicklingError):
        choices(root, one_head(settings), heads)
    assert not Path("ran").exists()


def test_beyond_the_bound_those_go_that_were_not_used_for_longest(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: list[int]
) -> None:
    root, heads = write(tmp_path / "features", index("phase")), tmp_path / "heads"
    oldest = choices_kept(root, one_head(settings), heads)
    newer = choices_kept(root, one_head(settings, seeds=(1,)), heads) - oldest
    left = heads / ".1-left-by-a-killed-process.pt"
    left.write_bytes(b"half a head")
    for age, name in enumerate([*oldest, left.name, *newer]):
        os.utime(heads / name, (age, age))
    choices(root, one_head(settings), heads)
    size = max(path.stat().st_size for path in heads.glob("*.pt"))
    monkeypatch.setattr(kept, "MOST_BYTES", 4 * size)
    before = len(fits)
    names = choices_kept(root, one_head(settings, seeds=(2,)), heads)
    assert len(fits) == before + 2
    assert len(names) == 4
    assert oldest < names
    assert not names & {left.name, *newer}


def count_fits(root: Path, settings: Settings, scratch: Path, both: Barrier, told: Queue) -> None:
    """Tell how often this process trains heads, which begins when the other does."""
    count, train = 0, trained.fit

    def fit(*given):
        nonlocal count
        count += 1
        return train(*given)

    trained.fit = fit
    torch.set_num_threads(1)
    both.wait()
    choices(root, settings, scratch)
    told.put(count)


@pytest.mark.slow
def test_of_two_processes_at_once_one_trains_and_the_other_waits(settings, tmp_path: Path) -> None:
    asked = quick(settings, seeds=(0,))
    root = write(tmp_path / "features", index("phase"))
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    given = (root, asked, tmp_path / "heads", spawn.Barrier(2), told)
    both = [spawn.Process(target=count_fits, args=given) for _ in range(2)]
    for process in both:
        process.start()
    counts = [told.get(timeout=300) for _ in both]
    for process in both:
        process.join()
    assert sum(counts) == len(runs_of(index("phase"), asked.probe, ["attentive"]))
