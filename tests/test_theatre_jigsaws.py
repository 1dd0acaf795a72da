"""JIGSAWS in the theatre: ratings that the trajectories show, gestures as played, two cameras."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from unisurg.benchmarks import SkillCase
from unisurg.benchmarks.base import IGNORED, PARTS, Findings
from unisurg.benchmarks.check import check
from unisurg.benchmarks.jigsaws import CAMERAS, FPS, GESTURES, JIGSAWS, TASKS, TRIALS, surgeon
from unisurg.settings import Settings, Theatre
from unisurg.synthetic.layouts import jigsaws
from unisurg.synthetic.layouts.files import write_bytes
from unisurg.synthetic.layouts.jigsaws import LEVELS, MOTIFS, UNTOLD, beside, perform, trials_of
from unisurg.synthetic.motifs import REPERTOIRE
from unisurg.synthetic.render import Renderer
from unisurg.tasks.skill_metrics import spearman

FILMED = "Knot_Tying_B001"


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    update = {"small_side_px": 32, "jigsaws_trials": 2, "jigsaws_seconds": 6}
    return settings.theatre.model_copy(update=update)


@pytest.fixture(scope="module")
def labels(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout, but all videos are those of one trial, for rendering takes its time."""
    root = tmp_path_factory.mktemp("theatre")
    (job,) = [job for job in jigsaws.jobs(root, small, 0) if job.done.stem == FILMED]
    job.run()
    filmed = root / "jigsaws" / job.done.parts[-3] / "video"
    videos = {camera: (filmed / f"{FILMED}_{camera}.avi").read_bytes() for camera in CAMERAS}
    for task in TASKS:
        folder = root / "jigsaws" / task
        for name in trials_of(task, small):
            jigsaws.write_labels(folder, name, perform(name, small, 0))
            for camera in CAMERAS:
                write_bytes(folder / "video" / f"{name}_{camera}.avi", videos[camera])
    jigsaws.finish(root, small, 0)
    return root / "jigsaws"


def read(root: Path) -> dict[str, SkillCase]:
    cases = JIGSAWS.read(root, "theatre")
    assert all(isinstance(case, SkillCase) for case in cases)
    return {case.case: case for case in cases}  # type: ignore[misc]


def test_ratings_and_gestures_read_back_are_those_of_what_was_played(
    labels: Path, small: Theatre
) -> None:
    for name, case in read(labels).items():
        trial = perform(name, small, 0)
        assert case.rating == trial.operation.skill.grs == sum(case.elements)
        assert "NIE"[case.level] == LEVELS[surgeon(name)]
        played = [REPERTOIRE[phase].name for phase in trial.states.phase[: len(case.gestures)]]
        told = case.gestures != IGNORED
        assert (~told).sum() in (UNTOLD, 2 * UNTOLD)
        for gesture, motif in zip(case.gestures[told], np.array(played)[told], strict=True):
            assert MOTIFS[GESTURES[gesture]] == motif


def test_every_trial_that_the_owners_rate_is_there_and_no_other(
    labels: Path, small: Theatre
) -> None:
    wanted = {name for name in TRIALS if int(name[-1]) <= small.jigsaws_trials}
    assert set(read(labels)) == wanted


def test_the_traps_of_the_original_are_notes_and_no_errors(labels: Path) -> None:
    findings = Findings(labels, strict=False)
    JIGSAWS.audit("theatre", findings)
    severities = {found.severity for found in findings.found}
    problems = " ".join(found.problem for found in findings.found)
    assert severities == {"note"}
    assert "Suturing_H002 has no ratings" in problems
    assert "no video of Knot_Tying_I004" in problems
    assert "a gesture ends 2 rows after" in problems
    assert b"\t\t" in (labels / "Suturing/meta_file_Suturing.txt").read_bytes()
    assert b"\r\n" in (labels / "Suturing/meta_file_Suturing.txt").read_bytes()


def test_surgeons_are_in_one_part_and_the_test_has_all_levels(labels: Path) -> None:
    cases = read(labels).values()
    of_part = {part: {surgeon(c.case) for c in cases if c.split == part} for part in PARTS}
    assert sum(map(len, of_part.values())) == len(LEVELS)
    assert {c.level for c in cases if c.split == "test"} == {0, 1, 2}
    assert len({c.rating for c in cases if c.split == "val"}) > 2


def test_the_better_the_rating_the_smoother_the_hands(small: Theatre) -> None:
    trials = [perform(name, small, 0) for name in TRIALS if int(name[-1]) <= 2]
    ratings = np.array([trial.operation.skill.grs for trial in trials])
    jerks = np.array([np.abs(np.diff(trial.states.tip, 3, axis=0)).mean() for trial in trials])
    assert spearman(ratings, -jerks, np.ones((1, len(trials))))[0] > 0.8


def test_the_second_camera_sees_the_same_moment_from_beside(small: Theatre) -> None:
    trial = perform("Suturing_C001", small, 0)
    renderer = Renderer(trial.operation, 64, 64)
    other = beside(trial.states)
    same, later = [], []
    for frame in range(30, len(trial.states), 30):
        here = renderer.rgb(trial.states[frame]).astype(float)
        there = renderer.rgb(other[frame]).astype(float)
        same.append(np.abs(here - there).mean())
        # Back by the disparity of the ground, 5 of 256 pixels: what stays differs is near.
        moved = np.abs(here[:, 8:-8] - np.roll(there, 1, axis=1)[:, 8:-8]).mean()
        later.append(moved)
    assert min(same) > 1
    assert np.mean(later) < np.mean(same)


def test_check_finds_no_fault_but_that_it_is_not_the_published_size(labels: Path) -> None:
    found = check(JIGSAWS, labels, "theatre")
    assert [f for f in found.findings.found if f.severity == "error"] == []
    warned = [f.problem for f in found.findings.found if f.severity == "warning"]
    assert all("published are" in problem for problem in warned)


def test_a_video_has_a_frame_for_every_thirtieth_of_a_second(labels: Path, small: Theatre) -> None:
    trial = perform(FILMED, small, 0)
    for camera in CAMERAS:
        with av.open(str(labels / f"Knot_Tying/video/{FILMED}_{camera}.avi")) as container:
            assert sum(1 for _ in container.decode(video=0)) == len(trial.states)
            assert container.streams.video[0].average_rate == FPS
