"""Files as the stages write them, made up: small, seeded, and plausible to look at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from unisurg.benchmarks import REGISTRY
from unisurg.benchmarks.cholect50 import COMPONENTS
from unisurg.benchmarks.jigsaws import GESTURES, TASKS
from unisurg.corpus import manifest, tables
from unisurg.corpus.samples.folder import write_tables
from unisurg.evaluation.store import TRIAL
from unisurg.tasks.skill import PREDICTED
from unisurg.video import jpeg

ROWS = tuple(REGISTRY.values())
KINDS = {
    "phase": "attentive", "action": "attentive", "triplet": "triplet", "skill": "trial",
    "segmentation": "decoder", "depth": "decoder",
}  # fmt: skip
REPOSITORY = Path(__file__).resolve().parent.parent


def write_all(root: Path) -> Path:
    """A repository in which every stage has run; returns `root`."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "params.yaml", root)
    (root / "data.dvc").write_text(
        "deps:\n- path: theatre\nouts:\n- path: data\n  md5: 0123456789abcdef.dir\n"
    )
    writers = {
        "phase": write_phase, "action": write_action, "triplet": write_triplets,
        "skill": write_skill, "segmentation": write_segmentation, "depth": write_depth,
    }  # fmt: skip
    for row in ROWS:
        writers[row.task](root, row.name, row.classes, rng)
    add_heads(root, "cholec80")
    add_facts(root, "cholect50", cholec80_train_in_test=["VID06", "VID10"])
    write_tuned(root, "polypdiag")
    for stage, steps in (("pretrain", 700), ("pretrain_long", 120)):
        write_pretraining(root / "artifacts" / stage / "log", steps, rng)
    write_corpus(root)
    for stage in ("curate", "pretrain", "probe@cholec80", "probe@kvasir"):
        write_identity(root, stage)
    return root


