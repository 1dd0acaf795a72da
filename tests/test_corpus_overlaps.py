"""Copies of one operation: the published counts, what follows from them, what nobody knows."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from unisurg.benchmarks import REGISTRY
from unisurg.benchmarks.splits import NamedSplit
from unisurg.corpus.overlaps import Held, Overlaps, OverlapsError, closure, load
from unisurg.corpus.sources import load as load_sources

PARTS = ("train", "val", "test")
FACTS = "source: a test\n    checked: 2026-11-26"


@pytest.fixture(scope="module")
def known() -> Overlaps:
    return load()


def videos(dataset: str, *, split: str, part: str) -> set[str]:
    rule = REGISTRY[dataset].splits[split]
    assert isinstance(rule, NamedSplit)
    return set(getattr(rule, part))


def cases(dataset: str, split: str) -> list[str]:
    return sorted(set.union(*(videos(dataset, split=split, part=p) for p in PARTS)))


def shared(known: Overlaps, one: str, other: str) -> dict[str, str]:
    """Videos of `one` that are a video of `other`, by what follows from all rules."""
    found = {}
    for row in known.shared:
        for dataset, video in [(row.a, a) for a, _ in row.videos] + [
            (row.b, b) for _, b in row.videos
        ]:
            if dataset == one:
                copies = dict(known.copies(one, video))
                if other in copies:
                    found[known.name(one, video)] = copies[other]
    return found


def ours(folder: Path, text: str) -> Path:
    path = folder / "ours.yaml"
    path.write_text(text)
    return path


# ------------------------------------------------------------------ the published counts


def test_45_videos_of_cholect50_are_videos_of_cholec80_under_the_same_number(known):
    same = shared(known, "cholect50", "cholec80")
    assert len(same) == 45
    assert all(a.removeprefix("VID") == b.removeprefix("video") for a, b in same.items())
    rest = set(cases("cholect50", "cholect50")) - set(same)
    assert rest == {"VID92", "VID96", "VID103", "VID110", "VID111"}


def test_22_of_cholec80s_40_test_videos_are_in_cholect50_and_15_in_its_train(known):
    test = videos("cholec80", split="official", part="test")
    same = {a: b for a, b in shared(known, "cholec80", "cholect50").items() if a in test}
    train = videos("cholect50", split="cholect50", part="train")
    assert len(test) == 40
    assert len(same) == 22
    assert len(set(same.values()) & train) == 15


def test_cholec80s_first_40_hold_4_test_and_3_val_videos_of_cholect50(known):
    held: dict[str, list[int]] = {"test": [], "val": []}
    for number in range(1, 41):
        splits = {"cholect50": "cholect50"}
        for found in known.held_out(
            "cholec80", number, {"cholect50": REGISTRY["cholect50"]}, splits
        ):
            held[found.part].append(number)
    assert held == {"test": [6, 10, 14, 32], "val": [8, 12, 29]}


def test_33_of_cholec80s_first_40_are_safe_for_both(known):
    benchmarks = {name: REGISTRY[name] for name in ("cholec80", "cholect50")}
    splits = {"cholec80": "official", "cholect50": "cholect50"}
    safe = [
        number
        for number in range(1, 81)
        if all(h.carved for h in known.held_out("cholec80", number, benchmarks, splits))
    ]
    assert len(safe) == 33
    assert max(safe) <= 40


def test_all_15_videos_of_m2cai16_tool_are_test_videos_of_cholec80(known):
    same = shared(known, "m2cai16-tool", "cholec80")
    assert len(same) == 15
    assert set(same.values()) <= videos("cholec80", split="official", part="test")
    numbers = [int(same[f"tool_video_{i:02d}"].removeprefix("video")) for i in range(1, 16)]
    assert numbers == [*range(67, 77), 61, 62, 64, 65, 66]


def test_6_videos_of_endoscapes_are_cholec80s_and_6_are_cholect50s(known):
    in_80 = shared(known, "endoscapes", "cholec80")
    in_50 = shared(known, "endoscapes", "cholect50")
    assert in_80 == {
        **{"1": "video67", "2": "video68", "3": "video70", "4": "video71", "7": "video72"},
        "121": "video66",
    }
    assert in_50 == {
        **{"2": "VID68", "3": "VID70", "10": "VID96", "33": "VID110"},
        **{"121": "VID66", "127": "VID103"},
    }


@pytest.mark.parametrize(
    ("derived", "whole", "count"),
    [
        ("cholecseg8k", "cholec80", 17),
        ("cholecseg8k", "cholect50", 10),
        ("cholec80-cvs", "cholec80", 80),
        ("cholec80-cvs", "cholect50", 45),
        ("cholecinstanceseg", "cholec80", 80),
        ("cholecinstanceseg", "cholect50", 50),
        ("cholect45", "cholec80", 45),
    ],
)
def test_derived_sets_share_as_many_videos_as_their_source_counts(known, derived, whole, count):
    assert len(shared(known, derived, whole)) == count


def test_rules_stated_twice_agree_with_what_follows_from_the_others(known):
    for row in known.shared:
        if row.videos:
            stated = {known.name(row.a, a): known.name(row.b, b) for a, b in row.videos}
            assert shared(known, row.a, row.b) == stated, (row.a, row.b)


def test_data_sets_known_to_share_without_numbers_overlap_but_are_not_settled(known):
    pairs = [(row.a, row.b) for row in known.shared if not row.videos]
    assert {("m2cai16", "cholec80"), ("cadis", "cataracts"), ("polypdiag", "ldpolypvideo")} <= {
        *pairs
    }
    for pair in pairs:
        assert known.relation(*pair) == "overlaps"
        assert not known.settled(*pair)


def test_every_rule_states_its_source_and_the_day_it_was_checked(known):
    for row in (*known.shared, *known.disjoint, *known.unknown, *known.leaks):
        assert row.source
        assert row.checked.year >= 2026
    assert {row.model for row in known.leaks} >= {"Endo-FM", "SurgeNetXL"}


# ------------------------------------------------------------------ unknown is never clean


def test_every_pair_that_no_rule_names_is_unknown(known):
    named = {frozenset((row.a, row.b)) for row in known.shared}
    apart = {name for row in known.disjoint for name in row.a}
    met = {
        frozenset(pair)
        for row in known.shared
        for a, _ in row.videos
        for pair in itertools.combinations({name for name, _ in known.copies(row.a, a)}, 2)
    }
    unknown = 0
    for one, other in itertools.combinations(known.datasets, 2):
        expected = "unknown"
        if frozenset((one, other)) in named | met:
            expected = "overlaps"
        elif one in apart or other in apart:
            expected = "disjoint"
        assert known.relation(one, other) == known.relation(other, one) == expected, (one, other)
        unknown += expected == "unknown"
    assert unknown > 900


def test_pairs_that_are_written_down_as_unknown_are_so_unless_another_rule_speaks(known):
    for row in known.unknown:
        for one, other in itertools.combinations(known.datasets, 2):
            if row.covers(one, other):
                relation = known.relation(one, other)
                stated = {frozenset((s.a, s.b)) for s in known.shared}
                assert (
                    relation == "unknown"
                    or frozenset((one, other)) in stated
                    or any(d.covers(one, other) for d in known.disjoint)
                )
    for pair in (("psi-ava", "grasp"), ("surgicalactions160", "glenda"), ("ophnet", "avos")):
        assert known.relation(*pair) == "unknown"


def test_a_data_set_that_nobody_knows_is_settled_with_no_benchmark(known):
    assert known.relation("our-hospital", "cholec80") == "unknown"
    assert known.unsettled("our-hospital", REGISTRY) == tuple(REGISTRY)
    assert known.held_out("our-hospital", "case 1", REGISTRY) == ()


def test_the_embedded_theatre_is_apart_from_everything(known):
    assert known.unsettled("laparoscopy-a", REGISTRY) == ()
    assert known.relation("our-hospital", "colonoscopy") == "disjoint"


def test_every_benchmark_and_every_source_of_one_is_a_data_set_here(known):
    assert set(REGISTRY) <= set(known.datasets)
    assert {s.dataset for s in load_sources().values() if s.holds or s.rendered} <= {
        *known.datasets
    }


# ------------------------------------------------------------------ following the rules


def test_closure_is_transitive(known):
    names = {
        known.procedure_of(*video)
        for video in [
            *(("cholec80", "video66"), ("cholect50", "VID66"), ("endoscapes", "121")),
            *(("m2cai16-tool", "tool_video_15"), ("cholectrack20", "VID66")),
        ]
    }
    assert names == {"cholec80/video66"}


@pytest.mark.parametrize("seed", range(20))
def test_closure_is_the_same_in_any_order_and_finds_connected_components(seed):
    rng = random.Random(seed)
    nodes = [(f"d{rng.randrange(5)}", str(rng.randrange(12))) for _ in range(60)]
    pairs = [(rng.choice(nodes), rng.choice(nodes)) for _ in range(40)]
    found = closure(pairs)
    shuffled = [
        pair if rng.random() < 0.5 else pair[::-1] for pair in rng.sample(pairs, len(pairs))
    ]
    assert closure(shuffled) == found

    reached = {node: {node} for pair in pairs for node in pair}
    for _ in nodes:
        for a, b in pairs:
            reached[a] = reached[b] = reached[a] | reached[b]
    for node, group in reached.items():
        assert found[node] == min(group, key=lambda video: (video[0], int(video[1])))


def test_a_procedure_is_named_after_its_smallest_copy_by_number():
    same = closure([(("a", "video10"), ("b", "1")), (("b", "1"), ("a", "video9"))])
    assert set(same.values()) == {("a", "video9")}


def test_a_video_without_copies_is_a_procedure_of_its_own(known):
    assert known.procedure_of("cholec80", "video03") == "cholec80/video03"
    assert known.procedure_of("our-hospital", "case 1") == "our-hospital/case 1"


@pytest.mark.parametrize("name", [7, "7", "07", "video07", "video7", "VIDEO007"])
def test_a_video_is_known_by_its_number_however_it_is_written(known, name):
    assert known.name("cholec80", name) == "video07"


@pytest.mark.parametrize("name", ["video07b", "case 7", "", "video"])
def test_a_name_that_its_data_set_does_not_use_is_refused_rather_than_taken_for_new(known, name):
    with pytest.raises(OverlapsError, match="its videos are named like video07"):
        known.held_out("cholec80", name, REGISTRY)


# ------------------------------------------------------------------ what benchmarks hold out


def test_training_on_a_copy_of_a_test_video_is_found_from_any_of_its_names(known):
    for dataset, video in (("endoscapes", 1), ("m2cai16-tool", 1), ("cholec80-cvs", 67)):
        held = known.held_out(dataset, video, REGISTRY, {"cholec80": "official"})
        assert Held("cholec80", "video67", "official", "test") in held


def test_every_held_out_video_of_every_listed_split_is_found_under_its_own_name(known):
    for name, benchmark in REGISTRY.items():
        for split, rule in benchmark.splits.items():
            if not isinstance(rule, NamedSplit):
                continue
            for part in PARTS:
                for case in getattr(rule, part):
                    held = known.held_out(name, case, {name: benchmark}, {name: split})
                    assert [h.part for h in held] == ([] if part == "train" else [part])


def test_a_val_out_of_the_owners_train_is_told_from_a_val_of_its_own(known):
    benchmarks = {"cholec80": REGISTRY["cholec80"]}
    [official] = known.held_out("cholec80", 33, benchmarks, {"cholec80": "official"})
    [own] = known.held_out("cholec80", 33, benchmarks, {"cholec80": "32-8-40"})
    assert (official.part, official.carved) == ("val", True)
    assert (own.part, own.carved) == ("val", False)


def test_without_a_choice_of_splits_all_of_them_count_but_the_embedded_ones(known):
    held = known.held_out("cholec80", 42, {"cholec80": REGISTRY["cholec80"]})
    assert {h.split: h.part for h in held} == {
        "official": "test",
        "32-8-40": "test",
        "40-8-32": "val",
    }
    assert (
        known.held_out("cholec80", 42, REGISTRY, {"cholec80": "theatre", "cholect50": "theatre"})
        == ()
    )


def test_a_split_that_only_a_copys_files_tell_may_hold_any_video(known):
    for dataset, video in (
        ("ophnet", "case_0002"),
        ("polypdiag", "x"),
        ("avos", "abcdefghijk_1_2"),
    ):
        held = known.held_out(dataset, video, {dataset: REGISTRY[dataset]})
        assert {h.part for h in held} == {"unknown"}


def test_a_video_that_no_split_of_its_own_benchmark_knows_may_be_held_out(known):
    [held] = known.held_out("m2cai16", "clip", {"m2cai16": REGISTRY["m2cai16"]})
    assert held.part == "unknown"


def test_segments_and_trials_are_found_by_what_their_splits_list(known):
    [held] = known.held_out("c3vd", "trans_t1_a", REGISTRY, {"c3vd": "by-segment"})
    assert held.part == "test"
    assert known.held_out("c3vd", "cecum_t1_a", REGISTRY, {"c3vd": "by-segment"}) == ()
    [held] = known.held_out("jigsaws", "Suturing_B001_capture2", REGISTRY, {"jigsaws": "louo-B"})
    assert held.part == "test"


def test_a_split_that_a_benchmark_does_not_have_is_an_error(known):
    with pytest.raises(
        OverlapsError, match="cholec80 has no split 'offical'; choose one of: official"
    ):
        known.held_out("cholec80", 1, REGISTRY, {"cholec80": "offical"})


# ------------------------------------------------------------------ a file of one's own


def test_rules_of_ones_own_add_to_ours_and_are_followed_with_them(tmp_path):
    path = ours(
        tmp_path,
        f"""
