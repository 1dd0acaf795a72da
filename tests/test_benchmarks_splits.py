"""Splits put whole groups into one part: shown for every split of every benchmark."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest

from unisurg import benchmarks
from unisurg.benchmarks import BenchmarkError
from unisurg.benchmarks.base import (
    PARTS,
    ByCase,
    Findings,
    NamedSplit,
    Part,
    ShareSplit,
    StatedSplit,
    natural,
    split_cases,
)

SPLITS = [(name, split) for name, row in benchmarks.REGISTRY.items() for split in row.splits]
STRICT = Findings(Path("copy"))


def two_cases_per_group(name: str, split: str) -> tuple[dict[str, str], dict[str, Part]]:
    """Group and stated part of each case, of the groups that the split lists or of 40 others.

    A rule for single cases lists those, and the copy may state two parts for one group.
    """
    rule = benchmarks.find(name).splits[split]
    listed = rule.rule if isinstance(rule, ByCase) else rule
    names = [f"g{i}" for i in range(80 if isinstance(rule, ByCase) else 40)]
    if isinstance(listed, NamedSplit):
        names = [*listed.train, *listed.val, *listed.test]
    part_of = dict(zip(names, cycle(PARTS), strict=False))
    if isinstance(rule, ByCase):
        return {case: f"pair {i % (len(names) // 2)}" for i, case in enumerate(names)}, part_of
    cases = {f"{group}/{i}": group for group in names for i in range(2)}
    return cases, {case: part_of[group] for case, group in cases.items()}


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_no_group_is_in_two_parts_and_no_part_is_empty(name: str, split: str) -> None:
    rule = benchmarks.find(name).splits[split]
    groups, stated = two_cases_per_group(name, split)
    parts = split_cases(groups, rule, STRICT, stated)
    of_group = {(groups[case], part) for case, part in parts.items()}
    assert set(parts.values()) == set(PARTS)
    assert set(parts) == set(groups)
    torn = len(of_group) > len(set(groups.values()))
    assert torn == isinstance(rule, ByCase)
    assert split.startswith("leaky") == isinstance(rule, ByCase)


@pytest.mark.parametrize(
    ("name", "split"),
    [(n, s) for n, s in SPLITS if isinstance(benchmarks.find(n).splits[s], NamedSplit)],
)
def test_a_list_of_names_names_each_once(name: str, split: str) -> None:
    rule = benchmarks.find(name).splits[split]
    assert isinstance(rule, NamedSplit)
    names = [*rule.train, *rule.val, *rule.test]
    assert len(set(names)) == len(names)
    assert set(rule.may_lack) <= set(names)


@pytest.mark.parametrize("name", [n for n, row in benchmarks.REGISTRY.items() if row.counts])
def test_the_published_counts_are_of_a_split_and_of_the_classes_there_are(name: str) -> None:
    row = benchmarks.find(name)
    assert row.counts is not None
    assert row.counts.classes == len(row.classes) == len(set(row.classes))
    rule = row.splits[row.counts.split]
    if isinstance(rule, NamedSplit) and row.unit == "video":
        sizes = {"train": len(rule.train), "val": len(rule.val), "test": len(rule.test)}
        if "val" not in row.counts.cases:
            sizes["train"] += sizes.pop("val")
        assert dict(row.counts.cases) == sizes


@pytest.mark.parametrize("name", benchmarks.REGISTRY)
def test_a_probe_that_is_trained_again_has_a_test_list_of_its_own(name: str) -> None:
    for rule in benchmarks.find(name).splits.values():
        if isinstance(rule, NamedSplit) and rule.refit:
            assert not set(rule.test) & {*rule.train, *rule.val}


@pytest.mark.parametrize("count", [4, 6, 7, 24, 81])
def test_a_split_by_shares_partitions_any_number_of_groups(count: int) -> None:
    split = ShareSplit("test", train=1 / 2, val=1 / 6)
    parts = split.assign(dict.fromkeys(f"v{i}" for i in range(count)), STRICT)
    assert len(parts) == count
    assert set(parts.values()) == set(PARTS)


def test_too_few_cases_cannot_be_split() -> None:
    with pytest.raises(BenchmarkError, match="at least 4"):
        ShareSplit("test", train=1 / 2, val=1 / 6).assign({"a": None, "b": None}, STRICT)


def test_validation_from_train_takes_the_last_groups_of_train_and_no_test_group() -> None:
    stated: dict[str, Part | None] = {f"v{i}": "test" if i % 2 else "train" for i in range(20)}
    parts = StatedSplit("test", val=0.2).assign(stated, STRICT)
    assert [name for name, part in parts.items() if part == "val"] == ["v16", "v18"]
    assert Counter(parts.values()) == {"train": 8, "val": 2, "test": 10}


def test_files_that_state_two_parts_for_one_group_are_an_error() -> None:
    groups = {"a1": "a", "a2": "a", "b1": "b"}
    stated: dict[str, Part] = {"a1": "train", "a2": "test", "b1": "test"}
    with pytest.raises(BenchmarkError, match="a is in train and in test"):
        split_cases(groups, StatedSplit("test"), STRICT, stated)


def test_a_missing_name_is_an_error_unless_the_owners_themselves_lack_it() -> None:
    split = NamedSplit("test", ("a", "b"), ("c",), ("d",), may_lack=("b",))
    findings = Findings(Path("copy"))
    assert split.assign(dict.fromkeys("acd"), findings) == {"a": "train", "c": "val", "d": "test"}
    assert [found.severity for found in findings.found] == ["warning"]
    assert findings.missing == ["b"]
    with pytest.raises(BenchmarkError, match="2 of the split's 4 cases are missing: b, c"):
        split.assign(dict.fromkeys("ad"), findings)


def test_numbers_sort_as_numbers() -> None:
    assert sorted(["video10", "video2", "b", "1"], key=natural) == ["1", "b", "video2", "video10"]
