"""The packaged model says of a test video what the probe said, in this checkout and without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from probe_stores import quick

from unisurg import cli, package, registry
from unisurg.benchmarks.cholec80 import PHASES
from unisurg.evaluation.extraction.features import extract
from unisurg.evaluation.probing import probe
from unisurg.models.checkpoints import random_encoder, save_encoder
from unisurg.package import PackageError
from unisurg.predict import PhaseModel
from unisurg.settings import Settings

pytestmark = pytest.mark.xdist_group("predict")
SECONDS, VIDEOS = 12, 4
# Loads the model where the checkout cannot be imported: what an installation adds is taken away.
ELSEWHERE = """
import sys
from pathlib import Path

model, *videos = sys.argv[1:]
sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "")]
sys.path[:] = [p for p in sys.path if not (Path(p) / "unisurg").is_dir()]
try:
    import unisurg
except ImportError:
    pass
else:
    sys.exit(f"unisurg can be imported from {unisurg.__file__}")
from mlflow import pyfunc

import pandas as pd

loaded = pyfunc.load_model(model)
import unisurg

assert Path(unisurg.__file__).is_relative_to(model), unisurg.__file__
table = loaded.predict(pd.DataFrame({"video": videos}))
first = table[table["video"] == videos[0]]
assert loaded.predict(videos[0]).equals(first)
assert loaded.predict(videos[:1]).equals(first)
table.to_csv("table.csv", index=False)
"""


@dataclass(frozen=True)
class Place:
    """Features, a probe's results, and the package that was made of them."""

    root: Path
    settings: Settings
    encoder: Path

    @property
    def package(self) -> Path:
        return self.root / "package"

    def write(self, settings: Settings | None = None, output: Path | None = None) -> package.Facts:
        return package.write(
            settings or self.settings,
            self.root / "features",
            self.encoder,
            self.root / "probe/predictions.npz",
            output or self.package,
            self.root / "heads",
        )

    def video(self, case: str) -> Path:
        return self.settings.benchmarks["cholec80"].root / "videos" / f"{case}.mp4"

    def predictions(self) -> dict[str, np.ndarray]:
        """The probe's, by test case."""
        with np.load(self.root / "probe/predictions.npz") as stored:
            names = [name for name in stored.files if name.startswith("pretrained/")]
            return {name.partition("/")[2]: stored[name] for name in names}


