"""Thin: read settings and files, call the library, write files; one module per stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unisurg.attempts import IDENTITIES, identity_name

COMPARED = ("pretrained", "random", "difference")
ARTIFACTS = Path("artifacts")
SCRATCH = Path(".scratch/curate")
"""Finished work on single recordings; DVC deletes a stage's outputs before it runs."""


def identity_path(stage: str, output: Path) -> Path:
    """Where to write which MLflow run made `output`: with those of the graph, or beside it.

    For the graph it is an output itself, so that DVC restores the right run with the artefact; a
    call on somebody's own folders leaves the graph's alone.
    """
    name = identity_name(stage)
    if output.is_relative_to(ARTIFACTS):
        return IDENTITIES / name
    return output.with_name(f"{output.name}.{name}")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text: every column as wide as its widest cell."""
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in rows
    )


def tested_numbers(results: dict[str, Any]) -> dict[str, float]:
    """Every test metric of the main kind of head by its full name, as in `test/pretrained/f1.low`.

    Of baselines and of the other kinds of heads the main metric alone, as in
    `test/linear/pretrained/f1.low`.

    Args:
        results: the content of metrics/NAME.json, or of metrics/finetune/NAME.json.
    """
    main = results["main"]
    rows = {
        f"test/{encoder}/{metric}": values
        for encoder in COMPARED
        for metric, values in results.get(encoder, {}).items()
    }
    for name, baseline in results.get("baselines", {}).items():
        rows[f"test/{name}/{main}"] = baseline["metrics"][main]
    for kind, of_kind in results.get("kinds", {}).items():
        for encoder in COMPARED:
            if encoder in of_kind:
                rows[f"test/{kind}/{encoder}/{main}"] = of_kind[encoder][main]
    return {
        f"{name}.{bound}": values[bound]
        for name, values in rows.items()
        for bound in ("mean", "low", "high")
    }
