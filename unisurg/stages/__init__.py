"""Thin: read settings and files, call the library, write files; one module per stage."""

from pathlib import Path

ARTIFACTS = Path("artifacts")


def identity_path(stage: str, output: Path) -> Path:
    """Where to write which MLflow run made `output`: with those of the graph, or beside it.

    For the graph it is an output itself, so that DVC restores the right run with the artefact; a
    call on somebody's own folders leaves the graph's alone.
    """
    name = f"{stage.replace('@', '-')}.run.json"
    if output.is_relative_to(ARTIFACTS):
        return ARTIFACTS / "runs" / name
    return output.with_name(f"{output.name}.{name}")