def write_video(path: Path, seed: int) -> None:
    """A picture of large squares, another one every second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = np.random.default_rng(seed).integers(0, 256, (SECONDS, 4, 5, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for i in range(SECONDS * 25):
            pixels = pictures[i // 25].repeat(16, 0).repeat(16, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_cholec80(root: Path) -> Path:
    for number in range(1, VIDEOS + 1):
        write_video(root / f"videos/video{number:02d}.mp4", number)
        rows = [f"{i}\t{PHASES[i * 3 // (25 * SECONDS)]}" for i in range(25 * SECONDS)]
        table = root / f"phase_annotations/video{number:02d}-phase.txt"
        table.parent.mkdir(exist_ok=True)
        table.write_text("\n".join(["Frame\tPhase", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Place:
    root = tmp_path_factory.mktemp("predict")
    row = settings.benchmarks["cholec80"].model_copy(
        update={"root": write_cholec80(root / "cholec80"), "frames": 4, "size_px": 32}
    )
    fewer = {"random_encoders": 1, "batch": 4, "grid": 1, "fit_every_s": 2}
    small = quick(settings, view=("tokens", "change"), kinds=("attentive", "temporal")).model_copy(
        update={
            "benchmarks": {"cholec80": row},
            "features": settings.features.model_copy(update=fewer),
            "baselines": {},
        }
    )
    save_encoder(root / "encoder", random_encoder(small.model, seed=7), {})
    made = Place(root, small, root / "encoder")
    extract("cholec80", small, made.encoder, root / "features", root / "scratch")
    run_probe(made, small, root)
    made.write()
    return made


def run_probe(place: Place, settings: Settings, output: Path) -> None:
    probe.run(
        "cholec80",
        settings,
        place.root / "features",
        output / "metrics.json",
        output / "probe",
        lambda step, values: None,
        place.root / "heads",
    )


def test_a_test_video_gets_second_by_second_what_the_probe_predicted(place):
    predicted = place.predictions()
    assert predicted
    model = PhaseModel.load(place.package)
    for case, labels in predicted.items():
        found = model.phases(place.video(case))
        assert found["second"].tolist() == list(range(SECONDS))
        assert found["phase"].tolist() == [PHASES[label] for label in labels]
        assert found["confidence"].between(1 / len(PHASES), 1).all()


def test_a_head_that_looks_at_clips_before_is_packaged_just_as_well(place, tmp_path):
    probed = place.settings.probe.model_copy(update={"kinds": ("temporal",)})
    other = place.settings.model_copy(update={"probe": probed})
    run_probe(place, other, tmp_path)
    facts = package.write(
        other,
        place.root / "features",
        place.encoder,
        tmp_path / "probe/predictions.npz",
        tmp_path / "package",
        place.root / "heads",
    )
    assert facts.kind == "temporal"
    model = PhaseModel.load(tmp_path / "package")
    with np.load(tmp_path / "probe/predictions.npz") as stored:
        case = next(n for n in stored.files if n.startswith("pretrained/")).partition("/")[2]
        labels = stored[f"pretrained/{case}"]
    assert model.phases(place.video(case))["phase"].tolist() == [PHASES[i] for i in labels]


def test_the_verb_writes_a_table_of_seconds_phases_and_confidence(place, tmp_path):
    video = place.video(next(iter(place.predictions())))
    table = tmp_path / "phases.csv"
    assert (
        cli.main(["predict", str(video), "--model", str(place.package), "--output", str(table)])
        == 0
    )
    found = pd.read_csv(table)
    assert found.columns.tolist() == ["second", "phase", "confidence"]
    assert len(found) == SECONDS


def test_the_registered_model_predicts_in_a_process_that_has_no_checkout(place, tmp_path):
    registry.save(place.package, tmp_path / "model")
    videos = [str(place.video(case)) for case in place.predictions()]
    command = [sys.executable, "-P", "-c", ELSEWHERE, str(tmp_path / "model"), *videos]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = pd.read_csv(tmp_path / "table.csv")
    assert found.columns.tolist() == ["video", "second", "phase", "confidence"]
    said = {Path(video).stem: rows["phase"].tolist() for video, rows in found.groupby("video")}
    assert said == {
        case: [PHASES[label] for label in labels] for case, labels in place.predictions().items()
    }


def test_a_registered_model_names_what_it_takes_gives_and_needs(place, tmp_path):
    registry.save(place.package, tmp_path / "model")
    described = (tmp_path / "model/MLmodel").read_text()
    for column in ("video", "second", "phase", "confidence"):
        assert f'"{column}"' in described.replace("\n    ", " ")
    needed = (tmp_path / "model/requirements.txt").read_text().split()
    assert any(line.startswith("torch==2.13.0") for line in needed)
    assert not any("+" in line for line in needed)


def test_a_head_that_says_otherwise_than_the_probe_is_not_packaged(place, tmp_path):
    longer = place.settings.probe.model_copy(update={"lr": (0.3,)})
    with pytest.raises(PackageError, match="otherwise than the probe did"):
        place.write(place.settings.model_copy(update={"probe": longer}), tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_a_benchmark_that_has_no_phases_is_refused_by_name(place, tmp_path):
    folder = tmp_path / "features"
    shutil.copytree(place.root / "features", folder)
    index = (folder / "index.json").read_text()
    for change, said in (
        (('"task": "phase"', '"task": "action"'), "is of family action"),
        (('"lookahead_frames": 0', '"lookahead_frames": 2'), "which look ahead"),
    ):
        (folder / "index.json").write_text(index.replace(*change))
        with pytest.raises(PackageError, match=said):
            package.write(place.settings, folder, place.encoder, folder, tmp_path, tmp_path)


def test_a_damaged_package_is_an_error_that_names_the_remedy(place, tmp_path):
    with pytest.raises(PackageError, match="dvc repro package"):
        PhaseModel.load(tmp_path)
    shutil.copytree(place.package, tmp_path / "old")
    facts = (tmp_path / "old/package.json").read_text()
    (tmp_path / "old/package.json").write_text(facts.replace('"kind"', '"head"'))
    with pytest.raises(PackageError, match="another version of UniSurg"):
        PhaseModel.load(tmp_path / "old")
    shutil.copytree(place.package, tmp_path / "other")
    shutil.rmtree(tmp_path / "other/encoder")
    other = random_encoder(place.settings.model, seed=8)
    save_encoder(tmp_path / "other/encoder", other, {})
    with pytest.raises(PackageError, match="not the encoder"):
        PhaseModel.load(tmp_path / "other")


def test_a_file_that_is_no_video_is_an_error_that_names_it(place, tmp_path, capsys):
    text = tmp_path / "notes.mp4"
    text.write_text("no film")
    assert cli.main(["predict", str(text), "--model", str(place.package)]) == 1
    assert "notes.mp4" in capsys.readouterr().err
