"""Files as the stages write them, made up: small, seeded, and plausible to look at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

PHASES = (
    "Preparation", "CalotTriangleDissection", "ClippingCutting", "GallbladderDissection",
    "GallbladderPackaging", "CleaningCoagulation", "GallbladderRetraction",
)  # fmt: skip
REPOSITORY = Path(__file__).resolve().parent.parent


def write_all(root: Path) -> Path:
    """A repository in which every stage has run; returns `root`."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    (root / "data.dvc").write_text(
        "deps:\n- path: theatre\nouts:\n- path: data\n  md5: 0123456789abcdef.dir\n"
    )
    write_phase(root, rng)
    write_segmentation(root, rng)
    for stage, steps in (("pretrain", 700), ("pretrain_long", 120)):
        write_pretraining(root / "artifacts" / stage / "log", steps, rng)
    write_corpus(root)
    for stage in ("curate", "pretrain", "probe@cholec80", "probe@kvasir"):
        write_identity(root, stage)
    return root


def write_phase(root: Path, rng: np.random.Generator) -> None:
    arrays: dict[str, np.ndarray] = {"classes": np.array(PHASES)}
    for case in ("video19", "video20", "video21", "video22", "video23", "video24"):
        truth = np.repeat(np.arange(7), rng.integers(15, 60, 7))
        arrays[f"truth/{case}"] = truth
        arrays[f"pretrained/{case}"] = _noisy(truth, 0.22, rng)
        arrays[f"random/{case}"] = _noisy(truth, 0.6, rng)
    _save(root / "artifacts/probe/cholec80/predictions.npz", arrays)
    names = ("f1_phase_level_unrelaxed", "accuracy_per_video", "jaccard_sm_per_video_unrelaxed")
    _metrics(root, "cholec80", "phase", "theatre", "video", names, (0.61, 0.44), (12, 6, 6))


def write_segmentation(root: Path, rng: np.random.Generator) -> None:
    arrays: dict[str, np.ndarray] = {}
    for index in range(6):
        height, width = (240, 320) if index % 2 else (256, 256)
        y, x = np.mgrid[:height, :width]
        cy, cx, r = (
            rng.uniform(0.35, 0.65) * height,
            rng.uniform(0.35, 0.65) * width,
            40 + 6 * index,
        )
        shape = (y - cy) ** 2 + ((x - cx) * 0.8) ** 2
        distance = shape / r**2 + gaussian_filter(rng.normal(0, 12, shape.shape), 12)
        found = 1 / (
            1 + np.exp(6 * (shape / r**2 + gaussian_filter(rng.normal(0, 9, shape.shape), 9) - 1.1))
        )
        picture = tissue(height, width, rng)
        picture[distance < 1] = (picture[distance < 1] * 0.75 + np.array([60, 40, 30])).astype(
            np.uint8
        )
        case = f"test-{index:03d}"
        arrays[f"image/{case}"] = picture
        arrays[f"truth/{case}"] = distance < 1
        arrays[f"pretrained/{case}"] = found.astype(np.float32)
        arrays[f"random/{case}"] = gaussian_filter(rng.normal(0.5, 3, shape.shape), 16).astype(
            np.float32
        )
    _save(root / "artifacts/probe/kvasir/predictions.npz", arrays)
    names = ("dice_threshold_0.5", "iou_threshold_0.5", "mae")
    _metrics(
        root, "kvasir", "segmentation", "pranet", "picture", names, (0.72, 0.68), (128, 32, 60)
    )


def write_pretraining(log: Path, steps: int, rng: np.random.Generator) -> None:
    step = np.arange(steps)
    fall = np.exp(-step / (0.3 * steps))
    history = pd.DataFrame({"step": step, "lr": 1e-3 * fall, "ema": 0.998, "clips_per_s": 30.0})
    history["waiting"] = 0.01 * rng.random(steps)
    for name, low in (("loss", 0.5), ("motion", 0.4), ("affinity", 0.9), ("diversity", 0.2)):
        history[name] = low * (1 + fall) + rng.normal(0, 0.03, steps)
    health = step % 50 == 0
    for name, value in (
        ("rank_me", 20 + 40 * (1 - fall)), ("feature_std", 0.6 + 0.3 * fall),
        ("token_cosine", 0.3 + 0.4 * fall), ("temporal_cosine", 0.5 + 0.3 * fall),
        ("knn_source", 0.9 - 0.5 * fall), ("knn_chance", np.full(steps, 0.4)),
    ):  # fmt: skip
        history[name] = np.where(health, value, np.nan)
    log.mkdir(parents=True)
    history.to_csv(log / "history.csv", index=False)
    clip = np.stack([moving(16, 96, rng) for _ in range(4)])
    coarse = np.repeat(rng.random((4, 1, 6, 6)) < 0.8, 8, axis=1)
    motion = np.abs(np.diff(clip.mean(-1), axis=1, prepend=clip[:, :1].mean(-1)))
    motion = motion.reshape(4, 8, 2, 6, 16, 6, 16).mean((2, 4, 6))
    pca = rng.integers(0, 255, (*motion.shape, 3), dtype=np.uint8)
    _save(log / "pictures.npz", {"clip": clip, "mask": coarse, "motion": motion, "pca": pca})


