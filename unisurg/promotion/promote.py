"""Register what the checkout holds, hold it against the champion, and act on what is found."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from unisurg import lineage
from unisurg.chain import Records
from unisurg.evaluation.reported import ReportedError
from unisurg.promotion import evidence, gate
from unisurg.promotion.clean import unclean
from unisurg.promotion.decision import Decision
from unisurg.promotion.evidence import PACKAGE, Measured
from unisurg.promotion.gate import Row
from unisurg.registry import CHAMPION, EVIDENCE, ROLLED_BACK, Registry, Version
from unisurg.settings import Settings

DATA, PAGE = "decision.json", "decision.md"


class PromotionError(RuntimeError):
    """There is nothing to promote; the message says what makes it."""


def promote(root: Path, settings: Settings) -> Decision:
    """Decide whether the model of the repository at `root` becomes champion, and make it so.

    The decision is kept with the version, as `decision.json` and `decision.md`.

    Raises:
        PromotionError: tracking is off, or there is no packaged model.
        ReportedError: a benchmark of the gate has no results.
        RegistryError: another version has become champion meanwhile.
    """
    if not settings.tracking.enabled:
        raise PromotionError("tracking.enabled is false: there is no registry without tracking")
    if not (root / PACKAGE).is_dir():
        raise PromotionError(f"{PACKAGE}: no such folder; `dvc repro package` makes it")
    registry = Registry.open(settings, root)
    with tempfile.TemporaryDirectory(prefix="unisurg-promote-") as scratch:
        version = _register(registry, root, settings, Path(scratch) / "ours")
        champion = registry.aliased(CHAMPION)
        decision = _decide(registry, version, champion, root, settings, Path(scratch) / "theirs")
        if decision.promoted:
            registry.crown(version, champion, decision.commit)
        _keep(registry, version, decision, Path(scratch))
    return decision


def _register(registry: Registry, root: Path, settings: Settings, scratch: Path) -> Version:
    benchmarks = settings.promotion.benchmarks
    found = {name: evidence.measured(root, name).results for name in benchmarks}
    means = {name: results.pretrained[results.main].mean for name, results in found.items()}
    evidence.copy(root, scratch)
    return registry.register(root / PACKAGE, scratch, means, root)


def _decide(
    registry: Registry,
    version: Version,
    champion: Version | None,
    root: Path,
    settings: Settings,
    scratch: Path,
) -> Decision:
    rows: tuple[Row, ...] = ()
    if champion is not None and champion.number == version.number:
        against = [f"Version {version.number} is champion already, and nothing has changed since."]
    else:
        rows = _rows(registry, champion, root, settings, scratch)
        against = _objections(registry, version, champion, rows, root, settings)
    return Decision(
        promoted=not against,
        reasons=tuple(against or [row.sentence for row in rows]),
        benchmarks=rows,
        champion_version=champion.number if champion else None,
        challenger_version=version.number,
        model=registry.name,
        margin=settings.promotion.margin,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=lineage.commit(root),
    )


def _rows(
    registry: Registry, champion: Version | None, root: Path, settings: Settings, scratch: Path
) -> tuple[Row, ...]:
    ours = {name: evidence.measured(root, name) for name in settings.promotion.benchmarks}
    if champion is None:
        return tuple(gate.alone(name, found) for name, found in ours.items())
    scratch.mkdir()
    theirs = registry.fetch(champion, EVIDENCE, scratch)
    return tuple(_row(name, champion, theirs, found, settings) for name, found in ours.items())


def _row(name: str, champion: Version, theirs: Path, found: Measured, settings: Settings) -> Row:
    try:
        before = evidence.measured(theirs, name)
    except ReportedError:
        return gate.unmeasured(name, f"champion, version {champion.number},", found)
    rules = settings.promotion.margin, settings.probe.bootstrap, settings.seed
    return gate.against(name, before, found, *rules)


def _objections(
    registry: Registry,
    version: Version,
    champion: Version | None,
    rows: tuple[Row, ...],
    root: Path,
    settings: Settings,
) -> list[str]:
    """All that speaks against the version."""
    found = gate.objections(rows) if champion is not None else []
    records = Records(root, root, registry.store)
    found += unclean(records, settings.promotion.benchmarks, settings.leaks.require)
    if lineage.dirty(root) is not False:
        found.append("The checkout has uncommitted changes, and its code goes with the model.")
    if when := version.tags.get(ROLLED_BACK):
        found.append(f"Version {version.number} was champion, and was rolled back at {when}.")
    return found


def _keep(registry: Registry, version: Version, decision: Decision, scratch: Path) -> None:
    (scratch / DATA).write_text(as_json(decision), encoding="utf-8")
    (scratch / PAGE).write_text(decision.markdown(), encoding="utf-8")
    for name in (DATA, PAGE):
        registry.attach(version, scratch / name)


def as_json(decision: Decision) -> str:
    return json.dumps(decision.as_dict(), indent=1) + "\n"