def write_phase(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Six test videos; EgoSurgery is labelled every other second, PitVis not everywhere."""
    arrays: dict[str, np.ndarray] = {"task": np.array("phase"), "classes": np.array(classes)}
    every_s = 2.0 if benchmark == "egosurgery" else 1.0
    for case in ("video19", "video20", "video21", "video22", "video23", "video24"):
        truth = np.repeat(np.arange(len(classes)), rng.integers(15, 60, len(classes)))
        moments = every_s * np.arange(len(truth))
        if benchmark == "pitvis":
            kept = np.r_[: len(truth) // 3, len(truth) // 2 : len(truth)]
            truth, moments = truth[kept], moments[kept]
        arrays[f"truth/{case}"], arrays[f"moments/{case}"] = truth, moments
        arrays[f"pretrained/{case}"] = _noisy(truth, 0.22, rng)
        arrays[f"random/{case}"] = _noisy(truth, 0.6, rng)
    _save(predictions_of(root, benchmark), arrays)
    names = ("f1_sm_per_video_unrelaxed", "accuracy_per_video", "jaccard_phase_level_unrelaxed")
    write_metrics(root, benchmark, "phase", "video", names, (0.61, 0.44), (12, 6, 6))


def write_action(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Twenty recordings of a few clips; of many classes only some occur."""
    arrays: dict[str, np.ndarray] = {"task": np.array("action"), "classes": np.array(classes)}
    occurring = rng.permutation(len(classes))[:40]
    for index in range(20):
        truth = rng.choice(occurring, 6)
        for encoder, share in (("truth", 0.0), ("pretrained", 0.3), ("random", 0.7)):
            wrong = rng.random(6) < share
            arrays[f"{encoder}/clips{index:02d}"] = np.where(wrong, rng.choice(occurring, 6), truth)
    _save(predictions_of(root, benchmark), arrays)
    names = ("f1_macro_over_clips", "accuracy_top1_over_clips")
    write_metrics(root, benchmark, "action", "clip", names, (0.5, 0.49), (40, 10, 20))


def write_triplets(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Four test videos of a minute, in which six triplets come and go."""
    arrays: dict[str, np.ndarray] = {"task": np.array("triplet"), "classes": np.array(classes)}
    shown = rng.permutation(94)[:6]
    for case in ("VID06", "VID10", "VID51", "VID111"):
        truth = np.zeros((60, len(classes)), np.int8)
        truth[:, shown] = np.repeat(rng.random((6, len(shown))) < 0.5, 10, axis=0)
        for encoder, told in (("pretrained", 0.6), ("random", 0.2)):
            scores = told * truth + 0.4 * rng.random(truth.shape)
            arrays[f"{encoder}/{case}"] = scores.astype(np.float32)
        arrays[f"truth/{case}"], arrays[f"moments/{case}"] = truth, np.arange(60.0)
    _save(predictions_of(root, benchmark), arrays)
    names = ("ap_ivt_videowise", *(f"ap_{part}_videowise" for part in COMPONENTS if part != "ivt"))
    write_metrics(root, benchmark, "triplet", "video", names, (0.31, 0.22), (35, 5, 10))


def write_skill(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    """Nine test trials of six seconds under two cameras, three of each exercise."""
    arrays: dict[str, np.ndarray] = {"task": np.array("skill"), "classes": np.array(classes)}
    for exercise in TASKS:
        for surgeon, rating in (("B", 9), ("C", 18), ("D", 27)):
            case = f"{exercise}_{surgeon}001"
            truth = np.zeros(12, TRIAL)
            truth["rating"], truth["exercise"] = rating, exercise
            truth["level"], truth["camera"] = rating // 10, np.repeat([0, 1], 6)
            truth["gesture"] = np.tile(np.repeat(rng.permutation(len(GESTURES))[:3], 2), 2)
            for encoder, far in (("pretrained", 3.0), ("random", 8.0)):
                found = np.zeros(12, PREDICTED)
                found["rating"] = np.clip(rating + far * rng.normal(), 6, 30)
                found["level"], found["gesture"] = truth["level"], truth["gesture"]
                arrays[f"{encoder}/{case}"] = found
            arrays[f"truth/{case}"], arrays[f"moments/{case}"] = truth, np.tile(np.arange(6.0), 2)
    _save(predictions_of(root, benchmark), arrays)
    names = ("closeness_grs_over_trials", "mae_grs_points_over_trials", "spearman_over_trials")
    write_metrics(root, benchmark, "skill", "trial", names, (0.83, 0.79), (60, 20, 23))


def write_depth(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    """The middle frames of three test sequences of an unknown rate."""
    arrays: dict[str, np.ndarray] = {"task": np.array("depth"), "classes": np.array(classes)}
    for case in ("cecum_t1_a", "sigmoid_t1_a", "trans_t1_a"):
        truth = np.exp(gaussian_filter(rng.normal(0, 30, (96, 120)), 16) + 3).astype(np.float32)
        arrays[f"image/{case}"] = tissue(96, 120, rng)
        arrays[f"truth/{case}"] = np.where(truth > 40, 0, truth)
        arrays[f"pretrained/{case}"] = 1.05 * truth
        arrays[f"random/{case}"] = np.full_like(truth, 20)
    _save(predictions_of(root, benchmark), arrays)
    names = ("delta_1.1_ratio_unscaled", "abs_rel_unscaled", "rmse_mm_unscaled")
    write_metrics(root, benchmark, "depth", "sequence", names, (0.4, 0.21), (8, 2, 2))
    add_facts(root, benchmark, frames=4, fps=None)


def write_segmentation(
    root: Path, benchmark: str, classes: tuple[str, ...], rng: np.random.Generator
) -> None:
    arrays: dict[str, np.ndarray] = {
        "task": np.array("segmentation"),
        "classes": np.array(classes),
    }
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
    _save(predictions_of(root, benchmark), arrays)
    names = ("mean_dice_threshold_0.5", "mean_iou_threshold_0.5", "mae")
    write_metrics(root, benchmark, "segmentation", "picture", names, (0.6, 0.68), (128, 32, 60))


def write_tuned(root: Path, benchmark: str) -> None:
    """Results and learning curves of fine-tuning."""
    name = "f1_macro_over_clips"
    both = {"pretrained": estimate(0.66, 0.05, 1), "random": estimate(0.5, 0.06, 1)}
    facts = {
        "benchmark": benchmark, "main": name,
        **{encoder: {name: found} for encoder, found in both.items()},
        "difference": {name: estimate(0.16, 0.07, 1)},
        "chosen": {encoder: {"0": {"epoch": 5, "val": 0.6}} for encoder in both},
    }  # fmt: skip
    path = root / "metrics/finetune" / f"{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))
    rows = [
        {"encoder": encoder, "seed": 0, "epoch": epoch, "train_loss": 1 / (epoch + speed),
         "val": 0.5 + 0.02 * epoch * speed}
        for encoder, speed in (("pretrained", 2), ("random", 1)) for epoch in range(1, 9)
    ]  # fmt: skip
    folder = root / "artifacts/finetune" / benchmark
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)


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
    """36 recordings of three sources that are kept; one refused, one that is not surgical, two that
    could not be read; what was checked of them; and how often they are drawn."""
    folder = root / "artifacts/corpus"
    folder.mkdir(parents=True)
    sources = {"laparoscopy-a": "general_surgery", "colonoscopy": "colonoscopy",
               "arthroscopy": "skills_training"}  # fmt: skip
    kept = [(f"{source}-{i}", source, s) for source, s in sources.items() for i in range(12)]
    others = [
        ("refused", "laparoscopy-b", "general_surgery"),
        ("card", "colonoscopy", "colonoscopy"),
    ]
    rows = [
        {"video_id": name, "recording": f"r-{name}", "source_id": source, "specialty_s": specialty,
         "duration_s": 90.0, "declared_s": 90.0, "deid_state": "provider", "kind": "video",
         "health": "healthy"}
        for name, source, specialty in [*kept, *others]
    ]  # fmt: skip
    told = pd.DataFrame(rows)
    tables.write(folder / manifest.RECORDINGS, _filled(told, tables.TABLES["recordings"].columns),
                 "recordings")  # fmt: skip
    states = {"refused": "refused", "card": "nonsurgical"}
    spans = told[["video_id"]].assign(start_s=0.0, end_s=90.0, reason="", stage="clean")
    spans["state"] = [states.get(video, "keep") for video in told["video_id"]]
    tables.put(folder, "intervals", spans)
    for name in ("leak_hits", "dup_pairs"):
        tables.put(folder, name, _filled(pd.DataFrame(), tables.TABLES[name].columns))
    pieces = told[: len(kept)].rename(columns={"source_id": "source", "specialty_s": "specialty"})
    pieces = pieces.assign(clip_id=pieces["video_id"] + "-000", n_frames=90, fps=1.0, end_s=90.0)
    manifest.write_manifest(folder, _filled(pieces, manifest.MANIFEST_COLUMNS).to_dict("records"))
    manifest.write_quarantine(
        folder,
        [{"recording": recording, "stage": stage, "reason": reason, "detail": "", "raw_bytes": size}
         for recording, stage, reason, size in (
             ("r-cut", "probe", "unreadable", 812), ("r-empty", "probe", "empty", 0),
             ("r-refused", "deidentify", "not_deidentified", 7_000_000),
         )],
    )  # fmt: skip
    found = [*zip(told["recording"], told["source_id"], strict=True), ("r-cut", "laparoscopy-b"),
             ("r-empty", "colonoscopy")]  # fmt: skip
    manifest.write_inputs(
        folder,
        [{"recording": recording, "source": source, "kind": "video", "suffix": ".mp4",
          "raw_bytes": 1} for recording, source in found]
        + [{"recording": "r-x", "source": "colonoscopy", "kind": manifest.OTHER, "suffix": ".csv",
            "raw_bytes": 9}],
    )  # fmt: skip
    pd.DataFrame(
        {"benchmark": ["cholec80", "avos"], "state": ["checked", "not checked"], "cases": [40, 0],
         "seconds": [90_000, 0], "frames_per_s": [4.0, np.nan], "missing": ["", ""],
         "unsearchable": ["", ""], "rendered": [False, False]}
    ).to_csv(folder / "coverage.csv", index=False)  # fmt: skip
    write_samples(folder / "samples")
    write_draws(root / "artifacts/balance", sources)
    (root / "artifacts/runs").mkdir(parents=True, exist_ok=True)
    decoded = [
        {"codec": "h264", "height_px": 1080, "videos": 38, "seconds": 3420.0, "cpu_s": 342.0}
    ]
    (root / "artifacts/runs/scan.throughput.json").write_text(json.dumps({"decoded": decoded}))
    write_rules(root / "artifacts/validation/validation.json")


def write_samples(folder: Path) -> None:
    """A frame that is kept and one that is not, and a pair."""
    rng = np.random.default_rng(0)
    names = ("keep/a.jpg", "nonsurgical/b.jpg", "pair/00-a.jpg", "pair/00-b.jpg")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg.encode(tissue(90, 120, rng), 90))
    shown = [
        {"file": names[0], "state": "keep", "source": "arthroscopy",
         "recording": "r-arthroscopy-0", "at_s": 12.0, "reason": ""},
        {"file": names[1], "state": "nonsurgical", "source": "colonoscopy", "recording": "r-card",
         "at_s": 45.0, "reason": "a page of text"},
    ]  # fmt: skip
    pair = {"a_file": names[2], "b_file": names[3], "a_source": "colonoscopy",
            "b_source": "arthroscopy", "a_recording": "r-colonoscopy-0",
            "b_recording": "r-arthroscopy-1", "a_s": 3.0, "b_s": 64.0, "span_s": 40.0, "votes": 37,
            "mean_hamming": 1.5, "mirrored": True}  # fmt: skip
    write_tables(folder, shown, [pair])


def write_draws(folder: Path, sources: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"specialty": specialty, "source": source, "clips": 67.5, "share": 1 / 3, "passes": 20.5}
        for source, specialty in sources.items()
    ]
    for name in ("repetition.csv", "repetition_long.csv"):
        pd.DataFrame(rows).to_csv(folder / name, index=False)


def write_rules(path: Path) -> None:
    said = {"video_id": "no value twice", "n_frames": "at least one frame"}
    rules = [
        {"table": "manifest", "rule": rule, "column": column, "success": True, "observed": "",
         "failed_rows": []}
        for column, rule in said.items()
    ]  # fmt: skip
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"success": True, "rules": rules}))


def _filled(rows: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The rows with all columns of a table, those that they lack empty or zero."""
    blanks = {"str": "", "bool": False, "map": {}}
    for name, kind in columns.items():
        if name not in rows.columns:
            rows = rows.assign(**{name: [blanks.get(kind, 0)] * len(rows)})
    return rows[list(columns)].astype({n: k for n, k in columns.items() if k not in ("str", "map")})


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
        np.clip(
            truth + rng.integers(-2, 3, len(truth) // 9 + 1).repeat(9)[: len(truth)],
            0,
            truth.max(),
        ),
        truth,
    )


def estimate(mean: float, width: float, seeds: int = 3) -> dict[str, object]:
    around = [round(mean + d, 4) for d in (-0.012, 0.004, 0.008)][:seeds]
    return {"mean": mean, "low": mean - width, "high": mean + width, "seeds": around}


def head_facts(
    names: Sequence[str], means: tuple[float, float], kept: dict[str, object]
) -> dict[str, object]:
    """What is reported of one kind of head: both encoders, their difference, what was chosen."""
    return {
        "pretrained": {name: estimate(means[0], 0.05) for name in names},
        "random": {name: estimate(means[1], 0.06) for name in names},
        "difference": {name: estimate(means[0] - means[1], 0.045) for name in names},
        "chosen": {
            encoder: {
                str(seed): {**kept, "val": score}
                for seed, score in enumerate((0.4, 0.415625, 0.43125))
            }
            for encoder in ("pretrained", "random")
        },
    }


def write_metrics(
    root: Path,
    benchmark: str,
    task: str,
    unit: str,
    names: Sequence[str],
    means: tuple[float, float],
    counts: tuple[int, int, int],
) -> None:
    cases = dict(zip(("train", "val", "test"), counts, strict=True))
    facts = {
        "benchmark": benchmark, "task": task, "split": "theatre", "protocol": "dense",
        "window": "causal", "lookahead_s": 0.0, "frames": 16, "fps": 1.0, "kind": KINDS[task],
        "cases": cases, "clips": {part: 50 * count for part, count in cases.items()},
        "unit": unit, "main": names[0],
        **head_facts(names, means, {"view": "change", "lr": 1e-3, "weight_decay": 0.05}),
    }  # fmt: skip
    path = root / "metrics" / f"{benchmark}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))


def add_heads(root: Path, benchmark: str) -> None:
    """Other kinds of heads, a baseline, and a curve of label efficiency."""
    path = root / "metrics" / f"{benchmark}.json"
    facts = json.loads(path.read_text())
    names = list(facts["pretrained"])
    facts["baselines"] = {
        "frames-untrained": {
            "metrics": {name: estimate(0.5, 0.05) for name in names},
            "difference": {name: estimate(0.11, 0.05) for name in names},
            "chosen": facts["chosen"]["random"],
        }
    }
    facts["kinds"] = {
        "linear": head_facts(names, (0.55, 0.43), {"view": "tokens", "lr": 1e-3}),
        "knn": head_facts(names, (0.52, 0.4), {"neighbours": 5}),
        "temporal": head_facts(names, (0.67, 0.5), {"view": "tokens", "lr": 1e-3}),
        "attentive_offline_smoothed_15s": head_facts(names, (0.64, 0.46), {}),
    }
    facts["label_efficiency"] = [
        {"fraction": fraction, "cases": cases, "pretrained": estimate(mean, 0.06),
         "random": estimate(mean - 0.12, 0.07), "difference": estimate(0.12, 0.05)}
        for fraction, cases, mean in ((0.1, 1, 0.4), (0.25, 3, 0.5), (1.0, 12, 0.61))
    ]  # fmt: skip
    path.write_text(json.dumps(facts))


def add_facts(root: Path, benchmark: str, **more: object) -> None:
    path = root / "metrics" / f"{benchmark}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def predictions_of(root: Path, benchmark: str) -> Path:
    return root / "artifacts/probe" / benchmark / "predictions.npz"


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
