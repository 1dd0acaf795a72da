"""Versions of the model in MLflow's registry: who is champion, who was, and what each rests on.

A version is a run of its own with two folders: `model`, a pyfunc that holds the package and the
code of this package, and `evidence`, see `unisurg.promotion.evidence`. The alias `champion` names
the version in use, `challenger` the newest that is not. Every promotion leaves on the version when
it was, from which commit, and who was champion before, so that it can be taken back.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from unisurg import lineage
from unisurg.processes import identity_of
from unisurg.settings import Settings
from unisurg.tracking import COMMIT, DIRTY, PROCESS, STAGE, Store, open_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
MODEL, EVIDENCE = "model", "evidence"
# Tags of a version.
DIGEST = "digest"
MEASURED = "measured."
PROMOTED, BEFORE, PROMOTED_AT = "promoted", "promoted.before", "promoted.commit"
ROLLED_BACK = "rolled_back"
NOBODY = "none"

CODE = Path(__file__).parent
LOADER = "unisurg.predict"
DATA = "data/package"
"""Where MLflow puts the folder `package` in a model."""
# What a prediction imports; everything else comes with these.
NEEDS = (
    *("av", "decord", "einops", "numpy", "opencv-python-headless", "pandas", "pillow", "psutil"),
    *("pyarrow", "pydantic", "pyyaml", "safetensors", "scipy", "timm", "torch", "torchvision"),
    "tqdm",
)


class RegistryError(RuntimeError):
    """There is no such version, or no earlier champion; the message says what there is."""


@dataclass(frozen=True)
class Version:
    """A registered model. `tags` are those of the version; `made` is when, in UTC."""

    number: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    made: datetime


@dataclass(frozen=True)
class Registry:
    """The versions of one model, by its name."""

    name: str
    store: Store

    @staticmethod
    def open(settings: Settings, root: Path) -> Registry:
        """The registry beside the runs of the repository at `root`."""
        return Registry(settings.promotion.model, open_store(settings.tracking, root))

    def versions(self) -> list[Version]:
        """All, oldest first; none where nothing was ever registered."""
        client, mine = self.store.client, f"name = '{self.name}'"
        models = client.search_registered_models(mine)
        aliases = dict(models[0].aliases) if models else {}
        found = client.search_model_versions(mine) if models else []
        return sorted((_version(one, aliases) for one in found), key=lambda one: one.number)

    def aliased(self, alias: str) -> Version | None:
        return next((one for one in self.versions() if alias in one.aliases), None)

    def find(self, reference: str) -> Version:
        """A version by number or alias: `3`, `champion`, `models:/NAME/3`, `models:/NAME@ALIAS`.

        Raises:
            RegistryError: there is none; names those there are.
        """
        wanted = reference.removeprefix(f"models:/{self.name}").lstrip("/@")
        known = self.versions()
        for one in known:
            if wanted == str(one.number) or wanted in one.aliases:
                return one
        told = ", ".join(f"{one.number}{_in_brackets(one.aliases)}" for one in known) or "none"
        raise RegistryError(f"no version {reference!r} of model {self.name}; there are: {told}")

    def register(
        self, package: Path, evidence: Path, measured: Mapping[str, float], root: Path
    ) -> Version:
        """A version of the package with its evidence, which becomes the challenger.

        The same package makes no second version, unless the first was made of uncommitted code.

        Args:
            package: folder as of `unisurg.package`.
            evidence: folder that is kept beside the model.
            measured: main numbers by name, to be seen on the version.
            root: of the checkout whose code and commit go with the model.
        """
        dirty = lineage.dirty(root) is not False
        digest = _digest(package, str(dirty))
        known = next((one for one in self.versions() if one.tags.get(DIGEST) == digest), None)
        number = known.number if known else self._create(package, evidence, measured, root, digest)
        version = self.find(str(number))
        if CHAMPION not in version.aliases:
            self._point(CHALLENGER, version)
        return self.find(str(number))

    def crown(self, version: Version, before: Version | None, commit: str | None) -> None:
        """Make a version champion in place of `before`.

        Raises:
            RegistryError: another version has become champion meanwhile.
        """
        client = self.store.client
        with self.store.lock:
            now = self.aliased(CHAMPION)
            if (now and now.number) != (before and before.number):
                raise RegistryError("the champion changed meanwhile; run `unisurg promote` again")
            self._note(version, PROMOTED, _now())
            self._note(version, BEFORE, str(before.number) if before else NOBODY)
            self._note(version, PROMOTED_AT, commit or "unknown")
            self._point(CHAMPION, version)
            if CHALLENGER in version.aliases:
                client.delete_registered_model_alias(self.name, CHALLENGER)

    def roll_back(self) -> tuple[Version, Version]:
        """Give the alias back to the version that was champion before; returns both, old first.

        Raises:
            RegistryError: there is no champion, or none was before it.
        """
        with self.store.lock:
            now = self.aliased(CHAMPION)
            if now is None:
                raise RegistryError(f"model {self.name} has no champion, so there is no way back")
            before = now.tags.get(BEFORE, NOBODY)
            if before == NOBODY:
                raise RegistryError(f"version {now.number} is the first champion of {self.name}")
            self._note(now, ROLLED_BACK, _now())
            self._point(CHAMPION, self.find(before))
        return now, self.find(before)

    def fetch(self, version: Version, folder: str, target: Path) -> Path:
        """A copy of `MODEL` or `EVIDENCE` of a version, below `target`."""
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        client = self.store.client
        return Path(client.download_artifacts(version.run_id, folder, str(target)))

    def attach(self, version: Version, path: Path) -> None:
        """Add a file to the artifacts of a version's run."""
        self.store.client.log_artifact(version.run_id, str(path))

    def _create(
        self,
        package: Path,
        evidence: Path,
        measured: Mapping[str, float],
        root: Path,
        digest: str,
    ) -> int:
        client = self.store.client
        facts = {
            COMMIT: lineage.commit(root) or "unknown",
            DIRTY: str(lineage.dirty(root) is not False).lower(),
        }
        process = identity_of(psutil.Process())
        record = client.create_run(
            self.store.experiment_id,
            tags={**facts, STAGE: "promote", PROCESS: process},
            run_name=f"model {self.name}",
        )
        run_id = record.info.run_id
        try:
            with tempfile.TemporaryDirectory(prefix="unisurg-model-") as scratch:
                model = Path(scratch) / MODEL
                save(package, model)
                client.log_artifacts(run_id, str(model), MODEL)
            client.log_artifacts(run_id, str(evidence), EVIDENCE)
            for name, value in measured.items():
                client.log_metric(run_id, f"{MEASURED}{name}", value)
            if not client.search_registered_models(f"name = '{self.name}'"):
                client.create_registered_model(self.name)
            made = client.create_model_version(
                self.name,
                source=f"{record.info.artifact_uri}/{MODEL}",
                run_id=run_id,
                tags={
                    **facts,
                    DIGEST: digest,
                    **{f"{MEASURED}{name}": f"{value:.3f}" for name, value in measured.items()},
                },
            )
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        return int(made.version)

    def _point(self, alias: str, version: Version) -> None:
        self.store.client.set_registered_model_alias(self.name, alias, str(version.number))

    def _note(self, version: Version, tag: str, value: str) -> None:
        self.store.client.set_model_version_tag(self.name, str(version.number), tag, value)


