"""Trials filmed by two cameras: one case, one rating, from whichever clips tell of skill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from probe_stores import BLIND, DIM, KNOWING, TEST_EVERY_S, index, quick, save
from test_evaluation_cases import cases_of

from unisurg.benchmarks import BenchmarkError
from unisurg.benchmarks.base import IGNORED, Part, SkillCase
from unisurg.evaluation import store
from unisurg.evaluation.extraction.cases import spacing
from unisurg.evaluation.probing import probe
from unisurg.evaluation.probing.samples import Samples
from unisurg.evaluation.probing.trial import TrialHead, bags, trial_loss
from unisurg.evaluation.probing.views import PooledView
from unisurg.evaluation.store import TRIAL, Index, StoredCase
from unisurg.synthetic.encode import write_video
from unisurg.synthetic.labels import frame_times
from unisurg.synthetic.layouts import jigsaws
from unisurg.tasks.skill import SkillTask

EXERCISES = ("Suturing", "Knot_Tying")
PARTS: dict[Part, int] = {"train": 24, "val": 8, "test": 12}
STEPS = 2
TASK = SkillTask(levels=3, depth=0, heads=2)


def facts() -> Index:
    return replace(
        index("action"),
        benchmark="jigsaws",
        task="skill",
        unit="trial",
        main="closeness_grs_over_trials",
        classes=("novice", "intermediate", "expert"),
        every_s=TEST_EVERY_S,
        test_every_s=TEST_EVERY_S,
        encoders={KNOWING: (KNOWING,), "random": BLIND},
    )


def write_trials(folder: Path, counts: Mapping[Part, int], tested: str = "test") -> Path:
    """Trials of which `pretrained` shows the rating in some clips and the gesture in all."""
    cases = []
    for part, count in counts.items():
        for number in range(count):
            name = f"{tested if part == 'test' else part}{number}"
            case = StoredCase(folder, name, part)
            rng = np.random.default_rng([number, *name.encode()])
            clips = int(rng.integers(4, 9))
            rows = np.zeros((2, clips), TRIAL)
            rows["rating"] = rng.integers(6, 31)
            rows["level"] = (rows["rating"][0, 0] - 6) // 9
            rows["gesture"] = rng.integers(-1, 3, clips)
            rows["camera"] = np.arange(2)[:, None]
            rows["exercise"] = EXERCISES[number % 2]
            truth = rows.ravel()
            moments = np.tile(np.arange(clips) * TEST_EVERY_S, 2)
            store.write_truth(folder, case.case, labels=truth, moments=moments)
            signal = np.zeros((2 * clips, STEPS, 1, 2, DIM))
            telling = rng.permutation(2 * clips) < clips
            signal[telling, ..., 0] = ((truth["rating"] - 18) / 3.0)[telling, None, None, None]
            signal[telling, ..., 1] = 4
            signal += 3 * np.eye(DIM)[3 + truth["gesture"]][:, None, None, None]
            for variant in (KNOWING, *BLIND):
                noise = rng.normal(size=signal.shape) / 2
                save(folder, variant, case.case, noise + signal * (variant == KNOWING))
            cases.append(case)
    store.write_index(folder, facts(), cases)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trials(tmp_path_factory.mktemp("trials"), PARTS)


def known(root: Path, part: Any = "train") -> Samples:
    return Samples.of(store.read(root).cases(part), KNOWING)


def head(root: Path) -> TrialHead:
    means = torch.cat([clips.means for clips in known(root).clips])
    torch.manual_seed(0)
    return TrialHead(PooledView("tokens", means, DIM), TASK)


# --- cases --------------------------------------------------------------------------------------


GESTURES, UNTOLD = np.arange(9 * 30) // 30, np.empty(0, np.int64)
VIDEOS = (Path("1.avi"), Path("2.avi"))


def trial(
    split: Any = "train", gestures: np.ndarray = GESTURES, videos: tuple[Path, ...] = VIDEOS
) -> SkillCase:
    return SkillCase("t", "Suturing", videos, split, 20, (), 2, gestures, 30.0, 1 / 30, "t")


def test_both_cameras_of_a_trial_are_one_case_seen_at_the_same_moments() -> None:
    (case,) = cases_of(trial())
    assert [source.video.name for source in case.sources] == ["1.avi", "2.avi"]
    assert case.moments.tolist() == [*range(9), *range(9)]
    assert len(case) == 18
    assert case.labels["camera"].tolist() == [0] * 9 + [1] * 9
    assert case.labels["gesture"].tolist() == [*range(9), *range(9)]
    assert set(case.labels["rating"]) == {20}
    assert set(case.labels["level"]) == {2}
    assert set(case.labels["exercise"]) == {"Suturing"}


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_trial_is_seen_every_second_in_every_part(part: Part) -> None:
    cases = cases_of(trial(part), fit_every_s=4)
    assert cases[0].moments.tolist() == [*range(9), *range(9)]
    assert spacing(cases, 4) == (1.0, 1.0)


def test_a_moment_without_a_gesture_is_kept_for_the_rating() -> None:
    told = np.full(9 * 30, IGNORED)
    told[4 * 30] = 3
    (case,), (gaps,) = cases_of(trial()), cases_of(trial(gestures=told))
    assert gaps.moments.tolist() == case.moments.tolist()
    assert gaps.labels["gesture"].tolist() == 2 * [-1, -1, -1, -1, 3, -1, -1, -1, -1]


def test_a_trial_that_nobody_transcribed_lasts_as_long_as_its_video(tmp_path: Path) -> None:
    path = tmp_path / "1.avi"
    black = (np.zeros((32, 32, 3), np.uint8) for _ in range(5 * 30))
    write_video(path, black, frame_times(5 * 30, (30, 1)), jigsaws.ENCODING)
    (case,) = cases_of(trial("test", UNTOLD, (path, path)))
    assert case.moments.tolist() == [*range(5), *range(5)]
    assert set(case.labels["gesture"]) == {IGNORED}


def test_an_untold_trial_without_a_readable_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.avi").write_bytes(b"no video")
    with pytest.raises(BenchmarkError, match=r"1\.avi"):
        cases_of(trial("test", UNTOLD, (tmp_path / "1.avi",) * 2))


# --- the head -----------------------------------------------------------------------------------


@torch.inference_mode()
def test_the_answer_for_a_trial_does_not_depend_on_the_trials_beside_it(root: Path) -> None:
    module, clips = head(root), known(root).clips
    sizes = [len(c) for c in clips]
    short, long = int(np.argmin(sizes)), int(np.argmax(sizes))
    assert sizes[short] < sizes[long]
    source = bags([c.means for c in clips], [TASK.targets([c.truth]) for c in clips])
    together = module(source.batch(np.array([short, long])))
    alone = module(clips[short].means[None])
    torch.testing.assert_close(together[:1, : sizes[short]], alone)


@torch.inference_mode()
def test_a_rating_depends_neither_on_the_order_nor_on_the_number_of_like_clips(root: Path) -> None:
    module, (clips, *_) = head(root), known(root).clips
    torch.nn.init.normal_(module.weigh.weight)
    first = module(clips.means[None])[0, 0, : 1 + TASK.levels]
    for others in (clips.means.flip(0), clips.means.repeat(3, 1)):
        torch.testing.assert_close(module(others[None])[0, 0, : 1 + TASK.levels], first)


@torch.inference_mode()
def test_attention_starts_even(root: Path) -> None:
    module, (clips, *_) = head(root), known(root).clips
    features = torch.nn.functional.gelu(module.reduce(module.view(clips.means)))
    expected = module.judge(features.mean(0))
    torch.testing.assert_close(module(clips.means[None])[0, 0, : 1 + TASK.levels], expected)


def test_a_trial_counts_once_however_many_clips_it_has(root: Path) -> None:
    module, clips = head(root), known(root).clips
    targets = [TASK.targets([c.truth]) for c in clips]
    for rows in targets:
        rows[:, 2] = IGNORED
        rows[:, 1] = 0  # one level, so that all trials weigh the same
    loss = trial_loss(TASK, torch.cat(targets))
    source = bags([c.means for c in clips], targets)
    short, *_, long = np.argsort([len(c) for c in clips])
    both, one, other = (
        loss(module(source.batch(ids)), source.targets(ids)).item()
        for ids in (np.array([short, long]), np.array([short]), np.array([long]))
    )
    assert both == pytest.approx((one + other) / 2)


# --- the probe ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(root: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    output = tmp_path_factory.mktemp("output")
    epochs = settings.probe.epochs.model_copy(update={"skill": 20})
    grid = {"lr": (1e-2,), "weight_decay": (0.01,), "seeds": (0,), "batch": 64}
    asked = quick(settings, epochs=epochs, **grid)
    facts = probe.run("jigsaws", asked, root, output / "jigsaws.json", output, lambda *_: None)
    return output, facts


def test_the_trial_head_rates_what_the_tokens_tell(found: tuple[Path, Any]) -> None:
    _, facts = found
    assert facts["kind"] == "trial"
    assert facts["kinds"] == {}
    ours, theirs = facts["pretrained"], facts["random"]
    assert ours["closeness_grs_over_trials"]["mean"] > 0.85
    assert ours["spearman_over_trials"]["mean"] > 0.8
    assert ours["accuracy_gesture_per_trial"]["mean"] > 0.8
    assert theirs["spearman_over_trials"]["mean"] < 0.6
    assert facts["difference"]["mae_grs_points_over_trials"]["high"] < 0
    assert "spearman_per_task_fisher" in ours


def test_intervals_of_a_rank_correlation_come_from_draws_of_trials(found: tuple[Path, Any]) -> None:
    output, facts = found
    with np.load(output / "tables.npz") as stored:
        replicates = stored["pretrained/0/spearman_over_trials"]
    rho = facts["pretrained"]["spearman_over_trials"]
    assert replicates[0] == pytest.approx(rho["seeds"][0])
    assert rho["low"] <= rho["mean"] <= rho["high"]
    assert json.loads((output / "jigsaws.json").read_text()) == facts


def test_predictions_are_kept_with_a_row_per_clip(root: Path, found: tuple[Path, Any]) -> None:
    output, _ = found
    with np.load(output / "predictions.npz", allow_pickle=False) as stored:
        for case in store.read(root).cases("test"):
            truth, ours = stored[f"truth/{case.case}"], stored[f"pretrained/{case.case}"]
            assert np.array_equal(truth, case.truth())
            assert len(ours) == len(truth) == len(stored[f"moments/{case.case}"])
            assert len(np.unique(ours["rating"])) == 1