def write_corpus(root: Path) -> None:
    folder = root / "artifacts/corpus"
    folder.mkdir(parents=True)
    sources = {"laparoscopy-a": "general_surgery", "colonoscopy": "colonoscopy",
               "arthroscopy": "skills_training"}  # fmt: skip
    rows = [
        {"video_id": f"{source}-{i}", "source": source, "specialty": specialty,
         "clip": f"clips/{source}-{i}.mp4", "raw": f"{source}/v{i}.mp4", "n_frames": 90,
         "duration_s": 90.0}
        for source, specialty in sources.items() for i in range(12)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet")
    pd.DataFrame(
        [("laparoscopy-b/cut.mp4", "probe", "unreadable", "moov atom not found", 812),
         ("colonoscopy/empty.mkv", "probe", "empty", "", 0)],
        columns=["raw", "stage", "reason", "detail", "raw_bytes"],
    ).to_csv(folder / "quarantine.csv", index=False)  # fmt: skip
    said = {"video_id": "no value twice", "n_frames": "at least one frame"}
    rules = [
        {"table": "manifest", "rule": rule, "column": column, "success": True, "observed": "",
         "failed_rows": []}
        for column, rule in said.items()
    ]  # fmt: skip
    path = root / "artifacts/validation/validation.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"success": True, "rules": rules}))


def write_identity(root: Path, stage: str) -> None:
    facts = {
        "stage": stage, "run_id": "5ee33e55e1b443f5904272c47c2cfe9a", "pipeline_run_id": None,
        "commit": "8c1f0f3e0a6f4f0c9c1d2b3a4f5e6d7c8b9a0f1e", "dirty": False,
        "inputs": {"data/corpus": "0f343b0931126a20f133d67c2b018a3b.dir"},
    }  # fmt: skip
    path = root / "artifacts/runs" / f"{stage}.run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))


def write_clip(path: Path, frames: np.ndarray) -> None:
    """A small H.264 file at 1 fps from (T, H, W, 3) uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def tissue(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A reddish, mottled picture, (H, W, 3) uint8."""
    coarse = gaussian_filter(rng.normal(0, 1, (height, width)), 14) * 14
    fine = gaussian_filter(rng.normal(0, 1, (height, width)), 1.5)
    light = 0.62 + 0.22 * coarse + 0.10 * fine
    return np.clip(light[..., None] * np.array([225, 120, 105]), 0, 255).astype(np.uint8)


def moving(frames: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """A bright bar that crosses still tissue, (T, H, W, 3) uint8."""
    still = tissue(side, side, rng)
    clip = np.repeat(still[None], frames, axis=0)
    for t in range(frames):
        left = int((t + 2) / (frames + 12) * side)
        clip[t, 30 : 30 + side // 3, left : left + 14] = (190, 196, 205)
    return clip


def _noisy(truth: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Labels of which about `share` are wrong, in runs of several seconds."""
    runs = np.repeat(rng.random(len(truth) // 5 + 1) < share, 5)[: len(truth)]
    return np.where(
        runs,
        np.clip(truth + rng.integers(-2, 3, len(truth) // 9 + 1).repeat(9)[: len(truth)], 0, 6),
        truth,
    )


def _metrics(root, benchmark, task, split, unit, names, means, counts) -> None:  # type: ignore[no-untyped-def]
    def estimate(mean: float, width: float) -> dict[str, object]:
        seeds = [round(mean + d, 4) for d in (-0.012, 0.004, 0.008)]
        return {"mean": mean, "low": mean - width, "high": mean + width, "seeds": seeds}

    facts = {
        "benchmark": benchmark, "task": task, "split": split, "unit": unit, "main": names[0],
        "cases": dict(zip(("train", "val", "test"), counts, strict=True)),
        "pretrained": {name: estimate(means[0], 0.05) for name in names},
        "random": {name: estimate(means[1], 0.06) for name in names},
        "difference": {name: estimate(means[0] - means[1], 0.045) for name in names},
        "chosen": {
            encoder: {
                str(seed): {"view": "change", "lr": 1e-3, "weight_decay": 0.05, "val": score}
                for seed, score in enumerate((0.4, 0.415625, 0.43125))
            }
            for encoder in ("pretrained", "random")
        },
    }  # fmt: skip
    path = root / "metrics" / f"{benchmark}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
