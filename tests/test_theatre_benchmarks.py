"""Benchmarks of the theatre: the readers read back what the operations do, and find no fault."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from unisurg.benchmarks import REGISTRY, ClipCase, VideoCase
from unisurg.benchmarks import avos as avos_reader
from unisurg.benchmarks import pitvis as pitvis_reader
from unisurg.benchmarks.base import IGNORED, Findings, Part, split_cases
from unisurg.benchmarks.check import check
from unisurg.benchmarks.polypdiag import LISTS, source_video
from unisurg.settings import Settings, Theatre
from unisurg.synthetic import layouts
from unisurg.synthetic.labels import frame_times
from unisurg.synthetic.layouts import (
    LAYOUTS,
    atlas,
    autolaparo,
    avos,
    egosurgery,
    m2cai16,
    ophnet,
    pitvis,
    pmlr50,
    polypdiag,
)
from unisurg.synthetic.layouts.clips import PACE, rehearse
from unisurg.synthetic.layouts.jobs import seed_of
from unisurg.synthetic.layouts.workflow import operate, part_of
from unisurg.synthetic.motifs import PHASE_NAMES, REPERTOIRE, motif
from unisurg.synthetic.operation import Operation, States
from unisurg.synthetic.render import Renderer

SMALL = {
    "small_side_px": 32,
    "small_videos": 4,
    "small_seconds": 8,
    "clip_seconds": 1,
    "surgicalactions160_clips": 1,
    "avos_videos": 6,
    "ophnet_videos": 3,
    "polypdiag_train": 8,
    "polypdiag_test": 2,
}
VIDEOS = ("autolaparo", "m2cai16", "pitvis", "egosurgery", "atlas", "pmlr50")
CLIPS = ("ophnet", "surgicalactions160", "avos", "polypdiag")

FIRST = {
    "autolaparo": "task1/videos/01.mp4",
    "m2cai16": "train_dataset/workflow_video_01.mp4",
    "pitvis": "map_steps.csv",
    "egosurgery": "images/01/01_1_0001.jpg",
    "atlas": "labels.csv",
    "pmlr50": "frames/01/00000000.jpg",
    "surgicalactions160": "01_abdominal_access/01_01.mp4",
    "avos": "anno_meta.txt",
    "ophnet": "OphNet2024_trimmed_phase/case_0001/case_0001_0.mp4",
    "polypdiag": "splits/train.txt",
}


@pytest.fixture(scope="module")
def small(settings: Settings) -> Theatre:
    return settings.theatre.model_copy(update=SMALL)


@pytest.fixture(scope="module")
def theatre(small: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theatre")
    layouts.write(root, small, 0, [*VIDEOS, *CLIPS])
    return root


def operation_of(name: str, number: int, theatre: Theatre) -> Operation:
    """Operation `number` of a workflow benchmark."""
    if name == "pitvis":
        return pitvis._operate(number, theatre, 0)
    world, steps = {
        "autolaparo": (autolaparo.WORLD, list(autolaparo.PHASES)),
        "m2cai16": (m2cai16.WORLD, list(m2cai16.PHASES)),
        "egosurgery": (egosurgery.WORLD, list(egosurgery.PHASES)),
        "atlas": (atlas.WORLD, list(PHASE_NAMES)),
        "pmlr50": (pmlr50.WORLD, list(pmlr50.STEPS)),
    }[name]
    return operate(world, seed_of(0, name, number), number, steps, theatre)


def class_of(name: str) -> dict[str, int]:
    """Index of the class that each motif of a workflow benchmark means."""
    classes = REGISTRY[name].classes
    if name == "pitvis":
        names = {step: pitvis_reader.STEPS.get(step, "") for step in pitvis.NUMBERS.values()}
        known = {step: classes.index(n) for step, n in names.items() if n in classes}
        return {n: known.get(step, IGNORED) for n, step in pitvis.NUMBERS.items()}
    if name == "m2cai16":
        return {n: classes.index(phase) for n, phase in m2cai16.PHASES.items()}
    if name == "egosurgery":
        return {n: classes.index(phase) for n, phase in egosurgery.PHASES.items()}
    return {n: i for i, n in enumerate(pmlr50.STEPS if name == "pmlr50" else PHASE_NAMES)}


def number_of(case: VideoCase, train: int) -> int:
    """Number of the operation that a case shows; M2CAI16 counts its test videos anew."""
    digits = int("".join(c for c in case.case if c.isdigit()))
    return digits + train if case.case.startswith("test_") else digits


@pytest.mark.parametrize("name", VIDEOS)
def test_labels_read_back_are_the_operation_at_every_second(
    theatre: Path, small: Theatre, settings: Settings, name: str
) -> None:
    cases = REGISTRY[name].read(theatre / name, settings.benchmarks[name].split)
    assert len(cases) == small.small_videos
    for case in cases:
        assert isinstance(case, VideoCase)
        operation = operation_of(name, number_of(case, train=3), small)
        played = operation.at(frame_times(operation.seconds, (1, 1))).phase
        index = class_of(name)
        expected = [index[REPERTOIRE[phase].name] for phase in played]
        rest = [IGNORED] if name == "pitvis" else []
        assert case.labels.tolist() == expected + rest


@pytest.mark.parametrize("name", [*VIDEOS, *CLIPS])
def test_check_finds_no_fault_but_that_it_is_not_the_published_size(
    theatre: Path, settings: Settings, name: str
) -> None:
    found = check(REGISTRY[name], theatre / name, settings.benchmarks[name].split)
    assert [f for f in found.findings.found if f.severity == "error"] == []
    assert found.usable
    warned = [f.problem for f in found.findings.found if f.severity == "warning"]
    assert all("published are" in problem for problem in warned)
    assert all(found.cases[part] for part in ("train", "val", "test"))


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def shows(picture: np.ndarray, renderer: Renderer, states: States, index: int) -> bool:
    """Whether a stored picture is the one of this state more than that of any other."""
    errors = [
        np.abs(picture.astype(int) - renderer.rgb(states[i])).mean() for i in range(len(states))
    ]
    return int(np.argmin(errors)) == index


@pytest.mark.parametrize("name", ["autolaparo", "pitvis"])
def test_second_i_of_a_video_shows_the_operation_at_second_i(
    theatre: Path, small: Theatre, settings: Settings, name: str
) -> None:
    case = REGISTRY[name].read(theatre / name, settings.benchmarks[name].split)[0]
    assert isinstance(case, VideoCase)
    operation = operation_of(name, 1, small)
    frames = read_frames(case.video)
    assert len(frames) == operation.seconds * case.fps
    states = operation.at(frame_times(operation.seconds, (1, 1)))
    renderer = Renderer(operation, 32, 32)
    for second in (1, operation.seconds // 2, operation.seconds - 1):
        assert shows(frames[second * int(case.fps)], renderer, states, second)


@pytest.mark.parametrize("name", ["egosurgery", "pmlr50"])
def test_picture_i_of_a_folder_shows_second_i_of_the_operation(
    theatre: Path, small: Theatre, settings: Settings, name: str
) -> None:
    for case in REGISTRY[name].read(theatre / name, settings.benchmarks[name].split):
        assert isinstance(case, VideoCase)
        operation = operation_of(name, int(case.case), small)
        pictures = sorted(case.video.glob("*.jpg"))
        assert len(pictures) == operation.seconds
        states = operation.at(frame_times(operation.seconds, (1, 1)))
        renderer = Renderer(operation, 32, 32)
        for second in (2, operation.seconds - 1):
            assert shows(np.array(Image.open(pictures[second])), renderer, states, second)


def test_a_clip_shows_one_action_from_its_first_frame_to_its_last(
    theatre: Path, small: Theatre
) -> None:
    for number in range(1, small.avos_videos + 1):
        clips = avos.clips_of(number, small, 0)
        motifs = [motif(avos.ACTIONS[action]) for _, action, _ in clips]
        frames = [seconds * avos.FPS for *_, seconds in clips]
        operation, starts = rehearse(avos.WORLD, seed_of(0, "avos", number), motifs, frames, 25)
        for played, start, count in zip(motifs, starts, frames, strict=True):
            times = start + frame_times(count, (avos.FPS, PACE))
            assert (operation.at(times).phase == played).all()
    shown = read_frames(theatre / "avos" / "videos" / f"{clips[-1][0]}.mp4")
    assert len(shown) == count
    states = operation.at(times[[0, count // 2, count - 1]])
    for index, frame in ((0, 0), (2, count - 1)):
        assert shows(shown[frame], Renderer(operation, 32, 32), states, index)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_is_read_with_its_class(
    theatre: Path, small: Theatre, settings: Settings, name: str
) -> None:
    cases = REGISTRY[name].read(theatre / name, settings.benchmarks[name].split)
    labels = {case.case: case.label for case in cases if isinstance(case, ClipCase)}
    if name == "avos":
        expected = {
            clip: avos_reader.ACTIONS.index(action)
            for number in range(1, 7)
            for clip, action, _ in avos.clips_of(number, small, 0)
        }
    elif name == "ophnet":
        expected = {
            f"case_{number:04d}_{i}": phase
            for number in range(1, 4)
            for i, phase in enumerate(ophnet.plan(number, small, 0).phases)
        }
    elif name == "polypdiag":
        every = polypdiag.sources(small, 0)
        expected = {clip: source.label for source in every for clip in source.clips}
    else:
        expected = {f"{a:02d}_{n:02d}": a - 1 for a in range(1, 17) for n in (1,)}
    assert labels == expected


def test_autolaparo_counts_seconds_and_phases_from_one(theatre: Path) -> None:
    rows = (theatre / "autolaparo/task1/labels/label_01.txt").read_text().splitlines()
    assert rows[0] == "Frame\tPhase"
    frames, phases = zip(*(map(int, row.split("\t")) for row in rows[1:]), strict=True)
    assert frames == tuple(range(1, len(frames) + 1))
    assert set(phases) <= set(range(1, 8))


def test_m2cai16_says_the_same_by_the_frame_and_by_the_clock(theatre: Path) -> None:
    for stem in ("train_dataset/workflow_video_01", "test_dataset/test_workflow_video_01"):
        frames, clock = (
            [line.split("\t") for line in (theatre / "m2cai16" / f"{stem}{end}").open()]
            for end in (".txt", "_timestamp.txt")
        )
        assert (frames[0], clock[0]) == (["Frame", "Phase\n"], ["Time", "Phase\n"])
        assert [row[1] for row in frames] == [row[1] for row in clock]
        assert [frames[1][0], frames[-1][0]] == ["1", str(len(frames) - 1)]
        assert [clock[1][0], clock[26][0]] == ["00:00:00.04", "00:00:01.04"]


def test_pitvis_counts_a_second_more_than_the_video_has_and_is_outside_at_both_ends(
    theatre: Path,
) -> None:
    for path in sorted((theatre / "pitvis").glob("annotations_*.csv")):
        text = path.read_bytes().decode()
        assert text.count("\r\n") == text.count("\n")
        rows = [list(map(int, row.split(","))) for row in text.split()[1:]]
        assert rows[0][2] == rows[-1][2] == -1
        assert {row[0] for row in rows} == {int(path.stem[-2:])}
        for _, _, step, first, second in rows:
            assert (step == -1) == (first == -1)
            assert second == -2 or 0 < first < second
        frames = read_frames(path.with_name(f"video_{path.stem[-2:]}.mp4"))
        assert len(rows) == len(frames) / 24 + 1
    names = (theatre / "pitvis" / "map_steps.csv").read_text().splitlines()
    assert sum(name.startswith("-1,") for name in names) == 3


def test_pitvis_shows_all_that_the_challenge_ignores(settings: Settings) -> None:
    seen: Counter[int] = Counter()
    for number in range(1, settings.theatre.small_videos + 1):
        operation = operation_of("pitvis", number, settings.theatre)
        phases = operation.at(frame_times(operation.seconds, (1, 1))).phase
        steps = [pitvis.NUMBERS[REPERTOIRE[phase].name] for phase in phases]
        assert steps[0] == steps[1] == steps[-2] == steps[-1] == -1
        seen.update(set(steps))
    assert (seen[-1], seen[11], seen[13]) == (12, 6, 4)


def test_every_third_video_of_egosurgery_has_two_recordings(theatre: Path) -> None:
    names = sorted(p.stem for p in (theatre / "egosurgery/annotations/phase").iterdir())
    assert names == ["01_1", "02_1", "03_1", "03_2", "04_1"]
    folder = theatre / "egosurgery/images/03"
    for name in ("03_1", "03_2"):
        count = len(list(folder.glob(f"{name}_*.jpg")))
        assert (folder / f"{name}_0001.jpg").is_file()
        assert (folder / f"{name}_{count:04d}.jpg").is_file()


def test_ophnets_table_says_how_long_each_clip_is(theatre: Path) -> None:
    table = theatre / "ophnet/annotation/OphNet2024_loca_challenge_phase.csv"
    text = table.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == 1 + 3 * ophnet.CLIPS
    numbers: Counter[str] = Counter()
    for row in text.split()[1:]:
        video, start, end, *_ = row.split(",")
        clip = f"{video}/{video}_{numbers[video]}.mp4"
        numbers[video] += 1
        frames = len(read_frames(theatre / "ophnet/OphNet2024_trimmed_phase" / clip))
        assert float(end) - float(start) == pytest.approx(frames / ophnet.FPS, abs=0.011)


def test_ids_of_avos_hold_the_letters_that_tools_split_at(settings: Settings) -> None:
    ids = [avos.clips_of(n, settings.theatre, 0)[0][0].rsplit("_", 2)[0] for n in range(1, 25)]
    assert {len(name) for name in ids} == {11}
    assert {"_", "-"} <= {name[0] for name in ids}
    assert any("_" in name[1:] for name in ids)
    assert len(set(ids)) == 24


def test_polyps_are_seen_in_abnormal_clips_all_the_time_and_never_in_normal_ones(
    theatre: Path, small: Theatre
) -> None:
    for source in polypdiag.sources(small, 0)[:4]:
        operation = polypdiag.explore(source, small, 0)
        if source.label:
            assert polypdiag.visible(operation, source) >= polypdiag.VISIBLE
        renderer = Renderer(operation, 32, 32)
        every = polypdiag.times_ms(source)
        middles = operation.at(np.array([times[len(times) // 2] for times in every]))
        for index, (clip, times) in enumerate(zip(source.clips, every, strict=True)):
            first, last = (int(n) for n in clip.rsplit("-", 2)[1:])
            frames = read_frames(theatre / "polypdiag/videos" / f"{clip}.mp4")
            assert len(frames) == last - first + 1 == len(times)
            assert shows(frames[len(times) // 2], renderer, middles, index)
            lesion = renderer.frame(middles[index], middles[index]).lesion.any()
            assert lesion == bool(source.label)


def test_what_is_lost_comes_back_and_nothing_else_is_touched(theatre: Path, small: Theatre) -> None:
    files = sorted(path for path in theatre.rglob("*") if path.is_file())
    stamps = {path: path.stat().st_mtime_ns for path in files}
    last = {name: LAYOUTS[name].jobs(theatre, small, 0)[-1].done for name in (*VIDEOS, *CLIPS)}
    before = {name: path.read_bytes() for name, path in last.items()}
    for path in last.values():
        path.unlink()
    layouts.write(theatre, small, 0, [*VIDEOS, *CLIPS])
    assert sorted(path for path in theatre.rglob("*") if path.is_file()) == files
    for name, path in last.items():
        if path.suffix != ".mp4":  # the encoder does not promise equal bytes
            assert path.read_bytes() == before[name]
    touched = {path for path in files if path.stat().st_mtime_ns != stamps[path]}
    kept = [theatre / name / place for name, place in FIRST.items()]
    assert not touched & set(kept)
    assert all(path.is_file() for path in kept)


@pytest.mark.parametrize("name", VIDEOS)
def test_at_the_default_size_every_played_class_is_in_every_part(
    settings: Settings, name: str
) -> None:
    count = settings.theatre.small_videos
    seconds, index = Counter[str](), class_of(name)
    shown: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for number in range(1, count + 1):
        # M2CAI16's test videos come first in natural order.
        place = (number + count // 3 - 1) % count + 1 if name == "m2cai16" else number
        part = part_of(place, count)
        operation = operation_of(name, number, settings.theatre)
        phases = operation.at(frame_times(operation.seconds, (1, 1))).phase
        shown[part] |= {index[REPERTOIRE[phase].name] for phase in phases}
        seconds[part] += operation.seconds
    played = set(index.values())
    assert all(part == played for part in shown.values())
    assert seconds["test"] < 250


def test_at_the_default_size_every_clip_class_is_in_every_part(settings: Settings) -> None:
    size = settings.theatre
    videos, cases = size.ophnet_videos, range(1, size.ophnet_videos + 1)
    shown = {
        "ophnet": {(part_of(n, videos), p) for n in cases for p in ophnet.plan(n, size, 0).phases}
    }
    clips = [clip for n in range(1, size.avos_videos + 1) for clip in avos.clips_of(n, size, 0)]
    groups = {name: name.rsplit("_", 2)[0] for name, *_ in clips}
    parts = split_cases(groups, REGISTRY["avos"].splits["theatre"], Findings(Path()))
    shown["avos"] = {(parts[name], avos_reader.ACTIONS.index(action)) for name, action, _ in clips}
    sources = {clip: s for s in polypdiag.sources(size, 0) for clip in s.clips}
    groups = {clip: source_video(clip) for clip in sources}
    stated: dict[str, Part] = {clip: LISTS[s.table] for clip, s in sources.items()}
    rule = REGISTRY["polypdiag"].splits["official"]
    parts = split_cases(groups, rule, Findings(Path()), stated)
    shown["polypdiag"] = {(parts[clip], s.label) for clip, s in sources.items()}
    assert len(set(groups.values())) == size.polypdiag_train + size.polypdiag_test
    classes = {"ophnet": len(ophnet.PHASES), "avos": 4, "polypdiag": 2}
    assert {name: len(found) for name, found in shown.items()} == {
        name: 3 * count for name, count in classes.items()
    }


def test_no_two_classes_of_a_benchmark_share_a_motif() -> None:
    for name in VIDEOS:
        classes = [index for index in class_of(name).values() if index != IGNORED]
        assert len(set(classes)) == len(classes)
    assert len(set(ophnet.PHASES.values())) == len(ophnet.PHASES) == 8
    assert len(REPERTOIRE) == len(REGISTRY["surgicalactions160"].classes) == 16
