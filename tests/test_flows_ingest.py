"""The drop folder: what arrives is taken up whole, or refused with a reason, and never lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from corpus_recordings import write_video

from flows import arrivals, moving, pointer
from unisurg import telemetry

ROOT = Path(__file__).resolve().parent.parent
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    telemetry.switch_off()


def run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def repository(root: Path) -> Path:
    """A repository whose recordings lie in `recordings`, with a DVC remote beside it."""
    root.mkdir()
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["curate"]["input"] = "recordings"
    settings["orchestration"]["ingest"] |= {
        "drop": str(root.parent / "drop"),
        "quarantine": str(root.parent / "quarantine"),
        "settle_s": 0.01,
    }
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    (root / ".gitignore").write_text(".scratch\n")
    run(root, "git", "init", "--quiet")
    run(root, "git", "config", "user.name", "A Surgeon")
    run(root, "git", "config", "user.email", "surgeon@example.org")
    run(root, *DVC, "init", "--quiet")
    run(root, *DVC, "remote", "add", "--default", "store", str(root.parent / "store"))
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "begin")
    (root.parent / "drop").mkdir()
    return root


def filled(drop: Path) -> None:
    """Two videos, a third with the name of another, a torn one, a loose one, a note."""
    from fractions import Fraction

    stamps = list(range(12))
    good = write_video(drop / "ours" / "one.mp4", stamps, Fraction(1, 25))
    shutil.copy(good, drop / "ours" / "two.mp4")
    shutil.copy(good, drop / "loose.mp4")
    (drop / "ours" / "taken.mp4").write_bytes(good.read_bytes() + b" ")
    (drop / "ours" / "torn.mp4").write_bytes(good.read_bytes()[:700])
    (drop / "ours" / "note.txt").write_text("call me")
    (drop / "ours" / ".half.mp4").write_text("arriving")


@pytest.fixture(scope="module")
def taken_up(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> tuple[Path, str]:
    """The flow as one starts it, on a drop folder with all sorts of files; what it printed."""
    from flows import ingest

    top = tmp_path_factory.mktemp("ingest")
    root = repository(top / "repository")
    filled(top / "drop")
    (root / "recordings" / "ours").mkdir(parents=True)
    shutil.copy(top / "drop" / "ours" / "two.mp4", root / "recordings" / "ours" / "two.mp4")
    (root / "recordings" / "ours" / "taken.mp4").write_text("another")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        arrived = ingest.ingest()
    return root, ingest.summary(arrived)


def test_what_can_be_read_lies_among_the_recordings_and_nowhere_else(
    taken_up: tuple[Path, str],
) -> None:
    root, _ = taken_up
    names = sorted(p.name for p in (root / "recordings" / "ours").iterdir())
    assert names == ["one.mp4", "taken.mp4", "two.mp4"]
    assert (root / "recordings" / "ours" / "taken.mp4").read_text() == "another"
    left = [p for p in (root.parent / "drop").rglob("*") if p.is_file()]
    assert [p.name for p in left] == [".half.mp4"]


def test_what_cannot_be_taken_up_is_in_quarantine_with_its_reason(
    taken_up: tuple[Path, str],
) -> None:
    quarantine = taken_up[0].parent / "quarantine"
    told = {
        str(path.relative_to(quarantine)): json.loads(path.read_text())["reason"]
        for path in quarantine.rglob("*.reason.json")
    }
    assert sorted(told) == [
        "loose.mp4.reason.json",
        "ours/note.txt.reason.json",
        "ours/taken.mp4.reason.json",
        "ours/torn.mp4.reason.json",
    ]
    assert told["ours/torn.mp4.reason.json"].startswith("unreadable: ")
    assert "named after its source" in told["loose.mp4.reason.json"]
    assert "other bytes" in told["ours/taken.mp4.reason.json"]
    for name in told:
        assert (quarantine / name.removesuffix(".reason.json")).is_file()


def test_the_data_are_recorded_committed_and_pushed(taken_up: tuple[Path, str]) -> None:
    root, said = taken_up
    outs = yaml.safe_load((root / "recordings.dvc").read_text())["outs"]
    assert outs[0]["nfiles"] == 3
    assert run(root, "git", "status", "--porcelain").strip() == ""
    assert "1 taken up, 1 there already" in run(root, "git", "log", "-1", "--format=%s")
    pushed = list((root.parent / "store").rglob(f"{outs[0]['md5'][2:]}"))
    assert len(pushed) == 1
    assert "pushed to DVC's remote" in said


def test_the_summary_counts_and_names_no_recording(taken_up: tuple[Path, str]) -> None:
    said = taken_up[1]
    assert "1 taken up, 1 there already, 4 in quarantine, 0 left" in said
    assert "**No row in sources.yaml**: drop, ours" in said
    assert "one.mp4" not in said
    assert "torn.mp4" not in said


def test_a_vanished_drop_folder_is_told_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import ingest
    from flows.children import Children
    from unisurg.settings import load

    root = repository(tmp_path / "repository")
    (tmp_path / "drop").rmdir()
    settings = load(root / "params.yaml")
    with pytest.raises(arrivals.DropFolderMissing, match=r"orchestration\.ingest\.drop"):
        ingest._ingest(tmp_path / "drop", tmp_path / "quarantine", settings, root, Children(1))
    assert run(root, "git", "status", "--porcelain").strip() == ""
    assert not (tmp_path / "quarantine").exists()


def test_without_a_drop_folder_the_setting_is_named(settings: object) -> None:
    from flows import ingest

    with pytest.raises(ingest.NoDropFolder, match=r"orchestration\.ingest\.drop is null"):
        ingest.places(settings, ROOT, None, None)  # type: ignore[arg-type]


def test_an_imported_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    root = repository(tmp_path / "repository")
    (root / "theatre" / "corpus").mkdir(parents=True)
    (root / "theatre" / "corpus" / "a").write_text("1")
    run(root, *DVC, "import-url", "--quiet", "theatre", "data")
    with pytest.raises(pointer.NoPlaceForRecordings, match=r"data\.dvc imports it from theatre"):
        pointer.pointed_at(root, Path("data/corpus"))
    assert pointer.pointed_at(root, Path("recordings")) == root / "recordings"
    assert pointer.pointed_at(root, tmp_path / "elsewhere") is None


def test_what_grows_is_waited_for_and_what_goes_on_growing_is_left(tmp_path: Path) -> None:
    (tmp_path / "whole").write_text("1")
    growing, pauses = tmp_path / "growing", []

    def grow(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 4:
            growing.write_text("x" * len(pauses))

    whole, left = arrivals.settled(tmp_path, 10.0, 100.0, grow)
    assert (sorted(map(str, whole)), left, len(pauses)) == (["growing", "whole"], [], 4)
    pauses.clear()
    whole, left = arrivals.settled(tmp_path, 10.0, 20.0, grow)
    assert (list(map(str, whole)), list(map(str, left))) == (["whole"], ["growing"])


def test_a_file_moves_whole_and_never_over_another(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b" / "a"
    source.write_text("new")
    assert moving.move(source, target)
    assert (source.exists(), target.read_text()) == (False, "new")
    source.write_text("new")
    assert not moving.move(source, target)
    assert not source.exists()
    source.write_text("other")
    with pytest.raises(moving.NameTaken):
        moving.move(source, target)
    assert (source.read_text(), target.read_text()) == ("other", "new")
    assert [p.name for p in target.parent.iterdir()] == ["a"]


def test_a_file_that_changes_while_it_is_copied_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, copy = tmp_path / "a", moving._copy
    source.write_text("half")

    def slow(reading: Path, writing: Path) -> str:
        digest = copy(reading, writing)
        source.write_text("half and whole")
        return digest

    monkeypatch.setattr(moving, "_copy", slow)
    with pytest.raises(moving.Changed):
        moving.move(source, tmp_path / "b" / "a")
    assert source.read_text() == "half and whole"
    assert list((tmp_path / "b").iterdir()) == []


def test_a_move_that_is_killed_loses_nothing_and_leaves_no_half_file(tmp_path: Path) -> None:
    drop, place = tmp_path / "drop", tmp_path / "place"
    drop.mkdir()
    for number in range(400):
        (drop / f"{number}").write_text(f"{number}" * 1000)
    script = (
        "import sys; from pathlib import Path; from flows import moving\n"
        "for source in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    moving.move(source, Path(sys.argv[2]) / source.name)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(drop), str(place)], cwd=ROOT)
    while not place.is_dir() or len(list(place.iterdir())) < 20:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert any(drop.iterdir())
    for number in range(400):
        there = [folder / f"{number}" for folder in (drop, place)]
        found = [path.read_text() for path in there if path.exists()]
        assert found
        assert set(found) == {f"{number}" * 1000}
