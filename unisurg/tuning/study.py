"""The search: which point next, which trial is not worth its end. The only importer of Optuna.

Any number of processes, on any number of machines, may `work` at one study; they meet in its
storage, a journal file or a database. What a process had begun when it died is told as failed and
done again. Every trial is sampled by a sampler of its own, seeded by how many there are: a search
that is gone on with repeats nothing, and processes side by side do not draw alike.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from unisurg.addresses import lock_on, need_driver, with_driver
from unisurg.processes import has_died, identity_of
from unisurg.tuning.space import Point, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "journal.log"
# Attributes of a trial.
NUMBER, DEFAULT, PROCESS, SEEN = "number", "default", "process", "seen"
SECONDS, REASON, FACTS = "seconds", "reason", "facts"
RENEW_S = 20.0  # a trial says that it is alive at most so often ...
LEASE_S = 600.0  # ... and one of another machine that has not for so long is dead
POLL_S = 1.0

State = str  # complete | stopped | failed | running | waiting


class Refused(Exception):
    """A trial that is not worth its end, with the reason: it has collapsed, or lies far behind."""

    exit_status = 0  # tracking then tells of a run that was stopped, not of one that failed


@dataclass(frozen=True)
class Outcome:
    """What a trial came to: `score`, the higher the better, and what it cost in `seconds`."""

    score: float
    seconds: float


@dataclass(frozen=True)
class Rules:
    """How a study searches.

    Attributes:
        multi: search the front of score and seconds (NSGA-II) instead of the best score (TPE).
        startup: trials drawn at random before the sampler has a say, and before any is pruned.
    """

    seed: int
    multi: bool
    startup: int


@dataclass(frozen=True)
class Row:
    """A trial as others see it; `score` and `seconds` are None where it did not come to its end."""

    number: int
    state: State
    score: float | None
    seconds: float | None
    default: bool
    point: dict[str, float]
    reason: str
    reported: dict[int, float]
    facts: dict[str, Any]


@dataclass
class Attempt:
    """A trial under way, as its objective sees it.

    One that is done again has the `number` of the first try, whose leavings can be gone on with.
    """

    number: int
    point: Point
    default: bool
    trial: Trial
    multi: bool
    seen: float = field(default_factory=time.monotonic)

    def alive(self) -> None:
        """Say so; to be called more often than every `LEASE_S`."""
        if time.monotonic() - self.seen >= RENEW_S:
            self.seen = time.monotonic()
            self.trial.set_user_attr(SEEN, time.time())

    def report(self, step: int, score: float) -> None:
        """An intermediate score; of a search for a front nothing is pruned, nor is the default.

        Raises:
            Refused: the trial lies behind the median of those before it.
        """
        self.alive()
        if self.multi:
            return
        self.trial.report(score, step)
        if not self.default and self.trial.should_prune():
            raise Refused(f"pruned at step {step}: {score:.4f} is below the median of the others")

    def note(self, **facts: object) -> None:
        """Facts to be kept with the trial, plain values."""
        self.trial.set_user_attr(FACTS, facts)


Objective = Callable[[Attempt], Outcome]


@dataclass(frozen=True)
class Search:
    """A study by name in a storage.

    Args:
        default: the point that is tried first, so that the best has something to beat.
        storage: address of a database; None: a journal in `folder`, which is made.
    """

    name: str
    space: Space
    default: Point
    rules: Rules
    storage: str | None
    folder: Path

    def work(self, objective: Objective, trials: int) -> None:
        """Take part until there are `trials` in all, those of others and of earlier runs included.

        Returns when none is under way any more. What the objective raises beside `Refused` is told
        of its trial and passes on.
        """
        while True:
            attempt, busy = self._next(trials)
            if attempt is not None:
                self._finish(attempt, objective)
            elif busy:
                time.sleep(POLL_S)  # should it die, its trial is done here
            else:
                return

    def rows(self) -> list[Row]:
        """All trials by number; of one that was done again the last try."""
        last = {_number(t): t for t in self._trials() if NUMBER in t.user_attrs}
        return [_row(last[number]) for number in sorted(last)]

    def importances(self) -> dict[str, float]:
        """Share of the variance of the score that each dimension explains; empty where too few
        trials came to their end to tell (fANOVA, Hutter et al. 2014)."""
        import optuna

        done = [t for t in self._trials() if _is("COMPLETE", t)]
        if len(done) < 3 or len({t.values[0] for t in done}) == 1:
            return {}
        target = (lambda t: t.values[0]) if self.rules.multi else None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.rules.seed)
        found = optuna.importance.get_param_importances(
            self._study, evaluator=evaluator, target=target
        )
        return {name: float(share) for name, share in found.items()}

    def front(self) -> list[int]:
        """Numbers of the trials that none beats in score and seconds both."""
        return sorted(_number(t) for t in self._study.best_trials) if self.rules.multi else []

    @cached_property
    def _study(self) -> Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        from optuna.study import StudyDirection

        best = [StudyDirection.MAXIMIZE]
        with self._lock:
            study = optuna.create_study(
                study_name=self.name,
                storage=self._opened,
                directions=[*best, StudyDirection.MINIMIZE] if self.rules.multi else best,
                load_if_exists=True,
            )
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial(dict(self.default), user_attrs={NUMBER: 0, DEFAULT: True})
        return study

    @cached_property
    def _opened(self) -> BaseStorage:
        from optuna.storages import JournalStorage, RDBStorage
        from optuna.storages.journal import JournalFileBackend

        if self.storage is not None:
            return RDBStorage(with_driver(self.storage))
        return JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))

    @cached_property
    def _lock(self) -> AbstractContextManager[Any]:
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        if self.storage is not None:
            need_driver(self.storage)
            return lock_on(self.storage, self.folder)
        return FileLock(self.folder / "study.lock")

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _next(self, trials: int) -> tuple[Attempt | None, bool]:
        """A trial to do, if one is left, and whether others are at theirs."""
        import optuna

        with self._lock:
            self._return_the_dead()
            known = self._trials()
            running = [t for t in known if _is("RUNNING", t)]
            if len(running) + sum(_is_over(t) for t in known) >= trials:
                return None, bool(running)
            mine = optuna.load_study(
                study_name=self.name,
                storage=self._opened,
                sampler=self._sampler(len(known)),
                pruner=self._pruner(),
            )
            trial = mine.ask()
            numbers = [_number(t) for t in known if NUMBER in t.user_attrs]
            number = trial.user_attrs.get(NUMBER, max(numbers) + 1)
            trial.set_user_attr(NUMBER, number)
            trial.set_user_attr(PROCESS, identity_of(psutil.Process(os.getpid())))
            trial.set_user_attr(SEEN, time.time())
            point = {
                name: trial.suggest_int(name, int(d.low), int(d.high))
                if d.whole
                else trial.suggest_float(name, d.low, d.high)
                for name, d in self.space.items()
            }
        default = trial.user_attrs.get(DEFAULT, False)
        return Attempt(number, point, default, trial, self.rules.multi), True

    def _finish(self, attempt: Attempt, objective: Objective) -> None:
        from optuna.trial import TrialState

        try:
            outcome = objective(attempt)
        except Refused as refused:
            attempt.trial.set_user_attr(REASON, str(refused))
            self._study.tell(attempt.trial, state=TrialState.PRUNED)
        except Exception as error:
            attempt.trial.set_user_attr(REASON, f"{type(error).__name__}: {error}"[:500])
            self._study.tell(attempt.trial, state=TrialState.FAIL)
            self._again(attempt.trial.user_attrs, attempt.point)
            raise
        else:
            multi = self.rules.multi
            attempt.trial.set_user_attr(SECONDS, outcome.seconds)
            values = [outcome.score, outcome.seconds] if multi else [outcome.score]
            self._study.tell(attempt.trial, values)

    def _return_the_dead(self) -> None:
        """Tell trials whose process has died as failed, and put their points in front."""
        from optuna.trial import TrialState

        for trial in self._trials():
            if _is("RUNNING", trial) and _has_died(trial):
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._again(trial.user_attrs, trial.params)

    def _again(self, facts: Mapping[str, Any], point: Mapping[str, float]) -> None:
        """Put a point in front, as the same trial."""
        marks = {name: facts[name] for name in (NUMBER, DEFAULT) if name in facts}
        self._study.enqueue_trial(dict(point), user_attrs=marks)

    def _sampler(self, count: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler, TPESampler

        seed = (self.rules.seed * 1_000_003 + count) % 2**32
        if self.rules.multi:
            return NSGAIISampler(population_size=max(4, self.rules.startup), seed=seed)
        return TPESampler(
            n_startup_trials=self.rules.startup, constant_liar=True, multivariate=True, seed=seed
        )

    def _pruner(self) -> BasePruner:
        from optuna.pruners import MedianPruner, NopPruner

        if self.rules.multi:
            return NopPruner()
        return MedianPruner(n_startup_trials=self.rules.startup)


def scored(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Those that came to their end, each with its score."""
    return [(row, row.score) for row in rows if row.score is not None]


