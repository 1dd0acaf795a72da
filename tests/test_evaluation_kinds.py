"""Every kind of head keeps what it promises: causality, reach, votes, fairness between heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from probe_stores import CLASSES, CLIPS, DIM, FRAMES, index, quick, save, write

from unisurg.evaluation import store
from unisurg.evaluation.probing import probe
from unisurg.evaluation.probing.fitting import (
    Head,
    Hyper,
    PaddedSource,
    Runner,
    better_half,
    cosine,
)
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.knn import Neighbours
from unisurg.evaluation.probing.linear import LinearHeads
from unisurg.evaluation.probing.samples import Clips, Samples, UnequalTokensError
from unisurg.evaluation.probing.smoothing import smooth, smoothed_name
from unisurg.evaluation.probing.temporal import CausalTcn, TemporalHeads, lanes
from unisurg.evaluation.probing.trial import TrialHeads
from unisurg.evaluation.probing.views import PooledView
from unisurg.settings import Temporal
from unisurg.tasks.action import ActionTask
from unisurg.tasks.segments import IGNORED
from unisurg.tasks.skill import SkillTask


def silent(step: int, values: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("features"), index("phase"))


def samples(root: Path, variant: str = "pretrained", part: str = "train") -> Samples:
    return Samples.of(store.read(root).cases(part), variant)


def kind(name: str, root: Path, settings, **update: object):
    asked = quick(settings, kinds=(name,), **update)
    data = store.read(root)
    (found,) = kinds_of(probe.task_of(data.index, asked), data.index, asked.probe)
    return found


def state(head: Head) -> torch.Tensor:
    return torch.cat([value.flatten() for value in head.module.state_dict().values()])


# --- samples ------------------------------------------------------------------------------------


def test_samples_are_counted_through_all_cases(root: Path) -> None:
    known = samples(root)
    assert (len(known), known.grid, known.dim) == (5 * CLIPS, (2, 1, 2), DIM)
    batch = known.batch(np.array([0, CLIPS - 1, CLIPS, 5 * CLIPS - 1]))
    assert batch.shape == (4, 4, DIM)
    expected = known.clips[1].tokens[0].reshape(4, DIM)
    assert np.array_equal(batch[2].numpy(), expected.astype(np.float32))


def test_a_clip_in_windows_is_its_rows_and_the_code_of_time(root: Path) -> None:
    clips = samples(root, FRAMES).clips[0]
    rows = np.load(store.tokens_path(root, FRAMES, "train0")).astype(np.float32)
    batch = samples(root, FRAMES).batch(np.array([0, 5]))
    code = clips.tokens.code
    for found, pair in zip(batch, ([0, 0], [4, 5]), strict=True):
        expected = rows[pair] + code[:, None, None]
        assert np.allclose(found.numpy(), expected.reshape(4, DIM))
    assert batch.dtype == torch.float32


def test_means_are_those_of_the_tokens_and_of_their_change(root: Path) -> None:
    clips = samples(root).clips[2]
    tokens = np.stack([clips.tokens[i] for i in range(CLIPS)]).astype(np.float32)
    moved = np.abs(np.diff(tokens, axis=1)).sum((1, 2, 3)) / 4
    expected = np.concatenate([tokens.mean((1, 2, 3)), moved], axis=1)
    assert np.allclose(clips.means.numpy(), expected, atol=1e-5)


def test_a_share_of_the_cases_reads_no_means_again(root: Path) -> None:
    known = samples(root)
    means = [clips.means for clips in known.clips]
    some = known.only(["train3", "train1"])
    assert some.names == ["train1", "train3"]
    assert [clips.means is means[i] for clips, i in zip(some.clips, (1, 3), strict=True)] == [
        True,
        True,
    ]


def test_cases_of_unequal_token_grids_name_the_setting(tmp_path: Path) -> None:
    root = write(tmp_path, index("phase"))
    save(root, "pretrained", "train1", np.zeros((CLIPS, 2, 2, 2, DIM)))
    with pytest.raises(UnequalTokensError, match=r"features\.grid"):
        samples(root)


# --- training side by side ----------------------------------------------------------------------


def test_the_worse_half_of_the_grid_is_dropped_and_one_is_always_kept() -> None:
    runners = []
    for lr in range(5):
        hyper = Hyper("tokens", lr, 0.0)
        runners.append(Runner(Head(hyper, torch.nn.Identity(), None), hyper, None))  # type: ignore[arg-type]
    ratings = [0.1, 0.5, 0.3, 0.5, 0.2]
    kept = better_half(runners, lambda head: ratings[int(head.hyper.lr)])
    assert [runner.hyper.lr for runner in kept] == [1, 3]
    assert better_half(kept[:1], lambda head: 0.0) == kept[:1]


def test_the_learning_rate_falls_from_1_to_0_along_half_a_cosine() -> None:
    assert [cosine(epoch, 4) for epoch in (0, 2, 4)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("name", ["attentive", "linear", "temporal"])
def test_heads_side_by_side_learn_what_each_learns_alone(name: str, root: Path, settings) -> None:
    found, known = kind(name, root, settings), samples(root)
    grid = [Hyper("tokens", 1e-3, 0.1), Hyper("change", 1e-2, 0.0)]
    together = found.fit(known, grid, 0, silent, None)
    for head, hyper in zip(together, grid, strict=True):
        (alone,) = found.fit(known, [hyper], 0, silent, None)
        assert torch.equal(state(head), state(alone))


@pytest.mark.parametrize("name", ["attentive", "linear", "temporal"])
def test_another_seed_trains_another_head(name: str, root: Path, settings) -> None:
    found, known = kind(name, root, settings), samples(root)
    grid = [Hyper("tokens", 1e-3, 0.1)]
    one, other = (found.fit(known, grid, seed, silent, None)[0] for seed in (0, 1))
    assert not torch.equal(state(one), state(other))


def test_a_pooled_view_is_standardised_over_the_training_clips() -> None:
    torch.manual_seed(0)
    means = 3 + torch.randn(50, 8) * torch.logspace(-2, 2, 8)
    for name, columns in (("tokens", slice(0, 4)), ("change", slice(4, 8))):
        seen = PooledView(name, means, 4)(means)
        assert torch.allclose(seen.mean(0), torch.zeros(4), atol=1e-4)
        assert torch.allclose(seen.std(0, correction=0), torch.ones(4), atol=1e-4)
        other = means.clone()
        other[:, columns] = 0
        assert not torch.allclose(PooledView(name, means, 4)(other), seen)


# --- k-NN ---------------------------------------------------------------------------------------


def voters(count: int, classes: torch.Tensor, means: torch.Tensor) -> Neighbours:
    view = PooledView("tokens", torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat(1, 2), 2)
    return Neighbours(view, means, classes, count)


def at(*degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    direction = torch.stack([angle.cos(), angle.sin()], dim=1)
    return torch.cat([direction, direction], dim=1)


def test_votes_weigh_by_the_exponential_of_the_cosine() -> None:
    known, classes = at(0, 40, 100), torch.eye(3)
    share = voters(2, classes, known)(at(10)).exp()[0]
    similar = np.cos(np.deg2rad([10, 30])) / 0.07
    expected = np.exp(similar) / np.exp(similar).sum()
    assert share[:2].tolist() == pytest.approx(expected.tolist(), rel=1e-3)
    assert share[2] < 1e-30


def test_all_clips_as_near_as_the_last_vote_so_their_order_does_not_matter() -> None:
    known, classes = at(0, 90, -90, 90), torch.eye(3)[[0, 1, 2, 1]]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        share = voters(2, classes[order], known[order])(at(0)).exp()[0]
        # One vote of 1 at the place itself, and three at a cosine of 0 share the second place.
        far = np.exp(-1 / 0.07)
        assert share.tolist() == pytest.approx([1, 2 * far, far], rel=1e-3)


def test_more_neighbours_than_training_clips_are_all_of_them() -> None:
    many, all_ = (voters(count, torch.eye(2), at(0, 60))(at(20)) for count in (99, 2))
    assert torch.equal(many, all_)


def test_chunks_of_similarities_change_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    known, asked = torch.randn(30, 4), torch.randn(11, 4)
    classes = torch.eye(3)[torch.arange(30) % 3]
    whole = voters(4, classes, known)(asked)
    monkeypatch.setattr("unisurg.evaluation.probing.knn.SIMILARITIES", 60)
    assert torch.allclose(voters(4, classes, known)(asked), whole, atol=1e-5)


def test_a_training_clip_is_its_own_nearest_neighbour(root: Path, settings) -> None:
    found, known = kind("knn", root, settings, neighbours=(1,)), samples(root)
    (head,) = found.fit(known, found.grid(known), 0, silent, None)
    for clips in known.clips:
        assert np.array_equal(head.logits(clips).argmax(1).numpy(), clips.truth)


# --- temporal -----------------------------------------------------------------------------------


def tcn(layers: int, dropout: float = 0.0) -> CausalTcn:
    torch.manual_seed(0)
    view = PooledView("tokens", torch.randn(40, 8), 4)
    wanted = Temporal(width=6, layers=layers, dropout=dropout, epochs=1)
    return CausalTcn(view, CLASSES, wanted, seed=0).double().eval()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_clip_reaches_exactly_as_far_back_as_the_layers_say_and_never_forward(
    layers: int,
) -> None:
    length = 80
    means = torch.randn(1, length, 8, dtype=torch.float64, requires_grad=True)
    tcn(layers)(means)[0, 70].sum().backward()
    seen = means.grad[0].abs().sum(1).nonzero()[:, 0]
    assert (int(seen.min()), int(seen.max())) == (70 - (2 ** (layers + 1) - 2), 70)


def test_a_change_of_a_later_clip_changes_no_earlier_prediction(root: Path, settings) -> None:
    found, known = kind("temporal", root, settings), samples(root)
    (head,) = found.fit(known, [Hyper("tokens", 1e-2, 0.0)], 0, silent, None)
    clips = samples(root, part="test").clips[0]
    before = head.logits(clips)
    for changed in range(CLIPS):
        rows = np.array(clips.tokens.rows)
        rows[changed] += 5
        after = head.logits(replace(clips, tokens=store.Tokens(rows)))
        differs = (after != before).any(1).nonzero()[:, 0].tolist()
        assert differs
        assert min(differs) == changed
        # The rate is that of training: only moments a multiple of 4 s later hear of it.
        assert all((later - changed) % 4 == 0 for later in differs)


def test_every_moment_of_a_test_video_is_predicted_as_in_a_video_of_its_lane_alone(
    root: Path, settings
) -> None:
    found, known = kind("temporal", root, settings), samples(root)
    (head,) = found.fit(known, [Hyper("change", 1e-2, 0.0)], 0, silent, None)
    clips = samples(root, part="test").clips[1]
    whole = head.logits(clips)
    for lane in found.lanes(clips):
        assert torch.allclose(head.module.eval()(clips.means[lane][None])[0], whole[lane])


def test_lanes_share_out_the_moments_every_so_many_seconds() -> None:
    assert [lane.tolist() for lane in lanes(np.arange(7.0), 4.0, 1.0)] == [
        [0, 4],
        [1, 5],
        [2, 6],
        [3],
    ]
    assert [lane.tolist() for lane in lanes(4.0 * np.arange(5), 4.0, 1.0)] == [[0, 1, 2, 3, 4]]
    assert [lane.tolist() for lane in lanes(2.0 * np.arange(5), 4.0, 2.0)] == [[0, 2, 4], [1, 3]]
    assert [lane.tolist() for lane in lanes(0.1 * np.arange(4), 0.2, 0.1)] == [[0, 2], [1, 3]]


def test_moments_that_are_left_out_shift_no_other_into_another_lane() -> None:
    moments = np.delete(np.arange(12.0), [3, 4, 9])
    found = [moments[lane].tolist() for lane in lanes(moments, 4.0, 1.0)]
    assert found == [[0, 8], [1, 5], [2, 6, 10], [7, 11]]


def test_a_training_video_is_one_sequence_even_where_the_rates_do_not_divide() -> None:
    assert len(lanes(5.0 * np.arange(9), 5.0, 2.0)) == 1


def test_padding_changes_neither_loss_nor_gradient(root: Path, settings) -> None:
    found = kind("temporal", root, settings)
    assert isinstance(found, TemporalHeads)
    short, long = torch.randn(3, 8), torch.randn(9, 8)
    labels = [torch.tensor([0, 1, 1]), torch.arange(9) % CLASSES]
    source = PaddedSource([short, long], labels, 0.0, IGNORED)
    loss = found.task.loss(torch.cat(labels))
    module = tcn(2).float()

    def gradient(parts: list[np.ndarray]) -> torch.Tensor:
        module.zero_grad()
        logits = torch.cat([module(source.batch(ids)).flatten(0, 1) for ids in parts])
        loss(logits, torch.cat([source.targets(ids).flatten() for ids in parts])).backward()
        return torch.cat([p.grad.flatten() for p in module.parameters()])

    apart, together = gradient([np.array([0]), np.array([1])]), gradient([np.array([0, 1])])
    assert torch.allclose(apart, together, atol=1e-6)


def test_dropout_is_drawn_in_training_alone() -> None:
    module, means = tcn(2, dropout=0.5), torch.randn(1, 9, 8, dtype=torch.float64)
    assert torch.equal(module(means), module(means))
    module.train()
    assert not torch.equal(module(means), module(means))


# --- offline smoothing --------------------------------------------------------------------------


def test_smoothing_is_the_mean_of_the_scores_around_a_moment() -> None:
    moments = np.array([0.0, 1, 2, 10, 11])
    logits = torch.randn(5, 3)
    scores = logits.double().softmax(1)
    found = smooth(logits, moments, 1)
    for row, near in zip(found, ([0, 1], [0, 1, 2], [1, 2], [3, 4], [3, 4]), strict=True):
        assert torch.allclose(row, scores[near].mean(0))


def test_a_window_of_nothing_but_the_moment_leaves_the_order_of_the_classes() -> None:
    logits = torch.randn(6, 3)
    assert torch.equal(smooth(logits, np.arange(6.0), 0.5).argmax(1), logits.argmax(1))


def test_smoothed_results_say_that_they_are_offline_and_need_no_choice(
    root: Path, settings, tmp_path: Path
) -> None:
    asked = quick(settings, smoothing_s=3)
    results = probe.run("x", asked, root, tmp_path / "m.json", tmp_path / "out", silent)
    name = smoothed_name("attentive", 3)
    assert name == "attentive_offline_smoothed_3s"
    assert list(results["kinds"]) == [name]
    assert results["kinds"][name]["chosen"] == {"pretrained": {}, "random": {}}
    assert results["kinds"][name]["pretrained"] != results["pretrained"]


def test_clips_of_one_case_are_read_in_order_whatever_the_batch(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = store.read(root).cases("test")[0]
    whole = torch.cat(list(Clips.of(case, FRAMES).batches()))
    monkeypatch.setattr("unisurg.evaluation.probing.samples.READ_BATCH", 5)
    parts = list(Clips.of(case, FRAMES).batches())
    assert [len(part) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat(parts), whole)


def long_clips(root: Path, count: int, bytes_each: int) -> Samples:
    """Clips of one number, which take no memory until they are read."""
    case = store.read(root).cases("train")[0]
    rows = np.broadcast_to(np.float16(0), (count, 1, 1, 1, bytes_each // 4))
    return Samples((Clips(case, "pretrained", store.Tokens(rows), np.zeros(count, np.int64)),))


def test_as_many_clips_are_read_together_as_bytes_allow(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisurg.evaluation.probing.samples.READ_BYTES", 2**12)

    def lengths(known: Samples) -> list[int]:
        (clips,) = known.clips
        found = [len(batch) for batch in known.batches()]
        assert found == [len(batch) for batch in clips.batches()]
        return found

    assert lengths(long_clips(root, 5, bytes_each=2**11)) == [2, 2, 1]
    assert lengths(long_clips(root, 3, bytes_each=2**13)) == [1, 1, 1]
    assert lengths(long_clips(root, 300, bytes_each=4)) == [256, 44]


def test_targets_are_made_once_for_every_task_however_often_clips_are_fitted(
    root: Path, settings
) -> None:
    made: list[int] = []

    class Counting(ActionTask):
        def targets(self, truths):
            made.append(len(truths))
            return super().targets(truths)

    known = samples(root)
    task = Counting(CLASSES, 0, 2)
    heads = LinearHeads("linear", task, quick(settings).probe)
    for some in (known, known.only(["train1", "train2"]), known.joined(samples(root, part="val"))):
        heads.fit(some, [Hyper("tokens", 1e-3, 0.0)], 0, silent, None)
    assert made == [1] * 7  # five training cases and two of validation
    expected = torch.as_tensor(np.concatenate(known.truths))
    assert torch.equal(known.targets(task.targets), expected)


def test_a_slow_novice_and_a_quick_expert_teach_their_levels_alike(
    tmp_path: Path, settings
) -> None:
    cases = []
    for name, level, clips in (("novice", 0, 20), ("expert", 2, 2)):
        truth = np.zeros(clips, store.TRIAL)
        truth["level"], truth["rating"], truth["gesture"] = level, 9 + 9 * level, IGNORED
        store.write_truth(tmp_path, name, labels=truth, moments=np.arange(clips))
        save(tmp_path, "pretrained", name, np.zeros((clips, 1, 1, 1, DIM)))
        cases.append(store.StoredCase(tmp_path, name, "train"))
    task = SkillTask(levels=3, depth=0, heads=2)
    found = TrialHeads("trial", task, quick(settings).probe)
    lesson = found.lesson(Samples.of(cases, "pretrained"))
    both = np.arange(2)
    logits = torch.zeros(2, 20, task.outputs, requires_grad=True)
    lesson.loss(logits, lesson.source.targets(both)).backward()
    assert logits.grad is not None
    novice, expert = logits.grad[0, 0, 1], logits.grad[1, 0, 3]
    assert novice.item() == pytest.approx(expert.item())
