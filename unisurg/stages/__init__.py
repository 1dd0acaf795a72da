"""Thin: read settings and files, call the library, write files; one module per stage."""

from pathlib import Path

# Which MLflow run made each stage's outputs; an output itself, so that DVC restores the right one.
RUNS = Path("artifacts/runs")
