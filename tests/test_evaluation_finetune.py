"""Fine-tuning is chosen on validation cases alone, tested once, paired, and never starts over."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unisurg.evaluation.finetuning import finetune, unfinished
from unisurg.evaluation.finetuning.layer_decay import parameter_groups
from unisurg.evaluation.finetuning.pixels import ClipCache, Pixels
from unisurg.evaluation.finetuning.tuner import Network, Tuner, TuningDiverged, rate_factor, tunable
from unisurg.evaluation.finetuning.unfinished import Row, Training
from unisurg.evaluation.reported import Tuned
from unisurg.models.checkpoints import load_encoder, save_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.sizes import Size
from unisurg.models.writing import RunLocked
from unisurg.models.zoo import EncoderError
from unisurg.settings import Finetune, Settings, load
from unisurg.tasks.action import ActionTask

ROOT = Path(__file__).resolve().parent.parent
SIDE, FRAMES, CLASSES = 32, 2, 3
TINY = Size(dim=32, depth=3, heads=2)


def tiny_encoder(seed: int = 0, drop_path: float = 0.0) -> VisionTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VisionTransformer(TINY, (2, 16, 16), drop_path).eval()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder, tiny_encoder(seed=99), {})
    return folder


def quick(settings: Settings, **changes: object) -> Finetune:
    """Settings of a training of three epochs in batches of four."""
    base = {"seeds": (0,), "epochs": 3, "batch": 4, "lr": 2e-3, "layer_decay": 0.5}
    return settings.finetune.model_copy(update=base | changes)


# --- layer-wise decay ---------------------------------------------------------------------------


def groups_by_name(decay: float) -> dict[str, dict]:
    """The group of every parameter of a tiny network, by the parameter's name."""
    network = Network(tiny_encoder(), ActionTask(CLASSES, 1, 2), (1, 2, 2), seed=0)
    groups = parameter_groups(network.encoder, network.head, decay, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {id(p) for group in groups for p in group["params"]} == set(names)
    return {names[id(p)]: group for group in groups for p in group["params"]}


def test_every_trainable_parameter_is_in_exactly_one_group():
    encoder, head = tiny_encoder(), torch.nn.Linear(4, 2)
    encoder.embed.weight.requires_grad_(False)
    groups = parameter_groups(encoder, head, 0.75, 0.05)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trained = [*encoder.parameters(), *head.parameters()]
    assert sorted(grouped) == sorted(id(p) for p in trained if p.requires_grad)


@pytest.mark.parametrize("decay", [0.75, 0.5, 1.0])
def test_a_parameters_rate_falls_by_the_decay_for_every_block_before_the_last(decay):
    expected = {
        "embed": decay**3,
        "blocks.0": decay**2,
        "blocks.1": decay,
        "blocks.2": 1.0,
        "norm": 1.0,
    }
    for name, group in groups_by_name(decay).items():
        where, _, rest = name.partition(".")
        if where == "head":
            assert group["scale"] == 1.0, name
        else:
            part = next(key for key in expected if rest.startswith(f"{key}."))
            assert group["scale"] == pytest.approx(expected[part], rel=1e-15), name


def test_weights_decay_on_matrices_only():
    for name, group in groups_by_name(0.75).items():
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.1}, name


