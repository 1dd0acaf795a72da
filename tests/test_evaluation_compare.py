"""Encoders side by side: the numbers are the probe's own, and every difference is paired."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from report_inputs import head_facts, write_tuned

from unisurg import cli
from unisurg import settings as settings_module
from unisurg.evaluation import statistics
from unisurg.evaluation.compare import CompareError, compare, from_tables, negated
from unisurg.evaluation.reported import ReportedError
from unisurg.evaluation.statistics import Estimate
from unisurg.settings import Settings
from unisurg.stages import compare as stage

MAIN, OTHER, CASES, SEEDS = "f1_macro_over_clips", "mae", 9, (0, 1, 2)
ENCODERS = ("pretrained", "random", "frames-untrained")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return settings_module.load(Path(__file__).parent.parent / "params.yaml")


@pytest.fixture(scope="module")
def tables() -> dict[tuple[str, int, str], np.ndarray]:
    """Tables of means, and of parts and wholes, of three encoders that differ a little."""
    rng = np.random.default_rng(5)
    found: dict[tuple[str, int, str], np.ndarray] = {}
    for shift, encoder in zip((0.3, 0.1, 0.2), ENCODERS, strict=True):
        for seed in SEEDS:
            right = rng.binomial(20, 0.3 + shift, (CASES, 2))
            found[encoder, seed, MAIN] = np.stack([right, np.full_like(right, 20)], 2).astype(float)
            found[encoder, seed, OTHER] = rng.random((CASES, 1)) + shift
    return found


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Settings,
    tables: dict[tuple[str, int, str], np.ndarray],
) -> Path:
    """What a probe leaves of PolypDiag, with estimates that `statistics` made of the tables."""
    root = tmp_path_factory.mktemp("root")
    draws = statistics.draw_cases(CASES, settings.probe.bootstrap, settings.seed)

    def of(encoder: str, metric: str) -> list[np.ndarray]:
        return [tables[encoder, seed, metric] for seed in SEEDS]

    def measures(encoder: str) -> dict[str, object]:
        return {m: statistics.estimate(of(encoder, m), draws).as_dict() for m in (MAIN, OTHER)}

    def against(encoder: str) -> dict[str, object]:
        return {
            m: statistics.difference(of("pretrained", m), of(encoder, m), draws).as_dict()
            for m in (MAIN, OTHER)
        }

    facts = {
        "benchmark": "polypdiag", "task": "action", "split": "official", "protocol": "dense",
        "window": "causal", "lookahead_s": 0.0, "frames": 16, "fps": 4.0, "kind": "attentive",
        "cases": {"train": 20, "val": 5, "test": CASES}, "clips": {}, "unit": "clip", "main": MAIN,
        "pretrained": measures("pretrained"), "random": measures("random"),
        "difference": against("random"),
        "baselines": {
            "frames-untrained": {
                "metrics": measures("frames-untrained"), "difference": against("frames-untrained"),
            }
        },
        "kinds": {"linear": head_facts([MAIN], (0.5, 0.6), {})},
    }  # fmt: skip
    (root / "metrics").mkdir()
    (root / "metrics/polypdiag.json").write_text(json.dumps(facts))
    arrays = {f"{encoder}/{seed}/{metric}": table for (encoder, seed, metric), table in
              tables.items()}  # fmt: skip
    folder = root / "artifacts/probe/polypdiag"
    folder.mkdir(parents=True)
    names = np.array([f"c{i}" for i in range(CASES)])
    np.savez(folder / "tables.npz", cases=names, groups=names, **arrays)
    return root


@pytest.mark.parametrize("metric", [MAIN, OTHER])
def test_the_numbers_are_those_that_the_probe_wrote(
    root: Path, settings: Settings, metric: str
) -> None:
    facts = json.loads((root / "metrics/polypdiag.json").read_text())
    ours, random, frames = compare(root, "polypdiag", settings, metric).rows
    assert [row.encoder for row in (ours, random, frames)] == list(ENCODERS)
    assert ours.estimate.as_dict() == facts["pretrained"][metric]
    assert ours.difference is None
    baseline = facts["baselines"]["frames-untrained"]
    for row, facts_of in ((random, facts["difference"]), (frames, baseline["difference"])):
        written = facts_of[metric]
        assert row.difference is not None
        assert row.difference.mean == pytest.approx(-written["mean"], abs=1e-12)
        assert (row.difference.low, row.difference.high) == pytest.approx(
            (-written["high"], -written["low"]), abs=1e-12
        )


def test_any_encoder_can_be_the_reference_and_the_view_turns_around(
    root: Path, settings: Settings
) -> None:
    from_ours = {row.encoder: row for row in compare(root, "polypdiag", settings).rows}
    reference, *others = compare(root, "polypdiag", settings, reference="random").rows
    assert (reference.encoder, reference.difference) == ("random", None)
    [ours] = [row for row in others if row.encoder == "pretrained"]
    turned = negated(from_ours["random"].difference)
    assert turned is not None
    assert ours.difference is not None
    assert ours.difference.mean == pytest.approx(turned.mean)
    assert ours.difference.low == pytest.approx(turned.low)


def test_seeds_ahead_are_counted_and_a_lower_error_is_ahead(root: Path, settings: Settings) -> None:
    rows = compare(root, "polypdiag", settings, OTHER).rows
    for row in rows[1:]:
        assert row.difference is not None
        assert row.ahead == sum(seed < 0 for seed in row.difference.seeds)
    rows = compare(root, "polypdiag", settings, MAIN).rows
    for row in rows[1:]:
        assert row.difference is not None
        assert row.ahead == sum(seed > 0 for seed in row.difference.seeds)


def test_another_kind_of_head_gives_what_was_written_of_it(root: Path, settings: Settings) -> None:
    side = compare(root, "polypdiag", settings, kind="linear")
    ours, random = side.rows
    assert (side.kind, ours.estimate.mean, random.estimate.mean) == ("linear", 0.5, 0.6)
    assert random.difference is not None
    assert random.difference.mean == pytest.approx(0.1)
    assert random.ahead == 3


def test_pictures_of_one_sequence_are_drawn_together_as_by_the_probe(settings: Settings) -> None:
    tables = {"pretrained": {0: np.arange(6.0)[:, None]}, "random": {0: np.ones((6, 1))}}
    groups = ["a", "a", "a", "b", "c", "c"]
    ours, _ = from_tables(tables, groups, MAIN, "pretrained", settings)
    draws = statistics.draw_groups(groups, settings.probe.bootstrap, settings.seed)
    assert ours.estimate == statistics.estimate([tables["pretrained"][0]], draws)
    apart, _ = from_tables(tables, [*"abcdef"], MAIN, "pretrained", settings)
    assert apart.estimate.high < ours.estimate.high


def test_a_seed_without_a_number_is_none_in_the_file_and_counts_on_no_side(
    settings: Settings,
) -> None:
    nothing, some = np.full((3, 1), np.nan), np.array([[0.1], [0.2], [0.3]])
    tables = {
        "pretrained": {0: some, 1: nothing, 2: some + 0.3},
        "random": {0: some - 0.1, 1: some, 2: some + 0.1},
        "other": {0: nothing, 1: some, 2: nothing},
        "constant": {0: nothing, 1: nothing, 2: nothing},
    }
    ours, random, other = from_tables(tables, [*"abc"], MAIN, "pretrained", settings)
    assert ours.as_dict()["estimate"]["seeds"] == [pytest.approx(0.2), None, pytest.approx(0.5)]
    assert random.difference is not None
    assert random.difference.mean == pytest.approx(-0.15)
    assert random.ahead == 0
    assert (other.difference, other.ahead) == (None, None)
    with pytest.raises(CompareError, match="no encoder 'constant'; there are: pretrained, random"):
        from_tables(tables, [*"abc"], MAIN, "constant", settings)


def test_negating_swaps_the_bounds() -> None:
    assert negated(Estimate(0.1, -0.2, 0.3, (0.1, 0.0))) == Estimate(-0.1, -0.3, 0.2, (-0.1, -0.0))
    assert negated(None) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metric": "f1"}, "no metric 'f1'; there are: f1_macro"),
        ({"kind": "temporal"}, "no kind of head 'temporal'; there are: attentive, linear"),
        ({"reference": "dino"}, "no encoder 'dino'; there are: pretrained, random, frames"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_what_is(
    root: Path, settings: Settings, asked: dict[str, str], said: str
) -> None:
    with pytest.raises(CompareError, match=said):
        compare(root, "polypdiag", settings, **asked)


def test_missing_files_are_errors_with_the_command_that_makes_them(
    root: Path, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ReportedError, match=r"polypdiag.json.*dvc repro probe@polypdiag"):
        compare(tmp_path, "polypdiag", settings)
    (tmp_path / "metrics").mkdir()
    whole = (root / "metrics/polypdiag.json").read_text()
    (tmp_path / "metrics/polypdiag.json").write_text(whole)
    with pytest.raises(ReportedError, match=r"tables.npz: no such file; .dvc repro probe@polyp"):
        compare(tmp_path, "polypdiag", settings)
    with pytest.raises(CompareError, match="no benchmark 'nowhere'; there are: cholec80"):
        compare(tmp_path, "nowhere", settings)


def test_fine_tuned_encoders_are_shown_and_marked(
    root: Path, settings: Settings, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    assert not any(row.tuned for row in compare(tmp_path, "polypdiag", settings).rows)
    write_tuned(tmp_path, "polypdiag")
    side = compare(tmp_path, "polypdiag", settings)
    tuned = [row for row in side.rows if row.tuned]
    assert [(row.encoder, row.estimate.mean) for row in tuned] == [
        ("pretrained", 0.66), ("random", 0.5),
    ]  # fmt: skip
    assert tuned[1].difference is not None
    assert tuned[1].difference.mean == pytest.approx(-0.16)
    assert "pretrained, fine-tuned" in stage.table(side)


def test_the_command_prints_a_table_a_line_or_json(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = str(Path(__file__).resolve().parent.parent / "params.yaml")
    monkeypatch.chdir(root)
    assert cli.main(["compare", "--params", params, "--benchmark", "polypdiag"]) == 0
    table = capsys.readouterr().out
    assert table.startswith(f"polypdiag, {MAIN}, attentive head; split official, 9 test clips;")
    assert "minus pretrained" in table
    assert cli.main(["compare", "--params", params]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert cli.main(["compare", "--params", params, "--json", "--benchmark", "polypdiag"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["encoder"] for row in facts["rows"]] == list(ENCODERS)
    assert cli.main(["compare", "--params", params, "--metric", "none"]) == 1
    assert "polypdiag is left out: no metric 'none'" in capsys.readouterr().err
