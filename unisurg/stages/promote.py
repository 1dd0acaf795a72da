"""The registry for people and flows: promote or refuse, roll back, list the versions."""

from __future__ import annotations

from pathlib import Path

from unisurg import lineage
from unisurg.promotion.promote import as_json
from unisurg.promotion.promote import promote as decide
from unisurg.registry import BEFORE, MEASURED, NOBODY, PROMOTED, ROLLED_BACK, Registry, Version
from unisurg.settings import Settings
from unisurg.stages import aligned
from unisurg.tracking import COMMIT, DIRTY

HEADINGS = ("version", "aliases", "registered", "commit", "promoted", "instead of", "rolled back")


def promote(settings: Settings, output: Path | None) -> None:
    """Decide, act, and say so; the decision goes to `output` as JSON, and beside it as a page."""
    decision = decide(lineage.repository_root(), settings)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(as_json(decision), encoding="utf-8")
        output.with_suffix(".md").write_text(decision.markdown(), encoding="utf-8")
    print("\n".join([f"promote: {decision.headline()}", *map("  {}".format, decision.reasons)]))


def rollback(settings: Settings) -> None:
    registry = Registry.open(settings, lineage.repository_root())
    gone, back = registry.roll_back()
    print(f"rollback: {registry.name} version {back.number} is champion again, after {gone.number}")


def models(settings: Settings) -> None:
    registry = Registry.open(settings, lineage.repository_root())
    versions = registry.versions()
    if not versions:
        print(f"models: none of {registry.name} yet; `unisurg promote` registers the first")
        return
    measured = sorted({tag for one in versions for tag in one.tags if tag.startswith(MEASURED)})
    names = [tag.removeprefix(MEASURED) for tag in measured]
    rows = [_row(one, measured) for one in versions]
    print(aligned([(*HEADINGS, *names), *rows]))


def _row(one: Version, measured: list[str]) -> tuple[str, ...]:
    before = one.tags.get(BEFORE, "-")
    return (
        str(one.number),
        ", ".join(one.aliases) or "-",
        one.made.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00"),
        one.tags[COMMIT][:8] + (" dirty" if one.tags[DIRTY] == "true" else ""),
        one.tags.get(PROMOTED, "-").removesuffix("+00:00").replace("T", " ")[:16],
        "nobody" if before == NOBODY else before,
        one.tags.get(ROLLED_BACK, "-").removesuffix("+00:00").replace("T", " ")[:16],
        *(one.tags.get(tag, "-") for tag in measured),
    )
