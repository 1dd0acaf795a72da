"""What is told of the draws is what training draws, in both stages and with a cap on them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pretrain_corpus import VIDEOS, write_corpus

from unisurg.cli import main
from unisurg.corpus.balancing import REPETITION, REPETITION_LONG, balance
from unisurg.corpus.manifest import write_manifest
from unisurg.corpus.repetition import TooFewClips
from unisurg.pretrain.data import Batches
from unisurg.settings import Pretrain, Settings

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of alpha; 14 and 3 of beta."""
    return write_corpus(tmp_path_factory.mktemp("balancing") / "corpus")


def section(settings: Settings, **fields: object) -> Pretrain:
    small = {"frames": FRAMES, "size_px": 48, "batch": 100, "steps": 500}
    return settings.pretrain.model_copy(update=small | fields)


def told(folder: Path, name: str = REPETITION) -> pd.DataFrame:
    return pd.read_csv(folder / name).set_index("source")


def drawn(corpus: Path, wanted: Pretrain) -> Counter[str]:
    """How often training takes each video, in all of its steps."""
    batches = Batches(corpus, wanted, seed=0)
    return Counter(
        sample.video_id for step in range(wanted.steps) for sample in batches._samples(step)
    )


def test_both_stages_are_told_by_their_own_draws(
    corpus: Path, settings: Settings, tmp_path: Path
) -> None:
    first, second = section(settings), section(settings, frames=2, steps=10, batch=3)
    balance(corpus, tmp_path, first, second)
    for name, stage in ((REPETITION, first), (REPETITION_LONG, second)):
        table = told(tmp_path, name)
        assert list(table.columns) == ["specialty", "clips", "share", "passes"]
        assert table["share"].to_dict() == {"alpha": 0.5, "beta": 0.5}
        assert table["clips"].to_dict() == {"alpha": 20 / stage.frames, "beta": 17 / stage.frames}
        draws = stage.steps * stage.batch
        assert (table["passes"] * table["clips"]).tolist() == pytest.approx(
            [draws / 2] * 2, rel=1e-4
        )


@pytest.mark.parametrize("share", [None, 0.47])
def test_training_draws_what_was_told_with_a_cap_and_without(
    corpus: Path, settings: Settings, tmp_path: Path, share: float | None
) -> None:
    plain = section(settings)
    draws = plain.steps * plain.batch
    cap = None if share is None else share * draws / (17 / FRAMES)
    wanted = section(settings, cap_passes=cap)
    balance(corpus, tmp_path, wanted, wanted)
    table = told(tmp_path)
    assert table.loc["beta", "share"] == pytest.approx(0.5 if share is None else share)
    counts = drawn(corpus, wanted)
    seen = Counter({name: 0 for name, _ in VIDEOS.values()})
    for video, count in counts.items():
        seen[VIDEOS[video][0]] += count
    for source, row in table.iterrows():
        off = 4 * math.sqrt(row["share"] * (1 - row["share"]) / draws)
        assert seen[str(source)] / draws == pytest.approx(row["share"], abs=off)
    if cap is not None:
        assert table["passes"]["beta"] == pytest.approx(cap, rel=1e-5)


def test_a_piece_shorter_than_a_clip_counts_as_the_share_of_one_that_it_fills(
    corpus: Path, settings: Settings
) -> None:
    counts = drawn(corpus, section(settings))
    expected = (3 / FRAMES) / (14 - FRAMES + 1)
    assert counts["short"] / counts["south"] == pytest.approx(expected, rel=0.1)


def test_a_cap_that_allows_too_few_clips_is_refused_before_training_with_the_remedy(
    corpus: Path, settings: Settings, tmp_path: Path
) -> None:
    wanted = section(settings, cap_passes=10.0)
    remedy = r"allow 5406 passes \(pretrain\.cap_passes\) or draw 92 clips"
    with pytest.raises(TooFewClips, match=remedy):
        balance(corpus, tmp_path, wanted, wanted)
    with pytest.raises(TooFewClips, match=remedy):
        Batches(corpus, wanted, seed=0)


def test_of_a_corpus_without_a_clip_nothing_is_told(settings: Settings, tmp_path: Path) -> None:
    write_manifest(tmp_path, [])
    balance(tmp_path, tmp_path / "out", section(settings), section(settings))
    assert told(tmp_path / "out").empty


def test_the_verb_warns_of_a_data_set_that_is_drawn_often(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["tracking"]["enabled"] = False
    params["repetition"]["most_passes"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    options = ["--input", str(corpus), "--output", str(tmp_path / "balance")]
    assert main(["balance", *options, "--params", str(tmp_path / "params.yaml")]) == 0
    said = capsys.readouterr().out
    assert "balance: repetition.csv: drawn often: beta (general_surgery): " in said
    assert "balance: repetition_long.csv: drawn often: " in said
    assert "set pretrain.cap_passes, or draw less" in said
    assert (tmp_path / "balance.balance.run.json").is_file()
    assert set(told(tmp_path / "balance").index) == {"alpha", "beta"}
