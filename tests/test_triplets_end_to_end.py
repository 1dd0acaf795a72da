"""CholecT50 from pictures to numbers: the theatre's copy is extracted, probed and fine-tuned on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from probe_stores import quick

from unisurg.evaluation import store
from unisurg.evaluation.extraction.features import extract
from unisurg.evaluation.finetuning import finetune
from unisurg.evaluation.probing import probe
from unisurg.evaluation.reported import Results, Tuned
from unisurg.models.checkpoints import save_encoder
from unisurg.models.encoder import VisionTransformer
from unisurg.models.sizes import Size
from unisurg.settings import Settings
from unisurg.synthetic import layouts

SMALL = {"small_side_px": 32, "small_videos": 4, "small_seconds": 12}


def silent(step: int, values: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cholect50")


@pytest.fixture(scope="module")
def asked(settings: Settings, folder: Path) -> Settings:
    """A copy of four videos, and settings that take seconds on it."""
    theatre = settings.theatre.model_copy(update=SMALL)
    for job in layouts.LAYOUTS["cholect50"].jobs(folder, theatre, 3):
        job.run()
    row = settings.benchmarks["cholect50"].model_copy(
        update={"root": folder / "cholect50", "frames": 4, "size_px": 32}
    )
    tuning = {"seeds": (0,), "epochs": 1, "batch": 4}
    return quick(settings, lr=(1e-2,), weight_decay=(0.05,)).model_copy(
        update={
            "benchmarks": {"cholect50": row},
            "baselines": {},
            "features": settings.features.model_copy(update={"random_encoders": 1}),
            "finetune": settings.finetune.model_copy(update=tuning),
        }
    )


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(99)  # random encoders are drawn from 0
        tiny = VisionTransformer(Size(dim=32, depth=1, heads=2), (2, 16, 16), 0.0)
    save_encoder(folder / "encoder", tiny.eval(), {})
    return folder / "encoder"


def test_features_hold_a_row_of_triplets_for_every_labelled_moment(
    asked: Settings, encoder: Path, folder: Path
) -> None:
    extract("cholect50", asked, encoder, folder / "features", folder / "scratch")
    data = store.read(folder / "features")
    assert (data.index.task, data.index.every_s, data.index.test_every_s) == ("triplet", 4, 1)
    (case,) = data.cases("test")
    truth, moments = case.truth(), case.moments()
    assert truth.shape == (len(moments), 100)
    assert set(np.unique(truth)) == {0, 1}
    assert len(case.tokens("pretrained")) == len(truth)


def test_a_probe_reports_every_component_video_wise_and_globally(
    asked: Settings, folder: Path
) -> None:
    paths = folder / "features", folder / "probe.json", folder / "probe"
    probe.run("cholect50", asked, *paths, silent)
    found = Results.model_validate(json.loads(paths[1].read_text()))
    for name in ("i", "v", "t", "iv", "it", "ivt"):
        for rule in ("videowise", "global"):
            assert 0 < found.pretrained[f"ap_{name}_{rule}"].mean <= 1
    assert found.cholec80_train_in_test == ()


def test_fine_tuning_trains_encoder_and_head_and_reports_the_same_metrics(
    asked: Settings, encoder: Path, folder: Path
) -> None:
    output = folder / "tuned"
    facts = finetune.run(
        "cholect50", asked, encoder, folder / "tuned.json", output, folder / "scratch", silent
    )
    probed = json.loads((folder / "probe.json").read_text())
    assert list(Tuned.model_validate(facts).pretrained) == list(probed["pretrained"])
    assert facts["cholec80_train_in_test"] == []
    with np.load(output / "predictions.npz") as arrays:
        truth, scores = arrays["truth/VID84"], arrays["pretrained/VID84"]
        assert arrays["moments/VID84"].shape == truth.shape[:1]
    assert scores.shape == truth.shape
    assert ((scores >= 0) & (scores <= 1)).all()
