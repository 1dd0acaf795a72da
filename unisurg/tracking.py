"""Every stage is an MLflow run under one pipeline run; the only importer of MLflow.

    with track_stage("pretrain", settings) as run:
        train(..., on_metrics=run.metrics)
        run.artifact(output / "encoder")
        run.write_identity(Path("artifacts/runs/pretrain.run.json"))

Tracking never costs a result: where MLflow fails (a full disk, a locked database, a broken server)
the stage is told so in capitals on standard error, and goes on. An error of the stage itself marks
its run FAILED and passes on unchanged.

A pipeline is what one `dvc repro` or one Prefect flow starts: the variable UNISURG_PIPELINE where
it is set, else the nearest dvc process above this one, else there is none and the run has no
parent.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import psutil

from unisurg import lineage, telemetry
from unisurg.addresses import (
    CONNECT_TIMEOUT_S,
    SQLITE,
    is_remote,
    lock_on,
    need_driver,
    with_driver,
)
from unisurg.lineage import Lineage
from unisurg.processes import has_died, identity_of
from unisurg.settings import Settings, Tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRecord

NO_JOBS = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"  # seven processes more, which judge texts
PIPELINE_VARIABLE = "UNISURG_PIPELINE"
# Tags of a run; the first two are MLflow's own names, which its pages read.
PARENT = "mlflow.parentRunId"
COMMIT = "mlflow.source.git.commit"
DIRTY = "git.dirty"
PIPELINE = "pipeline"
STAGE = "stage"
PROCESS = "process"
ERROR = "error"

BUFFERED_METRICS = 500  # a call to the database costs as much for 500 values as for one
BUFFERED_SECONDS = 15.0
BATCH_METRICS = 1000  # MLflow's limits for one call and one value
BATCH_PARAMS = 100
VALUE_CHARACTERS = 5000


class TrackingError(RuntimeError):
    """The tracking store cannot be used as it stands; the message says what to change."""


F = TypeVar("F", bound=Callable[..., Any])


def survive(what: str) -> Callable[[F], F]:
    """Turn an error of the decorated function into a warning and the result None."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".strip()
                print(f"WARNING: TRACKING FAILED to {what}: {reason}", file=sys.stderr, flush=True)
                return None

        return guarded  # type: ignore[return-value]

    return decorate