def _row(trial: FrozenTrial) -> Row:
    done = _is("COMPLETE", trial)
    states = {"COMPLETE": "complete", "PRUNED": "stopped", "FAIL": "failed"}
    return Row(
        number=_number(trial),
        state=states.get(trial.state.name, trial.state.name.lower()),
        score=trial.values[0] if done else None,
        seconds=trial.user_attrs[SECONDS] if done else None,
        default=trial.user_attrs.get(DEFAULT, False),
        point=dict(trial.params),
        reason=trial.user_attrs.get(REASON, ""),
        reported={step: score for step, score in trial.intermediate_values.items()
                  if math.isfinite(score)},
        facts=trial.user_attrs.get(FACTS, {}),
    )  # fmt: skip


def _number(trial: FrozenTrial) -> int:
    """Ours, since Optuna counts every try."""
    return int(trial.user_attrs[NUMBER])


def _is(state: str, trial: FrozenTrial) -> bool:
    return bool(trial.state.name == state)


def _is_over(trial: FrozenTrial) -> bool:
    """Come to its end, or stopped for a reason of its own; one that failed is done again."""
    return _is("COMPLETE", trial) or _is("PRUNED", trial)


def _has_died(trial: FrozenTrial) -> bool:
    facts = trial.user_attrs
    if PROCESS in facts and has_died(facts[PROCESS]):
        return True
    elsewhere = PROCESS not in facts or not facts[PROCESS].startswith(f"{_host()}/")
    begun = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    return elsewhere and time.time() - facts.get(SEEN, begun) > LEASE_S


def _host() -> str:
    import socket

    return socket.gethostname()