# --- schedule -----------------------------------------------------------------------------------


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine_to_zero(settings):
    wanted = quick(settings, epochs=3, warmup_epochs=1.0)
    factors = [rate_factor(step, 4, wanted) for step in range(13)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == [(1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)]
    assert factors[12] == pytest.approx(0.0, abs=1e-15)


def test_a_schedule_may_be_all_warm_up_or_have_none(settings):
    assert rate_factor(3, 4, quick(settings, epochs=1, warmup_epochs=1.0)) == 1.0
    assert rate_factor(0, 4, quick(settings, epochs=1, warmup_epochs=0)) == 1.0


# --- pixels and the network ---------------------------------------------------------------------


class MadeUpClips:
    """Clips of one value each, which count how often they are decoded."""

    def __init__(self, values: list[int], size: tuple[int, int] = (SIDE, SIDE)) -> None:
        self.values, self.size, self.decoded = values, size, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> np.ndarray:
        self.decoded += 1
        rng = np.random.default_rng(self.values[i])
        return rng.integers(0, 256, (FRAMES, *self.size, 3), np.uint8)

    def close(self) -> None: ...


class MadeUpFacts:
    def __init__(self, case: str, labels: list[int]) -> None:
        self.case, self.labels = case, np.array(labels)

    def truth(self) -> np.ndarray:
        return self.labels


class MadeUpCase:
    def __init__(self, name: str, clips: MadeUpClips) -> None:
        self.facts = MadeUpFacts(name, [value % CLASSES for value in clips.values])
        self.clips = clips


def made_up(*cases: MadeUpClips, mib: float = 64) -> Pixels:
    rows = [MadeUpCase(f"case{i}", clips) for i, clips in enumerate(cases)]
    return Pixels(rows, ClipCache(mib))


def tuner(settings: Finetune, seed: int = 0, encoder: VisionTransformer | None = None) -> Tuner:
    start = tunable(encoder or tiny_encoder(), settings)
    network = Network(start, ActionTask(CLASSES, 1, 2), (1, 2, 2), seed)
    return Tuner(network, settings, seed)


def test_clips_are_counted_through_all_cases_and_come_in_the_order_asked_for():
    pixels = made_up(MadeUpClips([10, 11]), MadeUpClips([12, 13, 14]))
    assert (len(pixels), pixels.lengths) == (5, [2, 3])
    found = pixels.batch(np.array([4, 0, 2]))
    expected = [MadeUpClips([value])[0] for value in (14, 10, 12)]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_cache_keeps_what_fits_and_decodes_the_rest_again():
    clips = MadeUpClips([1, 2, 3])
    two_clips = 2 * FRAMES * SIDE * SIDE * 3 / 2**20
    pixels = made_up(clips, mib=two_clips)
    for _ in range(2):
        pixels.batch(np.arange(3))
    assert clips.decoded == 4


def test_clips_of_several_sizes_in_a_batch_are_scored_as_if_alone(settings):
    network = tuner(quick(settings)).network.eval()
    clips = [
        MadeUpClips([1])[0],
        MadeUpClips([2], (16, 48))[0],
        MadeUpClips([3])[0],
    ]
    with torch.inference_mode():
        together = network(clips)
        alone = torch.cat([network([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_a_tunable_encoder_has_the_same_weights_and_drops_paths_in_training_only(settings):
    start = tiny_encoder(seed=5)
    fresh = tunable(start, quick(settings, drop_path=0.5))
    clip = torch.randn(2, 3, FRAMES, SIDE, SIDE)
    assert torch.equal(fresh.eval()(clip), start(clip))
    torch.manual_seed(0)
    assert not torch.equal(fresh.train()(clip), start(clip))


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_activation_checkpointing_changes_no_bit_of_the_weights(settings, drop_path):
    pixels = made_up(MadeUpClips(list(range(8))))
    left = []
    for checkpointing in (False, True):
        wanted = quick(settings, drop_path=drop_path, activation_checkpointing=checkpointing)
        trained = tuner(wanted)
        train(trained, pixels)
        left.append(weights(trained))
    assert torch.equal(*left)


def test_scores_in_bfloat16_are_near_those_in_float32(settings):
    task, pixels = ActionTask(CLASSES, 1, 2), made_up(MadeUpClips(list(range(4))))
    exact, rough = (
        tuner(quick(settings, precision=precision)).predict(task, pixels)[0]
        for precision in ("float32", "bfloat16")
    )
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())


def train(trained: Tuner, pixels: Pixels, epochs: int = 1) -> None:
    task = ActionTask(CLASSES, 1, 2)
    targets = task.targets(pixels.truths())
    for number in range(epochs):
        trained.epoch(number, pixels, targets, task.loss(targets))


def weights(trained: Tuner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.network.parameters()])


def test_the_order_of_clips_is_drawn_by_seed_and_epoch_and_leaves_the_global_state(settings):
    orders = {}
    for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0)):
        pixels = made_up(MadeUpClips(list(range(8))))
        read, seen = pixels.batch, []
        pixels.batch = lambda ids, read=read, seen=seen: (seen.extend(ids), read(ids))[1]
        before = torch.random.get_rng_state()
        task = ActionTask(CLASSES, 1, 2)
        targets = task.targets(pixels.truths())
        tuner(quick(settings, drop_path=0.5), seed).epoch(
            epoch, pixels, targets, task.loss(targets)
        )
        assert torch.equal(torch.random.get_rng_state(), before)
        assert sorted(seen) == list(range(8))
        assert orders.setdefault((seed, epoch), seen) == seen
    assert len({tuple(order) for order in orders.values()}) == 3


def test_the_first_step_moves_each_layer_in_proportion_to_its_rate(settings):
    # The first step of AdamW is the learning rate in size, whatever the gradient.
    wanted = quick(settings, layer_decay=0.5, weight_decay=0.0, batch=8, warmup_epochs=0)
    trained = tuner(wanted)
    before = {name: p.detach().clone() for name, p in trained.network.named_parameters()}
    train(trained, made_up(MadeUpClips(list(range(8)))))
    moved = {
        name: float((p.detach() - before[name]).abs().max())
        for name, p in trained.network.named_parameters()
    }
    for name, factor in (("embed", 0.125), ("blocks.0.mlp.fc1", 0.25), ("blocks.2.mlp.fc1", 1.0)):
        assert moved[f"encoder.{name}.weight"] == pytest.approx(2e-3 * factor, rel=1e-2)


def test_a_training_that_diverges_stops_before_it_steps(settings):
    broken = tiny_encoder()
    broken.norm.weight.data.fill_(torch.inf)
    trained = tuner(quick(settings), encoder=broken)
    before = weights(trained).nan_to_num(7.0)
    pixels = made_up(MadeUpClips(list(range(8))))
    with pytest.raises(TuningDiverged, match=r"epoch 1: loss nan.*lower finetune\.lr"):
        train(trained, pixels)
    with pytest.raises(TuningDiverged, match="score"):
        trained.predict(ActionTask(CLASSES, 1, 2), pixels)
    assert torch.equal(weights(trained).nan_to_num(7.0), before)


def test_without_an_epoch_that_has_a_number_there_is_no_choice_but_an_error_with_a_remedy(
    data, encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nothing, own = np.full((1, 1), np.nan), tmp_path / "data"  # for a scratch of its own
    shutil.copytree(data / "polypdiag", own / "polypdiag")
    monkeypatch.setattr(ActionTask, "table", lambda *_: nothing)
    with pytest.raises(
        finetune.ChoiceError, match=r"benchmarks\.polypdiag: f1_.* no number .*finetune\.epochs"
    ):
        run("polypdiag", on(own, epochs=1), encoder, tmp_path)


# --- unfinished trainings -----------------------------------------------------------------------


def training(*vals: float | None) -> Training:
    known = Training()
    for epoch, val in enumerate(vals, start=1):
        known = known.after(Row(epoch, 1.0, val), {"w": torch.tensor([float(epoch)])}, {})
    return known


@pytest.mark.parametrize(
    ("vals", "best"),
    [
        ((0.1, 0.3, 0.2), 2),
        ((0.3, 0.3, 0.3), 1),
        ((0.1, 0.2, 0.2), 2),
        ((None, None), 2),
        ((0.1, math.nan, 0.05), 1),
        ((math.nan, 0.0, math.inf), 2),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_highest_and_unjudged_the_last(vals, best):
    known = training(*vals)
    assert known.best_epoch == best
    assert known.best["w"].item() == best


def test_the_best_weights_are_a_copy_that_later_steps_do_not_move():
    weight = {"w": torch.zeros(1)}
    known = Training().after(Row(1, 1.0, 0.5), weight, {})
    weight["w"].add_(1)
    assert known.best["w"].item() == 0


def test_a_saved_training_is_read_back_as_it_was(tmp_path: Path):
    known = training(0.1, None, 0.3)
    unfinished.save(tmp_path / "a.pt", known)
    assert unfinished.load(tmp_path / "a.pt") == known
    assert unfinished.load(tmp_path / "none.pt") == Training()


def test_one_run_has_one_process_and_its_folder_goes_when_it_ends_well(tmp_path: Path):
    with unfinished.run_folder(tmp_path, {"seed": 0}) as folder:
        with (
            pytest.raises(RunLocked, match="another process"),
            unfinished.run_folder(tmp_path, {"seed": 0}),
        ):
            pass
        with unfinished.run_folder(tmp_path, {"seed": 1}) as other:
            assert other != folder
    assert not any(tmp_path.iterdir())


def test_a_run_that_fails_keeps_its_folder_for_the_next_attempt(tmp_path: Path):
    for _ in range(2):
        with (
            pytest.raises(OSError, match="no space"),
            unfinished.run_folder(tmp_path, {"seed": 0}) as folder,
        ):
            raise OSError("no space")
    assert [*tmp_path.iterdir()] == [folder]


# --- whole runs ---------------------------------------------------------------------------------


def write_clip(path: Path, bright: bool, seed: int) -> None:
    """Two seconds of a tissue on which, where asked for, a bright spot wanders."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tissue = np.kron(rng.integers(40, 140, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(4))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for t in range(8):
            picture = tissue.copy()
            if bright:
                picture[16:40, 4 * t : 4 * t + 24] = 240
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_polypdiag(root: Path) -> None:
    """10 clips of 5 source videos to train with, and 4 of 2 to test."""
    (root / "splits").mkdir(parents=True)
    for name, count in (("train", 10), ("val", 4)):
        rows = []
        for i in range(count):
            clip, label = f"{name}{i // 2}-{i}-{i}", i % 2
            write_clip(root / f"videos/{clip}.mp4", bool(label), seed=1000 * len(name) + i)
            rows.append(f"{clip}.mp4,{label}")
        (root / f"splits/{name}.txt").write_text("\n".join(rows) + "\n")


def write_kvasir(root: Path) -> None:
    for folder, count in (("TrainDataset", 10), ("TestDataset/Kvasir", 3)):
        for i in range(count):
            rng = np.random.default_rng([i, count])
            picture = rng.integers(0, 100, (40 + i, 48, 3), np.uint8)
            mask = np.zeros(picture.shape[:2], np.uint8)
            mask[8:28, 4 * (i % 5) : 4 * (i % 5) + 20] = 255
            picture[mask > 0] += 120
            for kind, pixels in (("images", picture), ("masks", mask)):
                (root / folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / folder / kind / f"{i}.png")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_polypdiag(root / "polypdiag")
    write_kvasir(root / "kvasir")
    return root


def on(data: Path, **changes: object) -> Settings:
    """The settings of params.yaml on that copy, at a size that takes seconds."""
    settings = load(ROOT / "params.yaml")
    rows = {
        name: row.model_copy(update={"root": data / name, "frames": 4, "size_px": SIDE})
        for name, row in settings.benchmarks.items()
    }
    rows["kvasir"] = rows["kvasir"].model_copy(update={"frames": 2})
    return settings.model_copy(update={"benchmarks": rows, "finetune": quick(settings, **changes)})


def run(
    name: str,
    settings: Settings,
    encoder: Path,
    folder: Path,
    on_metrics: Callable[[int, dict[str, float]], None] = lambda step, values: None,
) -> dict:
    """Fine-tune into `folder`; normalised videos are shared by all runs of the tests."""
    return finetune.run(
        name,
        settings,
        encoder,
        metrics_path=folder / f"{name}.json",
        output=folder / "output",
        scratch=settings.benchmarks[name].root.parent / "scratch",
        on_metrics=on_metrics,
    )


def left(folder: Path) -> dict[str, bytes]:
    """Every file that a run has left, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def whole(data, encoder, tmp_path_factory) -> Path:
    """What a run on PolypDiag's layout leaves that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run("polypdiag", on(data), encoder, folder)
    return folder


def test_a_run_leaves_facts_weights_predictions_and_history(whole, data, encoder):
    facts = json.loads((whole / "polypdiag.json").read_text())
    assert facts["cases"]["test"] == 2
    assert facts["clips"]["test"] == 4
    assert facts["clips"]["train"] + facts["clips"]["val"] == 10
    assert (facts["frames"], facts["fps"], facts["window"]) == (4, 4.0, "causal")
    for name in ("pretrained", "random", "difference"):
        main = facts[name][facts["main"]]
        assert main["low"] <= main["mean"] <= main["high"]
        assert len(main["seeds"]) == 1
    assert Tuned.model_validate(facts).chosen == facts["chosen"]
    output = whole / "output"
    assert {path.name for path in output.iterdir()} == {
        "encoder",
        "head.safetensors",
        "history.csv",
        "predictions.npz",
    }
    tuned, start = load_encoder(output / "encoder"), load_encoder(encoder)
    assert tuned.size == start.size
    assert not torch.equal(tuned.embed.weight, start.embed.weight)
    with np.load(output / "predictions.npz") as arrays:
        assert arrays["task"] == "action"
        for kind in ("truth", "pretrained", "random"):
            cases = [name for name in arrays if name.startswith(f"{kind}/")]
            assert len(cases) == 2
            assert all(arrays[name].shape == (2,) for name in cases)


def test_the_history_has_every_epoch_and_the_chosen_one_is_its_earliest_best(whole):
    facts = json.loads((whole / "polypdiag.json").read_text())
    with (whole / "output/history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["encoder"], row["seed"], row["epoch"]) for row in rows] == [
        (encoder, "0", str(epoch)) for encoder in ("pretrained", "random") for epoch in (1, 2, 3)
    ]
    for encoder in ("pretrained", "random"):
        vals = [float(row["val"]) for row in rows if row["encoder"] == encoder]
        chosen = facts["chosen"][encoder]["0"]
        assert chosen["epoch"] == 1 + int(np.argmax(vals))
        assert chosen["val"] == pytest.approx(max(vals), rel=1e-5)


def test_equal_runs_leave_equal_bytes_and_no_scratch(whole, data, encoder, tmp_path: Path):
    run("polypdiag", on(data), encoder, tmp_path)
    assert left(tmp_path) == left(whole)
    assert not any((data / "scratch/finetune/polypdiag").iterdir())


def test_what_is_easily_seen_is_learnt(data, encoder, tmp_path: Path):
    facts = run("polypdiag", on(data, epochs=12, baseline=False), encoder, tmp_path)
    assert facts["pretrained"]["accuracy_top1_over_clips"]["mean"] == 1.0
    assert "random" not in facts
    assert "difference" not in facts


def test_test_labels_influence_neither_choice_nor_weights(whole, data, encoder, tmp_path: Path):
    swapped = tmp_path / "data"
    (swapped / "polypdiag/splits").mkdir(parents=True)
    (swapped / "polypdiag/videos").symlink_to(data / "polypdiag/videos")
    (swapped / "scratch").symlink_to(data / "scratch")
    for name in ("train", "val"):
        text = (data / f"polypdiag/splits/{name}.txt").read_text()
        if name == "val":
            rows = [line.rsplit(",", 1) for line in text.splitlines()]
            text = "".join(f"{clip},{1 - int(label)}\n" for clip, label in rows)
        (swapped / f"polypdiag/splits/{name}.txt").write_text(text)
    facts = run("polypdiag", on(swapped), encoder, tmp_path / "run")
    honest = json.loads((whole / "polypdiag.json").read_text())
    assert facts["chosen"] == honest["chosen"]
    accuracy = "accuracy_top1_over_clips"
    for name in ("pretrained", "random"):
        flipped = 1 - honest[name][accuracy]["mean"]
        assert facts[name][accuracy]["mean"] == pytest.approx(flipped)
    for file in ("encoder/encoder.safetensors", "head.safetensors", "history.csv"):
        assert (tmp_path / "run/output" / file).read_bytes() == (
            whole / "output" / file
        ).read_bytes()


def test_test_cases_are_opened_after_every_choice_and_by_each_trial_once(
    data, encoder, tmp_path: Path, monkeypatch
):
    told: list[str] = []
    read = finetune.Job.pixels

    def spy(job: finetune.Job, *parts: str) -> Pixels:
        told.extend(parts)
        return read(job, *parts)

    chosen = finetune.choose
    monkeypatch.setattr(finetune.Job, "pixels", spy)
    monkeypatch.setattr(
        finetune, "choose", lambda job, trial: (chosen(job, trial), told.append("chosen"))[0]
    )
    run("polypdiag", on(data, epochs=1), encoder, tmp_path)
    last_choice = len(told) - told[::-1].index("chosen")
    assert told.count("chosen") == 2
    assert "test" not in told[:last_choice]
    assert told.count("test") == 2


def test_where_the_split_says_so_the_weights_are_of_train_and_val(
    data, encoder, tmp_path: Path, monkeypatch
):
    trained = []
    fit = finetune.fit

    def spy(job, trial, what, clips, epochs, judge):
        trained.append((what, len(clips), epochs, judge is None))
        return fit(job, trial, what, clips, epochs, judge)

    monkeypatch.setattr(finetune, "fit", spy)
    facts = run("polypdiag", on(data, baseline=False), encoder, tmp_path)
    train = facts["clips"]["train"]
    best = facts["chosen"]["pretrained"]["0"]["epoch"]
    assert trained == [("choice", train, 3, False), ("refit", 10, best, True)]


def test_pictures_are_segmented_at_their_own_size(data, encoder, tmp_path: Path):
    facts = run("kvasir", on(data, epochs=20, lr=5e-3, batch=2), encoder, tmp_path)
    assert facts["pretrained"]["mean_dice_threshold_0.5"]["mean"] > 0.5
    with np.load(tmp_path / "output/predictions.npz") as arrays:
        for i in range(3):
            truth = arrays[f"truth/test-{i}"]
            assert truth.shape == (40 + i, 48)
            assert arrays[f"image/test-{i}"].shape == (*truth.shape, 3)
            for name in ("pretrained", "random"):
                assert arrays[f"{name}/test-{i}"].shape == truth.shape


def killed_after(curve: str, data: Path, encoder: Path, folder: Path) -> None:
    """Fine-tune in this process and die once `curve` has its first value."""

    def kill(epoch: int, values: dict[str, float]) -> None:
        if curve in values:
            os.kill(os.getpid(), signal.SIGKILL)

    run("polypdiag", on(data), encoder, folder, kill)


def killed_in_step(step: int, data: Path, encoder: Path, folder: Path) -> None:
    """Fine-tune in this process and die in the middle of an epoch."""
    taken, one_step = [], Tuner._step

    def last_step(*arguments: object) -> float:
        taken.append(None)
        if len(taken) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return one_step(*arguments)

    Tuner._step = last_step
    run("polypdiag", on(data), encoder, folder)


@pytest.mark.parametrize(
    ("die", "when"), [(killed_in_step, 6), (killed_after, "random/seed0/refit/train_loss")]
)
def test_a_killed_run_goes_on_from_its_last_epoch_and_ends_in_the_same_bytes(
    whole, data, encoder, tmp_path: Path, monkeypatch, die, when
):
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=die, args=(when, data, encoder, tmp_path))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    begun, one_epoch = [], Tuner.epoch

    def counted(tuner: Tuner, number: int, *rest: object) -> float:
        begun.append(number)
        return one_epoch(tuner, number, *rest)

    monkeypatch.setattr(Tuner, "epoch", counted)
    told: list[int] = []
    facts = run("polypdiag", on(data), encoder, tmp_path, lambda epoch, values: told.append(epoch))
    assert left(tmp_path) == left(whole)
    best = [facts["chosen"][name]["0"]["epoch"] for name in ("pretrained", "random")]
    assert len(told) == 2 * 3 + sum(best)
    # Of the train clips' two or three batches an epoch, six steps are one whole epoch and a part.
    finished = {killed_in_step: len(told) - len(begun), killed_after: 2 * 3 + best[0] + 1}[die]
    assert len(begun) == len(told) - finished
    assert finished in (1, 2) or die is killed_after


def test_frames_that_the_tubelet_does_not_divide_are_told_with_the_remedy(
    data, encoder, tmp_path: Path
):
    settings = on(data)
    odd = settings.benchmarks["kvasir"].model_copy(update={"frames": 3})
    settings = settings.model_copy(update={"benchmarks": settings.benchmarks | {"kvasir": odd}})
    with pytest.raises(EncoderError, match="change frames or size_px of benchmark kvasir"):
        run("kvasir", settings, encoder, tmp_path)
