"""The theatre's CholecT50: the official reader reads back what the operations do."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unisurg.benchmarks import REGISTRY, find
from unisurg.benchmarks.base import IGNORED, Findings
from unisurg.benchmarks.cholect50 import TRIPLETS
from unisurg.settings import Settings, Theatre
from unisurg.synthetic import layouts
from unisurg.synthetic.exact import ONE, SUB, VIEW
from unisurg.synthetic.labels import MOMENT_MS, NULL, frame_times
from unisurg.synthetic.layouts.cholect50 import (
    CALLED,
    HELD,
    NAMES,
    WORLD,
    labelled,
    official,
    operation_of,
)
from unisurg.synthetic.layouts.workflow import played
from unisurg.synthetic.render import Frame, Renderer
from unisurg.synthetic.view import FIXED
from unisurg.synthetic.worlds import WORLDS

SMALL = {"small_side_px": 32, "small_videos": 4, "small_seconds": 16}
SIDE, NEAR = 128, 12
VERBS = {"grasp": ("grasp", "retract")}


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    return settings.theatre.model_copy(update=SMALL)


@pytest.fixture(scope="module")
def root(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theatre")
    for job in layouts.LAYOUTS["cholect50"].jobs(folder, small, 3):
        job.run()
    return folder / "cholect50"


def test_the_reader_finds_no_fault_and_no_video_of_cholec80(root: Path) -> None:
    findings = Findings(root, strict=False)
    cases = REGISTRY["cholect50"].audit("theatre", findings)
    assert (findings.found, findings.missing, findings.extra) == ([], [], [])
    assert [case.case for case in cases] == ["VID81", "VID82", "VID83", "VID84"]
    assert {case.split for case in cases} == {"train", "val", "test"}
    names = [case.case for case in cases]
    assert REGISTRY["cholect50"].overlaps_in(names) == {"cholec80_train_in_test": []}


def test_labels_are_what_the_pictures_show_and_none_is_told_while_an_instrument_is_on_its_way(
    root: Path, small: Theatre
) -> None:
    unlabelled = bare = 0
    done: set[str] = set()
    for number, case in enumerate(find("cholect50", root).read(root, "theatre"), start=1):
        operation = operation_of(number, small, 3)
        renderer = Renderer(operation, SIDE, SIDE)
        times = frame_times(operation.seconds, (1, 1))
        states, before = operation.at(times), operation.at((times - MOMENT_MS).clip(0))
        assert len(case.labels) == len(times)
        for second, row in enumerate(case.labels):
            if not labelled(states[second]):
                assert (row == IGNORED).all()
                unlabelled += 1
                continue
            frame = renderer.frame(states[second], before[second])
            told = [TRIPLETS[i].split(",") for i in np.flatnonzero(row)]
            held = {hand: NAMES[states.kind[second, hand]] for hand in range(2)
                    if shows(frame, hand)}  # fmt: skip
            assert {instrument for instrument, _, _ in told} == set(held.values())
            verbs = {verb for _, verb, _ in told if verb in VERBS["grasp"]}
            graspers = [hand for hand, name in held.items() if name == "grasper"]
            assert verbs <= {VERBS["grasp"][moves(frame, hand)] for hand in graspers}
            bare += not told
            done |= verbs
    # Both kinds of empty rows occur, and are told apart.
    assert unlabelled > 0
    assert bare > 0
    assert done == set(VERBS["grasp"])


def shows(frame: Frame, hand: int) -> bool:
    """Whether a hand's instrument is in the picture about its tip."""
    x, y = (int(v) * SIDE // (VIEW * SUB) + SIDE // 2 for v in frame.state.tip[hand])
    about = frame.instruments[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1]
    return bool((about == hand + 1).any())


def moves(frame: Frame, hand: int) -> bool:
    """Whether the instrument's pixels moved by more than 6 of a 256-pixel view."""
    moved = np.abs(frame.motion[frame.instruments == hand + 1]).max()
    return bool(moved > 6 * FIXED * SIDE / VIEW)


def test_what_the_hands_hold_follows_from_the_phase(small: Theatre) -> None:
    held, longer = set(), small.model_copy(update={"small_seconds": 60})
    for number in range(1, 9):
        operation = operation_of(number, longer, 3)
        states = operation.at(frame_times(operation.seconds, (1, 1)))
        for second, phase in enumerate(played(states)):
            for choices, hand in zip(
                HELD[phase], (operation.main, 1 - operation.main), strict=True
            ):
                if states.inserted[second, hand] == ONE:
                    name = NAMES[states.kind[second, hand]]
                    assert name in choices
                    held.add(name)
    assert held == set(NAMES)


def test_whatever_an_instrument_does_is_a_triplet_of_the_owners_map() -> None:
    world = WORLDS[WORLD]
    for kind, region in product(world.instruments, world.targets):
        name = kind.name.lower()
        assert TRIPLETS[official((name, *NULL))] == f"{name},null_verb,null_target"
        for verb in VERBS.get(kind.verb, (kind.verb,)):
            instrument, did, target = TRIPLETS[official((name, verb, region))].split(",")
            assert (instrument, did) == (name, verb)
            missing = f"{name},{verb},{region}" not in TRIPLETS
            assert missing == (target != region) == ((name, region) in CALLED)


def test_pictures_are_lossless_one_a_second_and_of_the_operation(
    root: Path, small: Theatre
) -> None:
    operation = operation_of(2, small, 3)
    paths = sorted((root / "videos" / "VID82").iterdir())
    assert [path.name for path in paths] == [f"{s:06d}.png" for s in range(operation.seconds)]
    states = operation.at(frame_times(operation.seconds, (1, 1)))
    renderer = Renderer(operation, 32, 32)
    for second in (0, 7):
        picture = np.asarray(Image.open(paths[second]))
        assert np.abs(picture.astype(int) - renderer.rgb(states[second])).max() < 8


def test_labels_have_the_owners_form(root: Path) -> None:
    content = json.loads((root / "labels" / "VID81.json").read_text())
    assert (content["video"], content["fps"]) == (81, 1)
    assert content["num_frames"] == len(content["annotations"])
    assert "6" in content["annotations"]
    rows = [row for of_frame in content["annotations"].values() for row in of_frame]
    assert {len(row) for row in rows} == {15}
    assert {row[14] for row in rows} <= set(range(7))