datasets:
  our-hospital: {{title: Our hospital, names: ["case{{n}}"]}}
shared:
  - a: our-hospital
    b: endoscapes
    pairs: {{4: 121}}
    complete: false
    {FACTS}
disjoint:
  - a: [our-hospital]
    b: [autolaparo]
    {FACTS}
""",
    )
    known = load(extra=path)
    assert known.procedure_of("our-hospital", "case4") == "cholec80/video66"
    held = known.held_out("our-hospital", 4, REGISTRY, {"cholec80": "official"})
    assert Held("cholec80", "video66", "official", "test") in held
    assert known.relation("our-hospital", "cholec80") == "overlaps"
    assert known.relation("our-hospital", "autolaparo") == "disjoint"
    unsettled = known.unsettled("our-hospital", REGISTRY)
    assert set(REGISTRY) - set(unsettled) == {"autolaparo"}


def test_a_complete_account_of_ones_own_settles_a_pair_that_ours_leaves_open(tmp_path):
    path = ours(
        tmp_path,
        f"""
shared:
  - a: m2cai16
    b: cholec80
    pairs: {{workflow_video_01: 77}}
    complete: true
    {FACTS}
""",
    )
    known = load(extra=path)
    assert known.settled("m2cai16", "cholec80")
    assert known.procedure_of("m2cai16", "workflow_video_01") == "cholec80/video77"


SHARED = "shared:\n  - a: cholect50\n    b: cholec80\n    complete: true\n    "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{SHARED}numbers: 1 2\n    source: x", "row 1 of shared, field 'checked': is missing"),
        (f"{SHARED}{FACTS}", "row 1 of shared: field 'complete': no video is named"),
        (f"{SHARED}numbers: 1, 2\n    {FACTS}", "row 1 of shared, field 'numbers': '1, 2': "),
        (f"{SHARED}numbers: 6-4\n    {FACTS}", "field 'numbers': 6-4 runs backwards"),
        (
            f"{SHARED}numbers: 1-3 2\n    {FACTS}",
            "field 'numbers': 2 runs backwards or is there twice",
        ),
        (
            f"{SHARED}numbers: '1'\n    pairs: {{1: 1}}\n    {FACTS}",
            "field 'pairs': there are numbers",
        ),
        (f"{SHARED}pairs: {{1: one}}\n    {FACTS}", "field 'pairs': cholec80 has no video 'one'"),
        (f"{SHARED}numbers: 1 2\n    count: 3\n    {FACTS}", "field 'count': 3, but 2 are named"),
        (f"{SHARED}numbers: 1 2\n    who: me\n    {FACTS}", "field 'who': is unknown; fields are"),
        (
            f"shared:\n  - a: cholec80\n    b: cholec81\n    complete: false\n    {FACTS}",
            "row 1 of shared, field 'b': no data set 'cholec81'; mend the name, or add it",
        ),
        (
            f"shared:\n  - a: cholec80\n    b: cholec80\n    complete: false\n    {FACTS}",
            "field 'b': is the same as a",
        ),
        (
            f"disjoint:\n  - a: [endoscapes]\n    b: [m2cai16-tool]\n    {FACTS}",
            "row 1 of disjoint, field 'a': endoscapes and m2cai16-tool share operations",
        ),
        (f"unknown:\n  - a: [cholec80]\n    {FACTS}", "row 1 of unknown: field 'b': is left out"),
        ("datasets:\n  cholec80: {title: ours}", "row 'cholec80': there is such a data set"),
        ("datasets:\n  ours: {title: x, names: [case]}", "row 'ours', field 'names'"),
        ("datasets:\n  ours: {title: x, within: ['(']}", "row 'ours': field 'within': '(': "),
        ("datasets: [ours]", "field 'datasets': holds no rows"),
        ("shares: []", "field 'shares' is unknown; sections are datasets, shared"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_row_and_field(tmp_path, text, said):
    path = ours(tmp_path, text)
    with pytest.raises(OverlapsError) as raised:
        load(extra=path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


def test_a_benchmark_is_read_by_its_splits_alone(known):
    split = NamedSplit("", train=("case1",), val=("case2",), test=("case3",))
    own = {"our-hospital": SimpleNamespace(splits={"ours": split})}
    parts = [
        [h.part for h in known.held_out("our-hospital", f"case{n}", own)] for n in (1, 2, 3, 4)
    ]
    assert parts == [[], ["val"], ["test"], ["unknown"]]