def save(package: Path, target: Path) -> None:
    """Write the pyfunc: the package as its data, and the code of this checkout beside it.

    It takes paths of videos and gives a table, see `unisurg.predict.PhaseModel.predict`.
    """
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    text, number = DataType.string, DataType.double
    columns = [(text, "video"), (number, "second"), (text, "phase"), (number, "confidence")]
    # Paths have no name in the signature, so that MLflow takes a plain one and a list as well.
    signature = ModelSignature(
        inputs=Schema([ColSpec(text)]),
        outputs=Schema([ColSpec(kind, name) for kind, name in columns]),
    )
    with warnings.catch_warnings():
        # An example would be a video, and its path means nothing elsewhere.
        warnings.filterwarnings("ignore", ".*input example", UserWarning)
        pyfunc.save_model(
            path=str(target),
            loader_module=LOADER,
            data_path=str(package),
            code_paths=[str(CODE)],
            signature=signature,
            pip_requirements=[f"{name}=={installed(name).partition('+')[0]}" for name in NEEDS],
        )


def _version(found: ModelVersion, aliases: Mapping[str, str]) -> Version:
    return Version(
        number=int(found.version),
        run_id=str(found.run_id),
        aliases=tuple(sorted(name for name, n in aliases.items() if int(n) == int(found.version))),
        tags=dict(found.tags),
        made=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
    )


def _digest(folder: Path, word: str) -> str:
    """Of a word, and of the names and bytes of all files."""
    digest = hashlib.sha256(word.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _in_brackets(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