@dataclass
class Run:
    """A stage's run that is recorded nowhere: what tracking is when it is off, or has failed.

    Every method may be called at any time and does nothing, but for `write_identity`.
    """

    stage: str
    lineage: Lineage
    run_id: str | None = None
    pipeline_run_id: str | None = None

    def metrics(self, step: int, values: Mapping[str, float | None]) -> None:
        """Values of one step, by name; None is a value that this step does not have."""

    def params(self, values: Mapping[str, object]) -> None:
        """Parameters beside those of params.yaml; nested ones are joined by dots."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """A copy of a file or a folder, below `folder` of the run's artifacts."""

    def figure(self, name: str, figure: Figure) -> None:
        """A picture, as `figures/<name>.png`."""

    def table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """A table that MLflow's pages can compare between runs, as `tables/<name>.json`."""

    def link(self, label: str, identity: Path) -> None:
        """Name the run that made an input, by the identity file it left, as tag `from.<label>`."""

    def write_identity(self, path: Path) -> None:
        """Write which run made the stage's outputs: a small JSON file, to be an output itself.

        DVC's cache then restores the right run with the outputs, and the report finds it.
        """
        facts = {
            "stage": self.stage,
            "run_id": self.run_id,
            "pipeline_run_id": self.pipeline_run_id,
            "commit": self.lineage.commit,
            "dirty": self.lineage.dirty,
            "inputs": self.lineage.inputs,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


class LoggedRun(Run):
    """A run in MLflow. Metrics are buffered; `close` writes the rest and the final status."""

    def __init__(
        self,
        store: Store,
        stage: str,
        origin: Lineage,
        run_id: str,
        pipeline_run_id: str | None,
    ) -> None:
        super().__init__(stage, origin, run_id, pipeline_run_id)
        self._id = run_id
        self._store = store
        self._client = store.client
        self._buffer: list[Metric] = []
        self._flushed = time.monotonic()

    @survive("record metrics")
    def metrics(self, step: int, values: Mapping[str, float | None]) -> None:
        from mlflow.entities import Metric

        now = _now_ms()
        self._buffer += [
            Metric(_key(name), float(value), now, step)
            for name, value in values.items()
            if value is not None
        ]
        waited_s = time.monotonic() - self._flushed
        if len(self._buffer) >= BUFFERED_METRICS or waited_s >= BUFFERED_SECONDS:
            self._flush()

    @survive("record parameters")
    def params(self, values: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        rows = [Param(_key(name), _short(value)) for name, value in flatten(values).items()]
        for start in range(0, len(rows), BATCH_PARAMS):
            self._client.log_batch(self._id, params=rows[start : start + BATCH_PARAMS])

    @survive("store an artifact")
    def artifact(self, path: Path, folder: str = "") -> None:
        if path.is_dir():
            self._client.log_artifacts(self._id, str(path), str(Path(folder) / path.name))
        else:
            self._client.log_artifact(self._id, str(path), folder or None)

    @survive("store a figure")
    def figure(self, name: str, figure: Figure) -> None:
        self._client.log_figure(self._id, figure, f"figures/{name}.png")

    @survive("store a table")
    def table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        self._client.log_table(self._id, dict(columns), f"tables/{name}.json")

    @survive("link a run")
    def link(self, label: str, identity: Path) -> None:
        source = json.loads(identity.read_text(encoding="utf-8"))["run_id"]
        self._client.set_tag(self._id, f"from.{label}", source or "not tracked")

    @survive("finish the run")
    def close(self, status: str, error: BaseException | None) -> None:
        """Write what is buffered, the status and the error; then the pipeline's status."""
        try:
            if error is not None:
                self._client.set_tag(self._id, ERROR, _short(f"{type(error).__name__}: {error}"))
            self._flush()
        finally:
            self._client.set_terminated(self._id, status)
            if self.pipeline_run_id is not None:
                self._store.settle(self.pipeline_run_id)

    def _flush(self) -> None:
        """A batch that fails is not tried again: its loss is told, and memory stays bounded."""
        self._flushed = time.monotonic()
        while self._buffer:
            batch, self._buffer = self._buffer[:BATCH_METRICS], self._buffer[BATCH_METRICS:]
            self._client.log_batch(self._id, metrics=batch)


@contextmanager
def track_stage(name: str, settings: Settings, root: Path | None = None) -> Iterator[Run]:
    """A run for one stage, with its parameters, git commit, dirty flag and input hashes.

    Args:
        name: the stage's address in DVC, as in `probe@cholec80`.
        root: the folder that holds params.yaml; found from the working directory where not given.
    """
    root = root or lineage.repository_root()
    origin = lineage.of_stage(root, name)
    run = _start(name, settings, root, origin) if settings.tracking.enabled else None
    if run is None:
        yield Run(name, origin)
        return
    with _closing(run):
        yield run


@contextmanager
def _closing(run: LoggedRun) -> Iterator[LoggedRun]:
    try:
        yield run
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit) or hasattr(error, "exit_status")
        run.close("KILLED" if stopped else "FAILED", error)
        raise
    run.close("FINISHED", None)


@contextmanager
def track_part(
    name: str, parent: str | None, values: Mapping[str, object], settings: Settings
) -> Iterator[Run]:
    """A run nested under that of a stage, such as a trial of a search, with parameters of its own.

    Parts of one stage may be tracked by several processes at once. Runs of this machine whose
    process has died are marked KILLED by the way.

    Args:
        parent: id of the stage's run; None where that is recorded nowhere, nor is this then.
    """
    root = lineage.repository_root()
    origin = Lineage(lineage.commit(root), lineage.dirty(root), {})
    run = None if parent is None else _start_part(name, parent, values, settings, root, origin)
    with _closing(run) if run is not None else nullcontext(Run(name, origin)) as tracked:
        yield tracked


@survive("start a nested run")
def _start_part(
    name: str,
    parent: str,
    values: Mapping[str, object],
    settings: Settings,
    root: Path,
    origin: Lineage,
) -> LoggedRun | None:
    store = open_store(settings.tracking, root)
    with store.lock:
        store.end_dead()
    tags = _git_tags(origin) | {PARENT: parent, STAGE: name}
    tags[PROCESS] = identity_of(psutil.Process())
    record = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    run = LoggedRun(store, name, origin, record.info.run_id, None)
    run.params(values)
    return run


@survive("start a run")
def _start(name: str, settings: Settings, root: Path, origin: Lineage) -> LoggedRun | None:
    store = open_store(settings.tracking, root)
    tags = _git_tags(origin) | {STAGE: name, PROCESS: identity_of(psutil.Process())}
    tags |= {f"input.{path}": md5 for path, md5 in origin.inputs.items()}
    pipeline = pipeline_key()
    with store.lock:  # else another stage that ends just now could call the pipeline finished
        parent = store.pipeline_run(pipeline, _git_tags(origin)) if pipeline else None
        if parent is not None:
            tags[PARENT] = parent
        record = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
    run = LoggedRun(store, name, origin, record.info.run_id, parent)
    run.params(settings.model_dump(mode="json"))
    return run


def pipeline_key() -> str | None:
    """What the stages of one pipeline have in common; None for a stage that was started alone."""
    given = os.environ.get(PIPELINE_VARIABLE)
    if given:
        return given
    for process in psutil.Process().parents():
        try:
            if _runs_dvc(process.cmdline()):
                return f"dvc {identity_of(process)}"
        except psutil.Error:
            continue
    return None


def _runs_dvc(command: list[str]) -> bool:
    """`dvc ...`, `python /path/to/dvc ...` or `python -m dvc ...`."""
    program = [Path(word).name for word in command[:2]]
    return "dvc" in program or command[1:3] == ["-m", "dvc"]


@dataclass(frozen=True)
class Store:
    """An open tracking store and the experiment in it.

    What several stages may do at once to the same record happens under `lock`.
    """

    client: MlflowClient
    experiment_id: str
    lock: AbstractContextManager[Any]

    def pipeline_run(self, key: str, tags: Mapping[str, str]) -> str:
        """The id of the pipeline's run, RUNNING from now on; the first stage creates it."""
        with self.lock:
            found = self._search(f"tags.{PIPELINE} = '{_quotable(key)}'")
            if found:
                run_id = found[0].info.run_id
                self.client.update_run(run_id, status="RUNNING")
                return run_id
            name = f"pipeline {tags.get(COMMIT, 'without commit')[:8]}".strip()
            own = {**tags, PIPELINE: _quotable(key)}
            return self.client.create_run(self.experiment_id, tags=own, run_name=name).info.run_id

    def settle(self, pipeline_run_id: str) -> None:
        """Give a pipeline's run the state of its stages: running, or failed if the last try of one
        has failed, or finished, as of now. A stage whose process has died becomes KILLED."""
        with self.lock:
            last: dict[str, str] = {}
            for run in self._search(f"tags.{PARENT} = '{pipeline_run_id}'"):
                status = run.info.status
                if status == "RUNNING" and has_died(run.data.tags[PROCESS]):
                    status = "KILLED"
                    self.client.set_terminated(run.info.run_id, status)
                last.setdefault(run.data.tags[STAGE], status)
            if "RUNNING" in last.values():
                self.client.update_run(pipeline_run_id, status="RUNNING")
            else:
                done = set(last.values()) == {"FINISHED"}
                self.client.set_terminated(pipeline_run_id, "FINISHED" if done else "FAILED")

    def runs(self, ids: Iterable[str]) -> dict[str, MlflowRecord]:
        """Those of the runs that the experiment has, by id; deleted ones are not there."""
        wanted = ", ".join(f"'{_quotable(run_id)}'" for run_id in sorted(set(ids)))
        found = self._search(f"attributes.run_id IN ({wanted})") if wanted else []
        return {run.info.run_id: run for run in found}

    def end_dead(self) -> None:
        """Mark runs as KILLED whose process has died on this machine."""
        for run in self._search("attributes.status = 'RUNNING'"):
            if PROCESS in run.data.tags and has_died(run.data.tags[PROCESS]):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _search(self, condition: str) -> list[MlflowRecord]:
        """Newest first."""
        return list(
            self.client.search_runs(
                [self.experiment_id], condition, order_by=["attributes.start_time DESC"]
            )
        )


def open_store(tracking: Tracking, root: Path) -> Store:
    """Connect; on first use create the database and the experiment, one process at a time.

    Raises:
        TrackingError: the experiment keeps its artifacts elsewhere than settings say.
        AddressError: what speaks to the database or to the store of artifacts is not installed.
    """
    telemetry.switch_off()
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT_S))
    if tracking.s3_endpoint is not None:
        os.environ["MLFLOW_S3_ENDPOINT_URL"] = tracking.s3_endpoint
    uri = absolute_uri(tracking.uri, root)
    place = artifact_place(tracking, root)
    for address in (uri, place or ""):
        need_driver(address)
    from mlflow import MlflowClient

    lock = lock_on(uri, root)
    with lock, _quiet():
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(tracking.experiment)
        if experiment is None:
            experiment_id = client.create_experiment(tracking.experiment, artifact_location=place)
        elif place not in (None, experiment.artifact_location):
            raise TrackingError(
                f"experiment {tracking.experiment!r} in {uri} keeps its artifacts in"
                f" {experiment.artifact_location}, and params.yaml says {place}: choose another"
                " tracking.experiment, the same tracking.artifacts, or move the old database away"
            )
        else:
            experiment_id = experiment.experiment_id
    return Store(client, experiment_id, lock)


