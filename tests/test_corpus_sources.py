"""The file of sources: what it says, what it does not know, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from unisurg.benchmarks import REGISTRY
from unisurg.corpus.sources import Region, SourcesError, Specialty, load, load_paper
from unisurg.stages.sources import list_sources
from unisurg.synthetic.layouts.corpus import CYCLE

HOSPITAL = {
    "title": "Our hospital",
    "specialty": "urology",
    "region": "urinary_tract",
    "licence": None,
    "access": "private",
    "videos": None,
    "hours": None,
    "deid_by_provider": None,
    "reference": "the data steward",
    "checked": "2026-11-26",
}


def write(folder: Path, name: str = "our-hospital", **fields: Any) -> Path:
    """A file with one source; a field that is given as `...` is left out."""
    row = {key: value for key, value in {**HOSPITAL, **fields}.items() if value is not ...}
    path = folder / "ours.yaml"
    path.write_text(yaml.safe_dump({"sources": {name: row}}))
    return path


def test_26_of_the_papers_50_sources_are_established_and_no_more():
    established = [source for source in load().values() if source.in_paper]
    assert len(established) == 26
    assert (load_paper().sources, load_paper().hours) == (50, 3658)


def test_specialties_are_the_papers_twelve_and_others_and_regions_are_13_and_several():
    assert len(set(get_args(Specialty)) - {"other"}) == 12
    assert len(set(get_args(Region)) - {"several"}) == 13


def test_a_size_is_stated_with_whoever_counted_it():
    for source in load().values():
        assert source.size_from or (source.videos is None and source.hours is None), source.id


def test_parts_that_sources_hold_are_parts_of_benchmarks():
    for source in load().values():
        for holding in source.holds:
            benchmark, split, _ = holding.split("/")
            assert split in REGISTRY[benchmark].splits, holding
            assert source.dataset == benchmark


def test_every_benchmark_of_video_is_held_by_a_source():
    held = {holding.split("/")[0] for source in load().values() for holding in source.holds}
    pictures = {name for name, row in REGISTRY.items() if row.unit == "picture"}
    assert held == set(REGISTRY) - pictures


def test_the_embedded_sources_and_no_others_are_rendered():
    assert {source.id for source in load().values() if source.rendered} == set(CYCLE)


def test_what_is_not_known_is_listed_and_never_taken_for_a_yes(tmp_path):
    ours = load(extra=write(tmp_path))["our-hospital"]
    assert ours.unknown == ("licence", "videos", "hours", "deid_by_provider")
    assert ours.keep_fps is None
    assert not ours.overlays
    assert not ours.in_paper


def test_a_file_of_ones_own_adds_its_sources_to_ours(tmp_path):
    path = write(tmp_path, overlays=[[0.7, 0.0, 0.3, 0.1]], keep_fps=0.5)
    found = load(extra=path)
    assert set(found) == set(load()) | {"our-hospital"}
    assert found["our-hospital"].overlays == ((0.7, 0.0, 0.3, 0.1),)
    assert found["our-hospital"].dataset == "our-hospital"


def test_a_row_of_ours_is_replaced_only_by_one_that_says_so(tmp_path):
    with pytest.raises(SourcesError, match="'cholec80', field 'replaces': there is such a source"):
        load(extra=write(tmp_path, "cholec80"))
    found = load(extra=write(tmp_path, "cholec80", replaces=True, deid_by_provider="our steward"))
    assert found["cholec80"].deid_by_provider == "our steward"
    with pytest.raises(SourcesError, match="'ours', field 'replaces': there is no such source"):
        load(extra=write(tmp_path, "ours", replaces=True))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("specialty", "surgery", "write one of neurosurgery, "),
        ("specialty", ..., "is missing; write one of neurosurgery, "),
        ("region", "head", "write one of brain, "),
        ("access", "secret", "write one of open, request, private, unknown"),
        ("access", None, "write one of open, request, private, unknown"),
        ("deid_by_provider", ..., "is missing; write who removed what tells persons"),
        ("licence", ..., "is missing; write the licence in words, or null"),
        ("videos", 0, "write a count of files, or null"),
        ("hours", -1.0, "write hours of video above 0, or null"),
        ("keep_fps", 0.0, "write frames a second to keep"),
        ("holds", ["cholec80"], "write a list of dataset/split/part"),
        ("holds", ["cholec80/official/all"], "write a list of dataset/split/part"),
        ("overlays", [[0.9, 0.0, 0.2, 0.1]], "leaves the picture; write a list of"),
        ("overlays", [[0.1, 0.1, 0.0, 0.1]], "is empty or leaves the picture"),
        ("overlays", [[10, 10, 200, 40]], "write a list of"),
        ("checked", "yesterday", "write the day it was last held against the reference"),
        ("reference", "", "write a citation or address"),
        ("lisence", "CC0", "is unknown; fields are id, title, "),
    ],
)
def test_a_bad_field_is_an_error_that_names_file_row_field_and_remedy(tmp_path, field, value, said):
    path = write(tmp_path, **{field: value})
    with pytest.raises(SourcesError) as raised:
        load(extra=path)
    message = str(raised.value)
    assert message.startswith(f"{path}: row 'our-hospital', field {field!r}: ")
    assert said in message


def test_a_size_without_a_source_is_an_error(tmp_path):
    with pytest.raises(SourcesError, match="row 'our-hospital': field 'size_from' is empty"):
        load(extra=write(tmp_path, videos=12))


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    path = write(tmp_path, access="secret", region="head")
    with pytest.raises(SourcesError) as raised:
        load(extra=path)
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: {a: {}, a: {}}", "'a' is there twice"),
        ("sources: [", "is no YAML"),
        ("", "has no sections; they are paper, sources"),
        ("source: {}", "field 'source' is unknown; sections are paper, sources"),
        ("sources: {}", "field 'sources': holds no rows"),
        ("sources: {ours: none}", "row 'ours': is no row of fields"),
        ("sources: {Our Hospital: {}}", "row 'Our Hospital', field 'id'"),
    ],
)
def test_a_file_that_is_none_of_sources_is_an_error(tmp_path, text, said):
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises(SourcesError) as raised:
        load(extra=path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SourcesError, match=r"nowhere\.yaml: cannot be read"):
        load(extra=tmp_path / "nowhere.yaml")


def test_the_table_has_a_row_per_source_and_counts_what_is_established():
    table = list_sources()
    lines = table.splitlines()
    assert [line.split()[0] for line in lines[1 : len(load()) + 1]] == list(load())
    assert "26 of the paper's 50 are established" in table


def test_the_table_as_json_holds_every_field_and_the_unknown_ones():
    told = json.loads(list_sources(as_json=True))
    rows = {row["id"]: row for row in told["sources"]}
    assert told["paper"]["established"] == 26
    assert rows["cholec80"]["unknown"] == ["deid_by_provider"]
    assert rows["cholec80"]["overlaps"] == ["m2cai16", "cholect50"]
    assert "autolaparo" in rows["cholec80"]["unchecked"]
    assert "cholect50" not in rows["cholec80"]["unchecked"]


def test_the_table_leaves_a_new_hospital_unchecked_against_every_benchmark(tmp_path):
    told = json.loads(list_sources(write(tmp_path), as_json=True))
    assert told["sources"][-1]["id"] == "our-hospital"
    assert told["sources"][-1]["unchecked"] == list(REGISTRY)


def test_the_table_refuses_a_part_that_no_benchmark_has(tmp_path):
    path = write(tmp_path, holds=["cholec80/offical/test"])
    with pytest.raises(SourcesError, match="splits of cholec80 are official, 32-8-40"):
        list_sources(path)
    path = write(tmp_path, holds=["cholec81/official/test"])
    with pytest.raises(SourcesError, match=r"'cholec81/official/test' is no part of a benchmark"):
        list_sources(path)
