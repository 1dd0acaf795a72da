"""Probes are chosen on validation cases alone, paired by seed, and deterministic."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from probe_stores import (
    BLIND,
    CLIPS,
    DIM,
    FRAMES,
    KNOWING,
    PARTS,
    TEST_EVERY_S,
    epochs,
    index,
    quick,
    save,
    write,
)

from unisurg.evaluation import statistics, store
from unisurg.evaluation.probing import probe
from unisurg.evaluation.probing.choosing import Chosen, DivergedError
from unisurg.evaluation.probing.kinds import KindError, kinds_of
from unisurg.evaluation.probing.runs import Run, RunError, runs_of
from unisurg.settings import LabelEfficiency

TASKS = ["phase", "action", "segmentation", "triplet"]
EVERYTHING = {
    "kinds": ("attentive", "linear", "knn", "temporal"),
    "view": ("tokens", "change"),
    "lr": (3e-2,),
    "weight_decay": (0.05,),
    "smoothing_s": 3,
    "label_efficiency": LabelEfficiency(benchmarks=("cholec80",), fractions=(0.4,)),
}
CURVE = LabelEfficiency(benchmarks=("cholec80",), fractions=(0.5, 0.2))


def run(root: Path, settings, folder: Path) -> dict:
    return probe.run(
        "made-up",
        settings,
        features=root,
        metrics_path=folder / "made-up.json",
        output=folder / "probe",
        on_metrics=lambda step, values: None,
    )


def choices(root: Path, settings) -> dict[Run, Chosen]:
    data = store.read(root)
    task = probe.task_of(data.index, settings)
    kinds = kinds_of(task, data.index, settings.probe)
    runs = runs_of(data.index, settings.probe, [kind.name for kind in kinds])
    return probe.choose_all(task, data, kinds, runs, lambda step, values: None)


def first(root: Path, settings) -> Chosen:
    """The choice for the first seed of the pretrained encoder."""
    one = settings.probe.model_copy(update={"seeds": (0,), "baseline": False})
    return next(iter(choices(root, settings.model_copy(update={"probe": one})).values()))


def state(chosen: Chosen) -> torch.Tensor:
    """All numbers of a head: weights, standardisation, the clips that vote."""
    return torch.cat([value.flatten() for value in chosen.head.module.state_dict().values()])


def same(one: Chosen, other: Chosen) -> bool:
    return one.facts() == other.facts() and torch.equal(state(one), state(other))


def without_tests(root: Path) -> Path:
    for path in root.rglob("test*"):
        path.unlink()
    return root


# --- the test cases cannot reach a choice -------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_other_test_labels_and_features_change_no_choice_of_any_kind(
    task: str, settings, tmp_path: Path
) -> None:
    asked = quick(settings, **EVERYTHING)
    write(tmp_path / "one", index(task))
    write(tmp_path / "two", index(task), seed=1)
    for folder in ("truth", KNOWING, *BLIND, FRAMES):
        for path in (tmp_path / "one" / folder).iterdir():
            if not path.name.startswith("test"):
                shutil.copy(path, tmp_path / "two" / folder / path.name)
    one, two = (run(tmp_path / name, asked, tmp_path / f"{name}-out") for name in ("one", "two"))
    assert one["chosen"] == two["chosen"]
    assert one["baselines"][FRAMES]["chosen"] == two["baselines"][FRAMES]["chosen"]
    for kind in one["kinds"]:
        assert one["kinds"][kind]["chosen"] == two["kinds"][kind]["chosen"]
    assert one["pretrained"] != two["pretrained"]


@pytest.mark.parametrize("task", TASKS)
def test_every_choice_is_made_where_no_test_case_exists(
    task: str, settings, tmp_path: Path
) -> None:
    asked = quick(settings, **EVERYTHING)
    root = write(tmp_path / "features", index(task))
    before = choices(root, asked)
    after = choices(without_tests(root), asked)
    assert list(before) == list(after)
    assert {run.kind for run in before} == {
        "phase": {"attentive", "linear", "knn", "temporal"},
        "action": {"attentive", "linear", "knn"},
        "segmentation": {"decoder"},
        "triplet": {"triplet", "plain"},
    }[task]
    assert all(same(before[run], after[run]) for run in before)


@pytest.mark.parametrize("kind", ["attentive", "linear", "knn", "temporal"])
def test_other_validation_labels_do_change_the_choice(kind: str, settings, tmp_path: Path) -> None:
    asked = quick(settings, kinds=(kind,))
    root = write(tmp_path / "features", index("phase"))
    before = first(root, asked)
    for i in range(PARTS["val"]):
        moments = np.arange(CLIPS) * 4.0
        store.write_truth(root, f"val{i}", labels=np.zeros(CLIPS, np.int64), moments=moments)
    assert first(root, asked).score != before.score


# --- what a run says ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_an_encoder_that_knows_beats_one_that_does_not_under_every_kind(
    task: str, settings, tmp_path: Path
) -> None:
    asked = quick(
        settings,
        kinds=("attentive", "linear", "knn", "temporal"),
        epochs=epochs(30),
        temporal=settings.probe.temporal.model_copy(update={"layers": 2, "epochs": 20}),
        lr=(1e-2,),
        weight_decay=(0.01,),
        batch=2 if task == "segmentation" else 32,
    )
    results = run(write(tmp_path / "features", index(task)), asked, tmp_path)
    main = results["main"]
    for found in (results, *results["kinds"].values()):
        assert found["pretrained"][main]["mean"] > 0.7
        assert found["difference"][main]["low"] > 0
        assert found["baselines"][FRAMES]["difference"][main]["low"] > 0
    assert results["cases"] == PARTS


def test_a_difference_is_paired_by_seed(settings, tmp_path: Path) -> None:
    results = run(write(tmp_path / "features", index("phase")), quick(settings), tmp_path)
    pairs = [
        (results["difference"], results["random"]),
        (results["baselines"][FRAMES]["difference"], results["baselines"][FRAMES]["metrics"]),
    ]
    for difference, theirs in pairs:
        for name, found in difference.items():
            seeds = np.subtract(results["pretrained"][name]["seeds"], theirs[name]["seeds"])
            assert found["seeds"] == pytest.approx(seeds)
            assert found["mean"] == pytest.approx(np.mean(found["seeds"]))


def test_the_seeds_meet_the_variants_of_an_encoder_in_turn(settings) -> None:
    asked = quick(settings, seeds=(5, 6, 7))
    met = [
        (run.encoder, run.seed, run.variant)
        for run in runs_of(index("phase"), asked.probe, ["attentive"])
    ]
    assert met == [
        *((KNOWING, seed, KNOWING) for seed in (5, 6, 7)),
        *(("random", seed, BLIND[i]) for seed, i in ((5, 0), (6, 1), (7, 0))),
        *((FRAMES, seed, FRAMES) for seed in (5, 6, 7)),
    ]


@pytest.mark.parametrize("task", TASKS)
def test_a_run_writes_the_same_bytes_again(task: str, settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index(task))
    for folder in ("a", "b"):
        run(root, quick(settings, **EVERYTHING), tmp_path / folder)
    for name in ("made-up.json", "probe/predictions.npz", "probe/tables.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_further_kinds_and_shares_leave_the_main_result_as_it_is(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    update = {"view": EVERYTHING["view"], "lr": EVERYTHING["lr"], "weight_decay": (0.05,)}
    alone = run(root, quick(settings, **update), tmp_path / "alone")
    beside = run(root, quick(settings, **EVERYTHING), tmp_path / "beside")
    for key in ("pretrained", "random", "difference", "chosen", "baselines"):
        assert alone[key] == beside[key]
    assert alone["kinds"] == {}
    assert "label_efficiency" not in alone


def test_metrics_on_disk_are_what_was_returned(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    results = run(root, quick(settings, **EVERYTHING), tmp_path)
    assert json.loads((tmp_path / "made-up.json").read_text()) == results
    assert set(results["chosen"]) == {"pretrained", "random"}
    assert set(results["chosen"]["pretrained"]) == {"0", "1"}
    assert set(results["pretrained"][results["main"]]) == {"mean", "low", "high", "seeds"}
    assert (results["kind"], results["protocol"], results["window"]) == (
        "attentive",
        "dense",
        "causal",
    )
    assert results["clips"] == {part: CLIPS * count for part, count in PARTS.items()}
    assert list(results["kinds"]) == ["linear", "knn", "temporal", "attentive_offline_smoothed_3s"]
    assert set(results["kinds"]["knn"]["chosen"]["random"]["1"]) == {"view", "neighbours", "val"}


def test_the_first_kind_gives_the_main_result(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    results = run(root, quick(settings, kinds=("knn", "attentive")), tmp_path)
    assert results["kind"] == "knn"
    assert list(results["kinds"]) == ["attentive"]
    # No seed is drawn in a k-NN probe.
    main = results["pretrained"][results["main"]]
    assert main["seeds"][0] == main["seeds"][1]


def test_a_task_without_any_of_the_wanted_kinds_names_those_it_has(settings) -> None:
    facts, asked = index("action"), quick(settings, kinds=("temporal",))
    with pytest.raises(KindError, match=r"probe\.kinds: .*no temporal; add one of attentive"):
        kinds_of(probe.task_of(facts, asked), facts, asked.probe)


def test_tables_on_disk_give_the_reported_numbers(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    asked = quick(settings)
    results = run(root, asked, tmp_path)
    draws = statistics.draw_cases(PARTS["test"], asked.probe.bootstrap, asked.seed)
    with np.load(tmp_path / "probe/tables.npz") as arrays:
        assert arrays["cases"].tolist() == [f"test{i}" for i in range(PARTS["test"])]
        for metric, found in results["pretrained"].items():
            ours, theirs = (
                [arrays[f"{encoder}/{seed}/{metric}"] for seed in (0, 1)]
                for encoder in ("pretrained", FRAMES)
            )
            assert statistics.estimate(ours, draws).as_dict() == found
            gap = statistics.difference(ours, theirs, draws).as_dict()
            assert gap == results["baselines"][FRAMES]["difference"][metric]


def test_predictions_of_phases_are_labels_at_moments(settings, tmp_path: Path) -> None:
    run(write(tmp_path / "features", index("phase")), quick(settings), tmp_path)
    with np.load(tmp_path / "probe/predictions.npz") as arrays:
        assert (arrays["task"], arrays["classes"].tolist()) == ("phase", ["a", "b", "c"])
        for i in range(PARTS["test"]):
            assert arrays[f"moments/test{i}"].tolist() == (TEST_EVERY_S * np.arange(CLIPS)).tolist()
            for kind in ("truth", "pretrained", "random", FRAMES):
                assert arrays[f"{kind}/test{i}"].shape == (CLIPS,)


def test_predictions_of_actions_are_the_best_classes(settings, tmp_path: Path) -> None:
    results = run(write(tmp_path / "features", index("action")), quick(settings), tmp_path)
    names = [f"test{i}" for i in range(PARTS["test"])]
    with np.load(tmp_path / "probe/predictions.npz") as arrays:
        assert arrays["task"] == "action"
        truth, found = (
            np.concatenate([arrays[f"{kind}/{name}"] for name in names])
            for kind in ("truth", "pretrained")
        )
    assert found.dtype == np.int64
    top1 = results["pretrained"]["accuracy_top1_over_clips"]["seeds"][0]
    assert np.mean(truth == found) == pytest.approx(top1)


def test_predictions_of_pictures_are_probabilities_beside_the_picture(
    settings, tmp_path: Path
) -> None:
    asked = quick(settings)
    shown = asked.model_copy(update={"report": asked.report.model_copy(update={"overlays": 3})})
    run(write(tmp_path / "features", index("segmentation")), shown, tmp_path)
    with np.load(tmp_path / "probe/predictions.npz") as arrays:
        assert sum(name.startswith("image/") for name in arrays) == 3
        assert arrays["image/test0"].shape == (24, 32, 3)
        assert arrays["truth/test0"].dtype == bool
        found = arrays["pretrained/test0"]
        assert (found.shape, found.dtype) == ((24, 32), np.float32)
        assert 0 <= found.min() <= found.max() <= 1


def test_without_a_random_encoder_its_keys_are_left_out(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    update = {**EVERYTHING, "baseline": False}
    results = run(root, quick(settings, **update), tmp_path)
    for found in (results, results["kinds"]["linear"], results["label_efficiency"][0]):
        assert not {"random", "difference"} & set(found)
    assert set(results["chosen"]) == {"pretrained"}


def test_a_random_encoder_that_was_not_extracted_is_asked_for_by_its_setting(settings) -> None:
    facts = replace(index("phase"), encoders={KNOWING: (KNOWING,)})
    with pytest.raises(RunError, match=r"features\.random_encoders"):
        runs_of(facts, quick(settings).probe, ["attentive"])


def test_losses_and_validation_scores_of_the_main_kind_are_reported_per_encoder_and_seed(
    settings, tmp_path: Path
) -> None:
    seen: dict[str, list[int]] = {}

    def note(step: int, values: dict[str, float]) -> None:
        for name in values:
            seen.setdefault(name, []).append(step)

    root = write(tmp_path / "features", index("phase"))
    asked = quick(settings, kinds=("attentive", "linear"))
    probe.run("made-up", asked, root, tmp_path / "m.json", tmp_path / "out", note)
    assert seen["pretrained/seed0/train_loss"] == [0, 1]
    assert len(seen["random/seed1/val_main"]) == 1
    assert len(seen) == 3 * 2 * 2


# --- fewer training cases -----------------------------------------------------------------------


@pytest.mark.parametrize("refit", [False, True])
def test_the_curve_of_labels_ascends_to_the_main_result(
    refit: bool, settings, tmp_path: Path
) -> None:
    root = write(tmp_path / "features", index("phase", refit=refit))
    results = run(root, quick(settings, label_efficiency=CURVE), tmp_path)
    curve = results["label_efficiency"]
    assert [point["fraction"] for point in curve] == [0.2, 0.5, 1.0]
    assert [point["cases"] for point in curve] == ([1, 4, 7] if refit else [1, 2, 5])
    for encoder in ("pretrained", "random", "difference"):
        assert curve[-1][encoder] == results[encoder][results["main"]]
        assert curve[0][encoder] != curve[-1][encoder]


def test_a_share_is_fitted_to_the_clips_of_its_cases_alone(settings, tmp_path: Path) -> None:
    asked = quick(settings, kinds=("knn",), neighbours=(1,), label_efficiency=CURVE)
    root = write(tmp_path / "features", index("phase"))
    for run_, chosen in choices(root, asked).items():
        cases = {1.0: 5, 0.5: 2, 0.2: 1}[run_.share]
        assert len(chosen.head.module.known) == cases * CLIPS


def test_seeds_share_a_knn_head_where_neither_encoder_nor_share_differs(
    settings, tmp_path: Path
) -> None:
    asked = quick(settings, **{**EVERYTHING, "kinds": ("knn",)})
    found = choices(write(tmp_path / "features", index("phase")), asked)
    by_encoder: dict[tuple[str, float], list[Chosen]] = {}
    for run_, chosen in found.items():
        by_encoder.setdefault((run_.encoder, run_.share), []).append(chosen)
    for (encoder, share), (one, other) in by_encoder.items():
        assert (one is other) == (encoder != "random" and share == 1.0)


def test_other_benchmarks_have_no_curve_of_labels(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase", benchmark="autolaparo"))
    assert "label_efficiency" not in run(root, quick(settings, **EVERYTHING), tmp_path)


# --- the choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["attentive", "linear", "knn", "temporal"])
def test_a_refit_keeps_the_choice_and_learns_from_validation_cases_too(
    kind: str, settings, tmp_path: Path
) -> None:
    asked = quick(settings, kinds=(kind,))
    plain = first(write(tmp_path / "plain", index("phase")), asked)
    refit = first(write(tmp_path / "refit", index("phase", refit=True)), asked)
    assert refit.facts() == plain.facts()
    assert state(refit).shape != state(plain).shape or not torch.equal(state(refit), state(plain))


def test_what_shows_in_change_alone_is_learnt_by_the_view_that_shows_it(
    settings, tmp_path: Path
) -> None:
    """The class is how often a large, random scene flips; its sign says nothing."""
    root = write(tmp_path / "features", index("phase"))
    for path in (root / KNOWING).iterdir():
        rng = np.random.default_rng([*path.stem.encode()])
        with np.load(store.truth_path(root, path.stem)) as truth:
            labels = truth["labels"]
        scene = 5 * rng.normal(size=(1, 1, 1, 2, DIM))
        steps = np.arange(8)
        turns = np.stack([steps * label // 2 for label in labels])
        flips = (-1.0) ** turns[:, :, None, None, None]
        moving = 0.3 * flips * rng.choice([-1, 1], (len(labels), 1, 1, 1, 1))
        save(root, KNOWING, path.stem, scene + moving + np.zeros((1, 8, 1, 2, DIM)))
    found = {}
    for views in (("tokens",), ("tokens", "change")):
        longer = {"lr": (1e-3,), "weight_decay": (0.01,), "epochs": epochs(20)}
        found[views[-1]] = first(root, quick(settings, view=views, **longer))
    assert asdict(found["change"].head.hyper)["view"] == "change"
    assert found["change"].score > found["tokens"].score + 0.2


@pytest.mark.parametrize("task", ["phase", "action"])
def test_a_head_that_diverges_is_never_chosen(task: str, settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index(task))
    wild = {"lr": (1e30, 1e-3), "weight_decay": (0.0,), "halving": ()}
    assert first(root, quick(settings, **wild)).facts()["lr"] == 1e-3
    with pytest.raises(DivergedError, match=r"lower probe\.lr"):
        first(root, quick(settings, **{**wild, "lr": (1e30,)}))


def test_the_global_random_state_is_left_alone(settings, tmp_path: Path) -> None:
    root = write(tmp_path / "features", index("phase"))
    before = torch.get_rng_state()
    choices(root, quick(settings, **EVERYTHING))
    assert torch.equal(before, torch.get_rng_state())


def test_features_that_are_not_finished_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage `features`"):
        store.read(tmp_path)
