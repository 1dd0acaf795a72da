"""The manifest of a corpus -> how often pretraining will see each data set, told before it starts.

`repetition.csv` is of stage 1, `repetition_long.csv` of stage 2. A row is a data set of a
specialty: `clips` it holds, `share` of the draws it gets (its weight, 0..1), and `passes`, how
often each of its clips is drawn. The stage `balance` writes them to `artifacts/balance`,
`unisurg curate` to `evidence/balance` of its output.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from unisurg.corpus.manifest import read_manifest
from unisurg.corpus.repetition import Passes, draw_weights, repetition
from unisurg.settings import Pretrain

FOLDER = "balance"
REPETITION, REPETITION_LONG = "repetition.csv", "repetition_long.csv"


def balance(
    corpus: Path, output: Path, first: Pretrain, second: Pretrain
) -> dict[str, list[Passes]]:
    """Write what the draws of both stages of pretraining do to a corpus; by name of file.

    Raises:
        ManifestError: no corpus.
        TooFewClips: `pretrain.cap_passes` leaves fewer clips than are drawn.
    """
    output.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(corpus)
    told = {REPETITION: _passes(manifest, first), REPETITION_LONG: _passes(manifest, second)}
    columns = [field.name for field in fields(Passes)]
    for name, passes in told.items():
        table = pd.DataFrame([asdict(one) for one in passes], columns=columns)
        table.to_csv(output / name, index=False, lineterminator="\n", float_format="%.6g")
    return told


def _passes(manifest: pd.DataFrame, pretrain: Pretrain) -> list[Passes]:
    if manifest.empty:
        return []
    sources, specialties = manifest["source"].tolist(), manifest["specialty"].tolist()
    n_frames = manifest["n_frames"].to_numpy()
    draws = pretrain.steps * pretrain.batch
    weights = draw_weights(
        sources, specialties, n_frames, pretrain.frames, draws, pretrain.cap_passes
    )
    return repetition(sources, specialties, n_frames / pretrain.frames, draws, weights)
