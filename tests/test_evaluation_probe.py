"""Probes are chosen on validation cases alone, paired by seed, and deterministic."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unisurg.evaluation import probe, store
from unisurg.evaluation.store import Index, StoredCase
from unisurg.settings import Epochs

DIM, CLASSES = 16, 3
PARTS = {"train": 5, "val": 2, "test": 4}


def epochs(count: int) -> Epochs:
    return Epochs(phase=count, segmentation=count)


@pytest.fixture
def quick(settings):
    """Settings of a probe that trains in a second."""
    small = settings.probe.model_copy(
        update={
            "seeds": (0, 1),
            "epochs": epochs(4),
            "batch": 16,
            "depth": 0,
            "heads": 2,
            "view": ("tokens",),
            "lr": (1e-3, 3e-2),
            "weight_decay": (0.01, 0.1),
            "halving": (0.5,),
            "bootstrap": 200,
        }
    )
    return settings.model_copy(update={"probe": small})


def index(task: str, refit: bool = False) -> Index:
    phase = task == "phase"
    return Index(
        benchmark="made-up",
        task=task,
        split="all",
        refit=refit,
        unit="video" if phase else "picture",
        main="f1_sm_per_video_unrelaxed" if phase else "mean_dice_threshold_0.5",
        classes=("a", "b", "c") if phase else ("background", "polyp"),
        size_px=16,
        encoders={"pretrained": "p", "random-0": "r0", "random-1": "r1"},
    )


def write(root: Path, facts: Index, seed: int = 0) -> Path:
    """Features in which only `pretrained` knows the truth."""
    cases = []
    for part, count in PARTS.items():
        for i in range(count):
            case = StoredCase(root, f"{part}{i}", part)
            rng = np.random.default_rng([seed, i, *part.encode()])
            signal = _phase(root, case, rng) if facts.task == "phase" else _mask(root, case, rng)
            for variant in facts.encoders:
                path = store.tokens_path(root, variant, case.case)
                path.parent.mkdir(exist_ok=True)
                noise = rng.normal(size=signal.shape)
                np.save(path, (noise + signal * (variant == "pretrained")).astype(np.float16))
            cases.append(case)
    store.write_index(root, facts, cases)
    return root


def _phase(root: Path, case: StoredCase, rng: np.random.Generator) -> np.ndarray:
    labels = np.sort(rng.integers(0, CLASSES, 20))
    store.write_truth(root, case.case, labels=labels)
    return np.broadcast_to(2 * np.eye(DIM)[labels][:, None, None, None], (20, 2, 1, 2, DIM))


def _mask(root: Path, case: StoredCase, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((4, 4)) > 0.5
    mask = np.kron(coarse, np.ones((6, 8))) > 0
    image = {"image": np.zeros((24, 32, 3), np.uint8)} if case.split == "test" else {}
    store.write_truth(root, case.case, mask=mask, **image)
    return 6 * coarse[None, None, :, :, None] * np.eye(DIM)[0]


def run(root: Path, settings, folder: Path) -> dict:
    return probe.run(
        "made-up",
        settings,
        features=root,
        metrics_path=folder / "made-up.json",
        output=folder / "probe",
        on_metrics=lambda step, values: None,
    )


def choice(root: Path, settings) -> probe.Chosen:
    data = store.read(root)
    task = probe.make_task(data, settings.probe)
    return probe.choose(task, data, settings.probe, "pretrained", 0, lambda step, values: None)


def weights(head: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in head.parameters()])


def same(one: probe.Chosen, other: probe.Chosen) -> bool:
    return (
        one.hyper == other.hyper
        and one.score == other.score
        and torch.equal(weights(one.head), weights(other.head))
    )


# --- the test cases cannot reach the choice -----------------------------------------------------


@pytest.mark.parametrize("task", ["phase", "segmentation"])
def test_other_test_labels_and_features_change_no_choice(task: str, quick, tmp_path: Path) -> None:
    write(tmp_path / "one", index(task))
    write(tmp_path / "two", index(task), seed=1)
    for folder in ("truth", "pretrained", "random-0", "random-1"):
        for path in (tmp_path / "one" / folder).iterdir():
            if not path.name.startswith("test"):
                shutil.copy(path, tmp_path / "two" / folder / path.name)
    results = [run(tmp_path / name, quick, tmp_path / f"{name}-out") for name in ("one", "two")]
    assert results[0]["chosen"] == results[1]["chosen"]
    assert results[0]["pretrained"] != results[1]["pretrained"]
    assert same(choice(tmp_path / "one", quick), choice(tmp_path / "two", quick))


def test_a_choice_is_made_where_no_test_case_exists(quick, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    before = choice(root, quick)
    for path in root.rglob("test*"):
        path.unlink()
    assert same(before, choice(root, quick))


def test_other_validation_labels_do_change_the_choice(quick, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    before = choice(root, quick)
    for i in range(PARTS["val"]):
        store.write_truth(root, f"val{i}", labels=np.zeros(20, np.int64))
    assert choice(root, quick).score != before.score


# --- what a run says ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["phase", "segmentation"])
def test_an_encoder_that_knows_beats_one_that_does_not(task: str, quick, tmp_path: Path) -> None:
    longer = quick.probe.model_copy(
        update={"epochs": epochs(40), "batch": 32 if task == "phase" else 2}
    )
    root = write(tmp_path / "features", index(task))
    results = run(root, quick.model_copy(update={"probe": longer}), tmp_path)
    main = results["main"]
    assert results["pretrained"][main]["mean"] > 0.7
    assert results["difference"][main]["low"] > 0
    assert results["cases"] == PARTS


def test_a_difference_is_paired_by_seed(quick, tmp_path: Path) -> None:
    results = run(write(tmp_path / "features", index("phase")), quick, tmp_path)
    for name, found in results["difference"].items():
        ours, theirs = results["pretrained"][name]["seeds"], results["random"][name]["seeds"]
        assert found["seeds"] == pytest.approx(np.subtract(ours, theirs))
        assert found["mean"] == pytest.approx(np.mean(found["seeds"]))


def test_a_run_writes_the_same_bytes_again(quick, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    for folder in ("a", "b"):
        run(root, quick, tmp_path / folder)
    for name in ("made-up.json", "probe/predictions.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_metrics_on_disk_are_what_was_returned(quick, tmp_path: Path) -> None:
    results = run(write(tmp_path / "features", index("phase")), quick, tmp_path)
    assert json.loads((tmp_path / "made-up.json").read_text()) == results
    assert set(results["chosen"]["pretrained"]) == {"0", "1"}
    assert set(results["pretrained"][results["main"]]) == {"mean", "low", "high", "seeds"}


def test_predictions_of_phases_have_the_shape_of_the_truth(quick, tmp_path: Path) -> None:
    run(write(tmp_path / "features", index("phase")), quick, tmp_path)
    with np.load(tmp_path / "probe/predictions.npz") as arrays:
        assert arrays["classes"].tolist() == ["a", "b", "c"]
        for i in range(PARTS["test"]):
            for kind in ("truth", "pretrained", "random"):
                assert arrays[f"{kind}/test{i}"].shape == (20,)


def test_predictions_of_pictures_are_probabilities_beside_the_picture(
    quick, tmp_path: Path
) -> None:
    shown = quick.model_copy(update={"report": quick.report.model_copy(update={"overlays": 3})})
    run(write(tmp_path / "features", index("segmentation")), shown, tmp_path)
    with np.load(tmp_path / "probe/predictions.npz") as arrays:
        assert sum(name.startswith("image/") for name in arrays) == 3
        assert arrays["image/test0"].shape == (24, 32, 3)
        assert arrays["truth/test0"].dtype == bool
        found = arrays["pretrained/test0"]
        assert (found.shape, found.dtype) == ((24, 32), np.float32)
        assert 0 <= found.min() <= found.max() <= 1


def test_without_a_baseline_its_keys_are_left_out(quick, tmp_path: Path) -> None:
    alone = quick.probe.model_copy(update={"baseline": False})
    root = write(tmp_path / "features", index("phase"))
    results = run(root, quick.model_copy(update={"probe": alone}), tmp_path)
    assert not {"random", "difference"} & set(results)
    assert set(results["chosen"]) == {"pretrained"}


def test_losses_and_validation_scores_are_reported_per_encoder_and_seed(
    quick, tmp_path: Path
) -> None:
    seen: dict[str, list[int]] = {}

    def note(step: int, values: dict[str, float]) -> None:
        for name in values:
            seen.setdefault(name, []).append(step)

    root = write(tmp_path / "features", index("phase"))
    probe.run("made-up", quick, root, tmp_path / "m.json", tmp_path / "out", note)
    assert seen["pretrained/seed0/train_loss"] == [0, 1, 2, 3]
    assert seen["random/seed1/val_main"] == [4]


# --- training -----------------------------------------------------------------------------------


def test_the_worse_half_of_the_grid_is_dropped_and_one_is_always_kept() -> None:
    runners = [
        probe.Runner(probe.Hyper("tokens", lr, 0.0), torch.nn.Identity(), None) for lr in range(5)
    ]  # type: ignore[arg-type]
    ratings = dict(zip(map(id, (r.head for r in runners)), [0.1, 0.5, 0.3, 0.5, 0.2], strict=True))
    kept = probe.better_half(runners, lambda head: ratings[id(head)])
    assert [runner.hyper.lr for runner in kept] == [1, 3]
    assert probe.better_half(kept[:1], lambda head: 0.0) == kept[:1]


def test_heads_side_by_side_learn_what_each_learns_alone(quick, tmp_path: Path) -> None:
    data = store.read(write(tmp_path / "features", index("phase")))
    task = probe.make_task(data, quick.probe)
    samples = probe.Samples.of(data.cases("train"), "pretrained")
    hypers = [probe.Hyper("tokens", 1e-3, 0.1), probe.Hyper("change", 1e-2, 0.0)]

    def train(grid: list[probe.Hyper]) -> list[probe.Runner]:
        return probe.fit(task, samples, grid, quick.probe, 0, lambda step, values: None, None)

    for together, hyper in zip(train(hypers), hypers, strict=True):
        assert torch.equal(weights(together.head), weights(train([hyper])[0].head))


def test_what_shows_in_change_alone_is_learnt_by_the_view_that_shows_it(
    quick, tmp_path: Path
) -> None:
    """The class is how often a large, random scene flips; its sign says nothing."""
    root = write(tmp_path / "features", index("phase"))
    for path in (root / "pretrained").iterdir():
        rng = np.random.default_rng([*path.stem.encode()])
        with np.load(store.truth_path(root, path.stem)) as truth:
            labels = truth["labels"]
        scene = 5 * rng.normal(size=(1, 1, 1, 2, DIM))
        steps = np.arange(8)
        turns = np.stack([steps * label // 2 for label in labels])
        flips = (-1.0) ** turns[:, :, None, None, None]
        moving = 0.3 * flips * rng.choice([-1, 1], (len(labels), 1, 1, 1, 1))
        np.save(path, (scene + moving + np.zeros((1, 8, 1, 2, DIM))).astype(np.float16))
    longer = {"lr": (1e-3,), "weight_decay": (0.01,), "epochs": epochs(30)}
    found = {}
    for views in (("tokens",), ("tokens", "change")):
        update = {"view": views, **longer}
        asked = quick.model_copy(update={"probe": quick.probe.model_copy(update=update)})
        found[views[-1]] = choice(root, asked)
    assert found["change"].hyper.view == "change"
    assert found["change"].score > found["tokens"].score + 0.2


def test_a_refit_keeps_the_choice_and_learns_from_validation_cases_too(
    quick, tmp_path: Path
) -> None:
    plain = choice(write(tmp_path / "plain", index("phase")), quick)
    refit = choice(write(tmp_path / "refit", index("phase", refit=True)), quick)
    assert (refit.hyper, refit.score) == (plain.hyper, plain.score)
    assert not torch.equal(weights(refit.head), weights(plain.head))


def test_the_global_random_state_is_left_alone(quick, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    before = torch.get_rng_state()
    choice(root, quick)
    assert torch.equal(before, torch.get_rng_state())


def test_samples_are_counted_through_all_cases(tmp_path: Path) -> None:
    data = store.read(write(tmp_path / "features", index("phase")))
    samples = probe.Samples.of(data.cases("train"), "pretrained")
    assert (len(samples), samples.grid, samples.dim) == (100, (2, 1, 2), DIM)
    batch = samples.batch(np.array([0, 19, 20, 99]))
    assert batch.shape == (4, 4, DIM)
    expected = data.cases("train")[1].tokens("pretrained")[0].reshape(4, DIM)
    assert np.array_equal(batch[2].numpy(), expected.astype(np.float32))


def test_cases_of_unequal_token_grids_name_the_setting(tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    np.save(store.tokens_path(root, "pretrained", "train1"), np.zeros((20, 2, 2, 2, DIM)))
    with pytest.raises(ValueError, match=r"features\.grid"):
        probe.Samples.of(store.read(root).cases("train"), "pretrained")


def test_relaxed_metrics_are_given_only_where_the_order_of_phases_is_cholec80s(
    quick, tmp_path: Path
) -> None:
    data = store.read(write(tmp_path / "features", index("phase")))
    cholec80 = store.Store(replace(data.index, benchmark="cholec80"), ())
    labels = [np.arange(CLASSES)]
    names = [
        set(probe.make_task(one, quick.probe).tables(labels, labels)) for one in (data, cholec80)
    ]
    assert not any("relaxed10" in name for name in names[0])
    assert "jaccard_phase_level_relaxed10" in names[1]


def test_features_that_are_not_finished_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage `features`"):
        store.read(tmp_path)
