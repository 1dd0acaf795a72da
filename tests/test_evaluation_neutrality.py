"""The rule by which `fast` may stand in for `dense`, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unisurg import settings as settings_module
from unisurg.evaluation import neutrality, statistics
from unisurg.evaluation.neutrality import NeutralityError, Pair, judge, lean, measure
from unisurg.evaluation.statistics import Estimate
from unisurg.settings import Settings
from unisurg.stages import neutrality as stage


@pytest.fixture(scope="module")
def settings() -> Settings:
    return settings_module.load(Path(__file__).parent.parent / "params.yaml")


def pair(
    encoder: str, dense: float, fast: float, main: tuple[float, float], benchmark: str = "a"
) -> Pair:
    """Accuracies whose interval under `dense` is 0.1 wide, so that half of it is 0.05."""
    return Pair(
        benchmark,
        encoder,
        Estimate(dense, dense - 0.04, dense + 0.06, (dense,)),
        Estimate(fast, fast - 0.3, fast + 0.3, (fast,)),
        *main,
    )


def three(benchmark: str) -> list[Pair]:
    """Accuracies 0.04 apart at most, rankings p > t > r under both."""
    return [
        pair("p", 0.60, 0.56, (0.5, 0.4), benchmark),
        pair("r", 0.40, 0.42, (0.2, 0.1), benchmark),
        pair("t", 0.50, 0.50, (0.3, 0.3), benchmark),
    ]


def test_fast_may_stand_in_where_rankings_agree_and_accuracies_are_close() -> None:
    verdict = judge([*three("a"), *three("b")])
    assert verdict.neutral
    assert [ranking.dense for ranking in verdict.rankings] == [("p", "t", "r")] * 2
    assert [round(p.half_width, 9) for p in verdict.pairs] == [0.05] * 6


def test_another_ranking_on_one_benchmark_breaks_the_rule() -> None:
    swapped = [pair("p", 0.60, 0.60, (0.5, 0.29), "b"), *three("b")[1:]]
    verdict = judge([*three("a"), *swapped])
    assert [ranking.same for ranking in verdict.rankings] == [True, False]
    assert verdict.rankings[1].fast == ("t", "p", "r")
    assert all(p.close for p in verdict.pairs)
    assert not verdict.neutral


@pytest.mark.parametrize(("fast", "close"), [(0.551, True), (0.549, False), (0.651, False)])
def test_accuracy_may_differ_by_less_than_half_the_interval_of_dense(
    fast: float, close: bool
) -> None:
    found = [pair("p", 0.60, fast, (0.5, 0.4), "b"), *three("b")[1:]]
    verdict = judge([*three("a"), *found])
    assert verdict.pairs[3].close is close
    assert verdict.neutral is close


def test_the_rule_needs_two_benchmarks_and_three_encoders() -> None:
    with pytest.raises(NeutralityError, match="1 benchmarks; the rule needs 2"):
        judge(three("a"))
    with pytest.raises(NeutralityError, match="b: 2 encoders; the rule needs 3"):
        judge([*three("a"), *three("b")[:2]])


def test_the_verdict_is_printed_with_every_part_of_the_rule() -> None:
    text = stage.as_text(judge([*three("a"), *three("b")]))
    assert "fast may stand in for dense for development on a and b" in text
    assert "a: (a) ranking the same: dense p > t > r; fast p > t > r" in text
    assert "60.0" in text
    broken = [pair("p", 0.60, 0.50, (0.5, 0.4), "b"), *three("b")[1:]]
    text = stage.as_text(judge([*three("a"), *broken]))
    assert "fast may not stand in" in text
    assert text.count("broken") == 1


def test_both_protocols_get_the_same_probe_and_nothing_else_is_measured(
    settings: Settings,
) -> None:
    dense, fast = (lean(settings, protocol, {}) for protocol in neutrality.PROTOCOLS)
    assert dense.probe == fast.probe
    assert (dense.features.protocol, fast.features.protocol) == ("dense", "fast")
    assert (dense.probe.kinds, len(dense.probe.seeds)) == (("attentive",), 1)
    assert (dense.probe.lr, dense.probe.halving) == (settings.probe.lr, settings.probe.halving)


def test_measuring_extracts_and_probes_each_benchmark_once_per_protocol(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted = []
    rng = np.random.default_rng(0)
    tables = {
        (protocol, encoder): rng.random((6, 1))
        for protocol in neutrality.PROTOCOLS
        for encoder in ("pretrained", "random", "frames-untrained")
    }

    def extract(name: str, of: Settings, encoder: Path, output: Path, scratch: Path) -> None:
        extracted.append((name, of.features.protocol, *of.baselines))

    def run(name: str, of: Settings, **paths: Any) -> dict[str, str]:
        arrays = {
            f"{encoder}/{of.probe.seeds[0]}/{metric}": tables[of.features.protocol, encoder]
            for encoder in ("pretrained", "random", "frames-untrained")
            for metric in (neutrality.ACCURACY, "f1")
        }
        paths["output"].mkdir(parents=True)
        np.savez(paths["output"] / "tables.npz", **arrays)
        return {"main": "f1"}

    monkeypatch.setattr(neutrality.features, "extract", extract)
    monkeypatch.setattr(neutrality.probe, "run", run)
    names = ["cholec80", "autolaparo"]
    pairs = measure(names, settings, tmp_path / "encoder", tmp_path)
    assert extracted == [
        (name, protocol, "frames-untrained") for name in names for protocol in ("dense", "fast")
    ]
    assert len(pairs) == 6
    assert pairs[0].dense.mean == statistics.value(tables["dense", "pretrained"])
    assert pairs[0].fast_main == statistics.value(tables["fast", "pretrained"])
    facts = json.loads(json.dumps(stage.as_facts(judge(pairs))))
    assert facts["pairs"][0]["half_width"] == pairs[0].half_width


def test_clips_and_pictures_have_one_protocol_only(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NeutralityError, match="polypdiag: its cases are no videos"):
        measure(["cholec80", "polypdiag"], settings, tmp_path, tmp_path)
    with pytest.raises(NeutralityError, match="no benchmark 'elsewhere'"):
        measure(["cholec80", "elsewhere"], settings, tmp_path, tmp_path)
