"""Made-up folders of features, and settings of a probe that trains in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unisurg.evaluation import store
from unisurg.evaluation.store import Index, StoredCase
from unisurg.settings import Epochs, LabelEfficiency, Settings, Temporal

DIM, CLASSES, CLIPS, STEPS = 16, 3, 12, 2
PARTS = {"train": 5, "val": 2, "test": 4}
EVERY_S, TEST_EVERY_S = 4.0, 1.0
KNOWING, BLIND, FRAMES = "pretrained", ("random-0", "random-1"), "frames"
UNITS = {"phase": "video", "triplet": "video", "action": "clip", "segmentation": "picture"}
MAINS = {
    "phase": "f1_sm_per_video_unrelaxed",
    "action": "f1_macro_over_clips",
    "triplet": "ap_ivt_videowise",
    "segmentation": "mean_dice_threshold_0.5",
}


# Two instruments that both do both things, and one that does nothing.
TRIPLETS = (
    *("hook,cut,duct", "hook,clip,duct", "clipper,cut,duct", "clipper,clip,duct"),
    "hook,null_verb,null_target",
)
NAMES = {"segmentation": ("background", "polyp"), "triplet": TRIPLETS}


def epochs(count: int) -> Epochs:
    return Epochs(**dict.fromkeys(Epochs.model_fields, count))


def quick(settings: Settings, **update: object) -> Settings:
    """Settings of the probe, small, with the attentive head alone unless `update` says more."""
    small = {
        "kinds": ("attentive",),
        "seeds": (0, 1),
        "epochs": epochs(2),
        "batch": 16,
        "depth": 0,
        "heads": 2,
        "view": ("tokens",),
        "lr": (1e-3, 3e-2),
        "weight_decay": (0.01, 0.1),
        "halving": (0.5,),
        "neighbours": (1, 5),
        "temporal": Temporal(width=8, layers=2, dropout=0.2, epochs=2),
        "smoothing_s": 0,
        "label_efficiency": LabelEfficiency(benchmarks=(), fractions=()),
        "bootstrap": 50,
    }
    probe = settings.probe.model_copy(update={**small, **update})
    return settings.model_copy(update={"probe": probe})


def index(task: str, refit: bool = False, benchmark: str = "cholec80") -> Index:
    videos = UNITS[task] == "video"
    return Index(
        benchmark=benchmark if task == "phase" else f"made-up-{task}",
        task=task,
        split="all",
        refit=refit,
        unit=UNITS[task],
        main=MAINS[task],
        classes=NAMES.get(task, ("a", "b", "c")),
        size_px=16,
        frames=4,
        fps=1.0,
        protocol="dense",
        window="causal",
        lookahead_frames=0,
        every_s=EVERY_S if videos else 0.0,
        test_every_s=TEST_EVERY_S if videos else 0.0,
        encoders={KNOWING: (KNOWING,), "random": BLIND, FRAMES: (FRAMES,)},
        digests={KNOWING: "p", BLIND[0]: "r0", BLIND[1]: "r1", FRAMES: "f"},
    )


def write(root: Path, facts: Index, seed: int = 0) -> Path:
    """Features in which `pretrained` alone knows the truth; `frames` lies as rows in windows."""
    cases = []
    for part, count in PARTS.items():
        for i in range(count):
            case = StoredCase(root, f"{part}{i}", part)
            rng = np.random.default_rng([seed, i, *part.encode()])
            picture = facts.task == "segmentation"
            signal = _mask(root, case, rng) if picture else _clips(root, facts, case, rng)
            for variant in (KNOWING, *BLIND):
                noise = rng.normal(size=signal.shape)
                save(root, variant, case.case, noise + signal * (variant == KNOWING))
            save(root, FRAMES, case.case, rng.normal(size=signal.shape)[:, 0])
            rows = np.arange(len(signal))[:, None] - np.arange(STEPS)[::-1]
            code = rng.normal(size=(STEPS, DIM)).astype(np.float32)
            store.write_windows(root, FRAMES, case.case, rows.clip(0), code)
            cases.append(case)
    store.write_index(root, facts, cases)
    return root


def save(root: Path, variant: str, case: str, tokens: np.ndarray) -> None:
    path = store.tokens_path(root, variant, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, tokens.astype(np.float16))


def _clips(root: Path, facts: Index, case: StoredCase, rng: np.random.Generator) -> np.ndarray:
    if facts.task == "triplet":
        seen = (rng.random((CLIPS, len(TRIPLETS))) < 0.4).astype(np.int8)
        every_s = TEST_EVERY_S if case.split == "test" else EVERY_S
        store.write_truth(root, case.case, labels=seen, moments=every_s * np.arange(CLIPS))
        signal = 2 * (seen @ np.eye(len(TRIPLETS), DIM))[:, None, None, None]
        return np.broadcast_to(signal, (CLIPS, STEPS, 1, 2, DIM))
    labels = rng.integers(0, CLASSES, CLIPS)
    if facts.task == "phase":
        labels = np.sort(labels)
        every_s = TEST_EVERY_S if case.split == "test" else EVERY_S
        store.write_truth(root, case.case, labels=labels, moments=every_s * np.arange(CLIPS))
    else:
        store.write_truth(root, case.case, labels=labels)
    signal = 2 * np.eye(DIM)[labels][:, None, None, None]
    return np.broadcast_to(signal, (CLIPS, STEPS, 1, 2, DIM))


def _mask(root: Path, case: StoredCase, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((4, 4)) > 0.5
    mask = np.kron(coarse, np.ones((6, 8))) > 0
    image = {"image": np.zeros((24, 32, 3), np.uint8)} if case.split == "test" else {}
    store.write_truth(root, case.case, mask=mask, **image)
    signal = 6 * coarse[None, None, :, :, None] * np.eye(DIM)[0]
    return np.broadcast_to(signal, (1, STEPS, 4, 4, DIM))