def absolute_uri(uri: str, root: Path) -> str:
    """A relative SQLite URI made absolute against `root`, its folder created; others as given."""
    if not uri.startswith(SQLITE):
        return with_driver(uri)
    database = (root / uri.removeprefix(SQLITE)).resolve()
    database.parent.mkdir(parents=True, exist_ok=True)
    return f"{SQLITE}{database}"


def artifact_place(tracking: Tracking, root: Path) -> str | None:
    """Where the experiment keeps its artifacts: an address as given, a folder made absolute.

    None for a folder beside a tracking server, whose own it is to say.
    """
    if is_remote(tracking.artifacts):
        return tracking.artifacts.rstrip("/")
    if tracking.uri.startswith("http"):
        return None
    return (root / tracking.artifacts).resolve().as_uri()


def serve_ui(settings: Settings, port: int) -> NoReturn:
    """Open MLflow's pages on the runs of this checkout, until interrupted."""
    root = lineage.repository_root()
    open_store(settings.tracking, root)
    uri = absolute_uri(settings.tracking.uri, root)
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri]
    # In this process's place, so that whatever ends this command ends the pages.
    os.execve(sys.executable, command, {NO_JOBS: "false"} | os.environ)


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted names; lists stay values."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


@contextmanager
def _quiet() -> Iterator[None]:
    """Creating a database logs every one of its fifty migrations; keep what is a warning."""
    import logging

    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _git_tags(origin: Lineage) -> dict[str, str]:
    known = {COMMIT: origin.commit, DIRTY: origin.dirty}
    return {name: str(value).lower() for name, value in known.items() if value is not None}


def _quotable(text: str) -> str:
    """MLflow's search language has no escape for quotes."""
    return text.replace("'", "_")


def _key(name: str) -> str:
    """A name as MLflow admits it."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _short(value: object) -> str:
    """A value as text; one that is too long keeps its beginning and says which it was."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= VALUE_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:VALUE_CHARACTERS]}... ({len(text)} characters, sha256 {digest})"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
