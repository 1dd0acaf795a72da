"""A whole search over masks and motion settings: trials side by side, then best against default."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from unisurg.models.writing import replacing
from unisurg.pretrain.resume import FREE
from unisurg.pretrain.store import open_store
from unisurg.settings import Settings
from unisurg.tracking import track_part
from unisurg.tuning import trial
from unisurg.tuning.best import Again, Found, chosen
from unisurg.tuning.probe import validation_probe
from unisurg.tuning.space import Values, default_point, space_of, values_of
from unisurg.tuning.study import Attempt, Outcome, Refused, Row, Rules, Search
from unisurg.tuning.workers import check_wanted, together

# What may change between a search and its continuation.
ANYHOW = {"trials", "workers", "storage", "again"}
RULES = 1  # raised when the same settings come to mean other trials, so that old ones are not used


@dataclass(frozen=True)
class Plan:
    """What a worker needs to take part; sent to processes as it is.

    Attributes:
        folder: of this search alone, named by the digest of all that decides it.
        threads: of each worker's computations.
        parent: id of the MLflow run under which trials are nested, or None.
    """

    settings: Settings
    store: Path
    scratch: Path
    videos: Path
    name: str
    trials: int
    threads: int
    parent: str | None

    @property
    def folder(self) -> Path:
        return self.scratch / self.name

    @property
    def search(self) -> Search:
        tune, space = self.settings.tune, space_of(self.settings)
        default = default_point(self.settings)
        return Search(
            name=f"unisurg-{self.name}",
            space=space,
            default={dimension: default[dimension] for dimension in space},
            rules=Rules(self.settings.seed, tune.multi, tune.startup),
            storage=tune.storage,
            folder=self.folder,
        )

    @property
    def course(self) -> trial.Course:
        probe = validation_probe(self.settings, self.scratch, self.videos)
        return trial.Course(self.store, self.settings, probe, self.folder / "trials")


def search(
    settings: Settings, store: Path, scratch: Path, videos: Path, trials: int, parent: str | None
) -> tuple[Found, list[Row], Search]:
    """Search until there are `trials` in all, those of earlier calls included.

    Args:
        store: shards, or a corpus.
        scratch: kept between calls; holds the journal, the decoded clips and unfinished trials.
        videos: where normalised videos of benchmarks are kept, as those of `features`.
        parent: as of `Plan`.

    Raises:
        SpaceError, ProbeError, NoStore, BenchmarkError: what cannot be used, before anything runs.
        SearchStopped: a process was killed; nothing that was done is lost.
        NothingFound: no trial came to its end.
    """
    probe = validation_probe(settings, scratch, videos)
    probe.prepare()
    name = _digest(settings, open_store(store, cache_mib=0).digest, probe.digest)
    workers = settings.tune.workers
    threads = max(1, torch.get_num_threads() // workers)
    plan = Plan(settings, store, scratch, videos, name, trials, threads, parent)
    together([(_work, plan)] * workers, workers)
    rows = plan.search.rows()
    best, score = chosen(rows)
    values = {} if best.default else values_of(best.point, settings)
    again = _again(plan, values, workers) if values else Again()
    default = next((row.score for row in rows if row.default), None)
    front = tuple(plan.search.front())
    return Found(probe.metric, values, best, score, default, again, front), rows, plan.search


def _work(plan: Plan) -> None:
    """Do trials until there are enough."""
    torch.set_num_threads(plan.threads)
    course, settings = plan.course, plan.settings

    def objective(attempt: Attempt) -> Outcome:
        values = values_of(attempt.point, settings)
        name = f"trial-{attempt.number}"
        shown = {**values, "trial": attempt.number, "default": attempt.default}
        with track_part(f"trial {attempt.number}", plan.parent, shown, settings) as run:

            def told(step: int, row: dict[str, float]) -> None:
                check_wanted()
                attempt.alive()
                run.metrics(step, row)

            attempt.note(run_id=run.run_id)
            try:
                outcome = trial.run_trial(course, name, values, settings.seed, attempt.report, told)
            except Refused:
                trial.forget(course, name)
                raise
            run.metrics(settings.tune.steps, {"score": outcome.score})
        trial.forget(course, name)
        return outcome

    plan.search.work(objective, plan.trials)


def _again(plan: Plan, values: Values, workers: int) -> Again:
    """Best and default with other seeds."""
    seeds = plan.settings.tune.again
    jobs = [(_one_more, plan, of, seed) for of in (values, {}) for seed in seeds]
    scores = together(jobs, workers)
    return Again(seeds, tuple(scores[: len(seeds)]), tuple(scores[len(seeds) :]))


def _one_more(plan: Plan, values: Values, seed: int) -> float:
    """The score of one more training, NaN of one that is refused; done once, whoever asks."""
    from filelock import FileLock

    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    name = f"again-{key}-{seed}"
    kept = plan.folder / f"{name}.json"
    with FileLock(plan.folder / f"{name}.lock"):
        if not kept.is_file():
            score = _trained_again(plan, name, values, seed)
            with replacing(kept) as file:
                file.write(json.dumps({"score": score}).encode())
    return float(json.loads(kept.read_text(encoding="utf-8"))["score"])


def _trained_again(plan: Plan, name: str, values: Values, seed: int) -> float:
    torch.set_num_threads(plan.threads)
    course, label = plan.course, "best" if values else "default"
    shown = {**values, "seed": seed}
    with track_part(f"{label} again, seed {seed}", plan.parent, shown, plan.settings) as run:

        def told(step: int, row: dict[str, float]) -> None:
            check_wanted()
            run.metrics(step, row)

        try:
            score = trial.run_trial(course, name, values, seed, lambda *_: None, told).score
        except Refused:
            score = math.nan
        run.metrics(plan.settings.tune.steps, {"score": score})
    trial.forget(course, name)
    return score


def _digest(settings: Settings, store: str, probe: str) -> str:
    """16 hexadecimal digits of all that decides what a trial's point scores."""
    pretrain = trial.shortened(settings).model_dump(mode="json", exclude={*FREE, "tuned"})
    facts = {
        "rules": RULES,
        "seed": settings.seed,
        "model": settings.model.model_dump(mode="json"),
        "pretrain": pretrain,
        "tune": settings.tune.model_dump(mode="json", exclude=ANYHOW),
        "data": [store, probe],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
