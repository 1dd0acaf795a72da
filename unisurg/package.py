"""The packaged model: an encoder with the head that a benchmark's probe chose, in one folder.

    encoder/           weights and configuration, as `unisurg.load_encoder` takes them
    head.safetensors   the state of the head
    package.json       `Facts`: which head it is, and how a video becomes what it was trained on

Nothing is learnt here. The head is the one that the probe has kept, or is trained again in the same
way where that is gone; either way it must predict the test cases as the probe did.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unisurg.evaluation import store
from unisurg.evaluation.probing.choosing import Chosen, silent
from unisurg.evaluation.probing.fitting import Hyper
from unisurg.evaluation.probing.kinds import kinds_of
from unisurg.evaluation.probing.probe import choose_all, task_of
from unisurg.evaluation.probing.runs import Run, runs_of
from unisurg.evaluation.probing.samples import Clips
from unisurg.evaluation.store import PRETRAINED, Index, Store
from unisurg.settings import Benchmark, Curate, Features, Probe, Settings, ViewName

ENCODER, HEAD, FACTS = Path("encoder"), Path("head.safetensors"), Path("package.json")
NOWHERE = Path()
"""In place of the folders of the machine where the package was made, which are nobody's concern."""


class PackageError(ValueError):
    """A package cannot be made or read; the message names the setting or file, and the remedy."""


class Point(BaseModel):
    """The chosen point of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    view: ViewName
    lr: float
    weight_decay: float


class Facts(BaseModel):
    """What `package.json` says; the sections are those of params.yaml that shape a prediction.

    `index` are those of the features, of this encoder alone. `validation` is the main metric on
    validation cases, by which the head was chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: Index
    kind: str
    seed: int
    hyper: Point
    validation: float
    block: Benchmark
    curate: Curate
    features: Features
    probe: Probe

    @property
    def encoder(self) -> str:
        """Digest of the weights of the encoder."""
        return self.index.digests[PRETRAINED]


def write(
    settings: Settings,
    features: Path,
    encoder: Path,
    predictions: Path,
    output: Path,
    scratch: Path,
) -> Facts:
    """Write the package of `package.benchmark`: the first seed's head of the main kind.

    Args:
        features: the benchmark's frozen features.
        encoder: folder of the encoder that they are of.
        predictions: what the probe predicted of the test cases, `predictions.npz`.
        output: folder of the package, replaced as a whole.
        scratch: where probes keep their heads.

    Raises:
        PackageError: the benchmark is not one of phases seen in causal windows, its main kind of
            head is not trained, or the head does not predict what the probe predicted.
    """
    data = store.read(features)
    _check(data.index)
    task = task_of(data.index, settings)
    main, *_ = kinds_of(task, data.index, settings.probe)
    run, *_ = runs_of(data.index, settings.probe, [main.name])
    chosen = choose_all(task, data, [main], [run], silent, scratch)[run]
    _check_predictions(data, run, chosen, predictions)
    facts = _facts(settings, data.index, run, chosen)
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(encoder, output / ENCODER)
    state = {name: value.cpu().contiguous() for name, value in _state(chosen).items()}
    save_file(state, output / HEAD)
    (output / FACTS).write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return facts


def read(folder: Path) -> tuple[Facts, dict[str, Tensor]]:
    """Facts and the state of the head of a package.

    Raises:
        PackageError: the folder holds no package, or one of another version of the code.
    """
    path = folder / FACTS
    if not path.is_file():
        raise PackageError(f"{path}: no such file; `dvc repro package` writes a packaged model")
    try:
        facts = Facts.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise PackageError(
            f"{path}: {field}: {first['msg']}; it is of another version of UniSurg: write it anew"
            " with `dvc repro -f -s package`, or load a registered model with its own code"
        ) from None
    return facts, load_file(folder / HEAD)


def _check(index: Index) -> None:
    where = f"package.benchmark: {index.benchmark}"
    if index.task != "phase":
        raise PackageError(f"{where} is of family {index.task}; name a benchmark of phases")
    if index.lookahead_frames or index.protocol != "dense":
        raise PackageError(
            f"{where} was seen in {index.window} windows by the {index.protocol} protocol, which"
            " look ahead; set features.window: causal and features.protocol: dense"
        )


def _state(chosen: Chosen) -> dict[str, Tensor]:
    return dict(chosen.head.module.state_dict())


def _check_predictions(data: Store, run: Run, chosen: Chosen, predictions: Path) -> None:
    """The head is the probe's own only if it says of every test case what the probe said."""
    remedy = f"`dvc repro -f -s probe@{data.index.benchmark}` on this machine mends it"
    with np.load(predictions, allow_pickle=False) as stored:
        for case in data.cases("test"):
            ours = chosen.head.logits(Clips.of(case, run.variant)).argmax(1).cpu().numpy()
            if not np.array_equal(ours, stored[f"{PRETRAINED}/{case.case}"]):
                raise PackageError(
                    f"{predictions}: the head of seed {run.seed} predicts {case.case} otherwise"
                    f" than the probe did; {remedy}"
                )


def _facts(settings: Settings, index: Index, run: Run, chosen: Chosen) -> Facts:
    hyper = chosen.head.hyper
    if not isinstance(hyper, Hyper):
        raise PackageError(
            f"probe.kinds: the first is {run.kind}, whose heads are not trained but are its"
            " training clips; put attentive, linear or temporal first"
        )
    ours = replace(
        index,
        encoders={PRETRAINED: (run.variant,)},
        digests={run.variant: index.digests[run.variant]},
    )
    return Facts(
        index=ours,
        kind=run.kind,
        seed=run.seed,
        hyper=Point(**asdict(hyper)),
        validation=chosen.score,
        block=settings.benchmarks[index.benchmark].model_copy(update={"root": NOWHERE}),
        curate=settings.curate.model_copy(update={"input": NOWHERE}),
        features=settings.features,
        probe=settings.probe,
    )
