"""Flows that really die, disks that are really full: nothing lost, nothing half taken for whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from toy_flows import SLOW, below, dvc, have_ended, repository, soon, start

from flows import ephemeral, guard, lease, pipeline
from flows.children import Children
from flows.troubles import CommandFailed
from unisurg import telemetry

STAGES: dict[str, dict[str, object]] = {
    "slow": {"cmd": SLOW, "outs": ["slow.txt"]},
    "after": {"cmd": "cp slow.txt after.txt", "deps": ["slow.txt"], "outs": ["after.txt"]},
}
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    telemetry.switch_off()


@dataclass(frozen=True)
class Story:
    """A flow that was killed at work, one that came while it was, and the next one."""

    root: Path
    refused: BaseException
    left: list[psutil.Process]
    lock_after_kill: bool
    next_run: dict[str, str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Story:
    root = repository(tmp_path_factory.mktemp("killed") / "toy", STAGES)
    first = start(root, prefect_api)
    soon((root / "slow.txt").is_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        refused = pipeline.pipeline(return_state=True).result(raise_on_failure=False)
        started = below(first)
        first.kill()
        first.communicate()
        soon(lambda: have_ended(started))
        locked = (root / "dvc.lock").exists()
        (root / "go").touch()
        next_run = pipeline.pipeline()
    return Story(root, refused, started, locked, next_run)


def test_a_second_flow_on_the_repository_is_refused_with_the_holder_named(story: Story) -> None:
    assert isinstance(story.refused, lease.RepositoryBusy)
    said = str(story.refused)
    assert said.startswith("the flow 'pipeline', process ")
    assert said.endswith("/flow.lease): wait for its end, or end that process")


def test_what_a_killed_flow_has_started_ends_with_it(story: Story) -> None:
    assert len(story.left) >= 3  # the guard, dvc, the stage's shell
    assert have_ended(story.left)


def test_what_a_killed_flow_has_left_half_written_is_not_taken_for_whole(story: Story) -> None:
    assert not story.lock_after_kill


def test_the_flow_after_a_killed_one_completes_and_nothing_has_run_twice_at_once(
    story: Story,
) -> None:
    assert list(story.next_run) == ["slow", "after"]
    assert (story.root / "after.txt").read_text() == "half\nwhole\n"
    assert (story.root / "ran.log").read_text() == "ran\nran\n"
    assert dvc(story.root, "status").strip() == "Data and pipelines are up to date."


def test_after_kill_9_of_dvc_its_stage_ends_and_the_next_run_completes(tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    root, errors = repository(tmp_path / "toy", STAGES), list[CommandFailed]()

    def reproduce() -> None:
        with disable_run_logger():
            try:
                pipeline.reproduce.fn("slow", root, False, Children(1), "alone")
            except CommandFailed as error:
                errors.append(error)

    thread = threading.Thread(target=reproduce)
    thread.start()
    soon((root / "slow.txt").is_file)
    guards = psutil.Process().children()
    its = [p for g in guards if "guard.py" in " ".join(g.cmdline()) for p in g.children()]
    (running,) = [process for process in its if "repro" in process.cmdline()]
    stage = running.children(recursive=True)
    running.kill()
    thread.join()
    assert "dvc repro ended with code 137" in str(errors[0])
    assert stage
    soon(lambda: have_ended(stage))  # a process closes its output a little before its end
    assert not (root / "dvc.lock").exists()
    (root / "go").touch()
    dvc(root, "repro")
    assert (root / "after.txt").read_text() == "half\nwhole\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "unisurg-test", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root, where it may mount, can have a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("free_mib", [3, 8], ids=["in the stage", "in DVC's cache"])
def test_a_full_disk_is_told_and_leaves_nothing_that_passes_for_whole(
    small_disk: Path, free_mib: int
) -> None:
    from prefect.logging import disable_run_logger

    write = f"{sys.executable} -c \"open('big', 'wb').write(b'x' * {6 * MIB})\""
    root = repository(small_disk / "toy", {"big": {"cmd": write, "outs": ["big"]}})
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - free_mib * MIB))
    with disable_run_logger():
        with pytest.raises(CommandFailed, match="No space left on device"):
            pipeline.reproduce.fn("big", root, False, Children(1), "alone")
        assert "big" in dvc(root, "status")
        ballast.unlink()
        assert pipeline.reproduce.fn("big", root, False, Children(1), "alone").ran
    assert (root / "big").read_bytes() == b"x" * (6 * MIB)
    for kept in (root / ".dvc/cache/files").rglob("??/*"):
        if kept.is_file() and kept.suffix != ".tmp":  # a name that nothing is read from
            assert hashlib.md5(kept.read_bytes()).hexdigest() == kept.parent.name + kept.name
    assert dvc(root, "status").strip() == "Data and pipelines are up to date."


def test_a_lease_frees_the_repository_with_the_process_that_held_it(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from flows import lease\n"
        "with lease.held(Path(sys.argv[1]), 'retrain'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with (
        pytest.raises(lease.RepositoryBusy, match=rf"'retrain', process {holder.pid} on "),
        lease.held(tmp_path, "pipeline"),
    ):
        pass
    holder.kill()
    holder.communicate()
    with lease.held(tmp_path, "pipeline") as path:
        assert b"pipeline" in path.read_bytes()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("end", ["released", "silent", "replaced"])
def test_what_runs_elsewhere_ends_with_the_flows_lease(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(guard, "PATIENCE_S", 2.0 if end == "silent" else 60.0)
    monkeypatch.setattr(lease, "BEAT_S", 0.1 if end == "released" else 60.0)
    theirs, ours = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(theirs))
    with lease.held(tmp_path, "pipeline") as path:
        watch = threading.Thread(target=guard._wait_for_the_end, args=(path,))
        watch.start()
        time.sleep(0.3)
        assert watch.is_alive()
        if end == "replaced":
            path.write_text('{"flow": "another"}\n0\n')
        if end != "released":
            watch.join(timeout=10)
            assert not watch.is_alive()
    watch.join(timeout=10)
    assert not watch.is_alive()
    os.close(ours)


def test_a_temporary_server_ends_with_a_killed_flow(tmp_path: Path) -> None:
    pretended = tmp_path / "server.py"
    pretended.write_text("import time; print('up', flush=True); time.sleep(60)")
    owner = (
        "import subprocess, sys, time; from flows import ephemeral\n"
        f"server = subprocess.Popen([sys.executable, {str(pretended)!r}, {ephemeral.SERVER!r}])\n"
        "time.sleep(0.3); ephemeral.tie_server(); print(server.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", owner],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    server = psutil.Process(int(next(line for line in lines if line != "up\n")))
    watches = [p for p in psutil.Process(process.pid).children() if "ephemeral" in str(p.cmdline())]
    assert len(watches) == 1
    process.send_signal(signal.SIGKILL)
    soon(lambda: have_ended([server]))
    soon(lambda: have_ended(watches))
    process.communicate()
