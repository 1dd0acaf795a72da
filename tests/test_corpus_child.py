"""Work in a child process: results come back, and nothing that it does reaches its caller."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus_recordings as deeds
import psutil
import pytest

from unisurg.corpus.child import (
    HEADER,
    Child,
    ChildCrashed,
    ChildFailed,
    ChildOutOfMemory,
    ChildTimeout,
    _receive,
)

MEMORY_MIB = 2048


def test_a_child_answers_call_after_call() -> None:
    with Child(MEMORY_MIB) as child:
        assert [child.call(deeds.add, {"a": i, "b": 1}, 20.0) for i in range(3)] == [1, 2, 3]


def test_an_exception_arrives_as_itself_and_the_child_lives_on() -> None:
    with Child(MEMORY_MIB) as child:
        with pytest.raises(ValueError, match="bad luck"):
            child.call(deeds.fail, {"text": "bad luck"}, 20.0)
        with pytest.raises(ChildFailed, match="Local: does not pickle"):
            child.call(deeds.fail_strangely, {}, 20.0)
        assert child.call(deeds.add, {"a": 1, "b": 1}, 20.0) == 2


def test_a_child_that_hangs_deaf_to_signals_is_killed_within_its_limit() -> None:
    with Child(MEMORY_MIB) as child:
        child.call(deeds.add, {"a": 1, "b": 1}, 20.0)
        start = time.monotonic()
        with pytest.raises(ChildTimeout, match="killed after 1 s"):
            child.call(deeds.hang, {}, 1.0)
        assert 1.0 <= time.monotonic() - start < 10.0


def test_an_answer_that_stops_midway_is_not_waited_for_past_the_limit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(HEADER.pack(100) + b"x" * 40)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            _receive(ours, start + 0.5)
        assert 0.5 <= time.monotonic() - start < 5.0


def test_what_a_child_keeps_is_given_to_every_later_call() -> None:
    with Child(MEMORY_MIB) as child:
        child.keep({"b": 40}, 20.0)
        assert [child.call(deeds.add, {"a": i}, 20.0) for i in (1, 2)] == [41, 42]


def test_an_interrupt_at_the_terminal_is_left_to_the_caller() -> None:
    with Child(MEMORY_MIB) as child:
        child.call(deeds.add, {"a": 1, "b": 1}, 20.0)
        os.kill(child._process.pid, signal.SIGINT)
        assert child.call(deeds.add, {"a": 1, "b": 2}, 20.0) == 3


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_child_that_dies_by_a_signal_says_by_which(number: signal.Signals) -> None:
    with Child(MEMORY_MIB) as child, pytest.raises(ChildCrashed, match=f"died by {number.name}"):
        child.call(deeds.die_by, {"number": int(number)}, 20.0)


def test_a_child_that_leaves_is_quoted() -> None:
    with Child(MEMORY_MIB) as child, pytest.raises(ChildCrashed, match="exit status 3: last words"):
        child.call(deeds.leave, {"status": 3}, 20.0)


def test_a_child_cannot_take_more_memory_than_it_is_given() -> None:
    with Child(MEMORY_MIB) as child, pytest.raises(ChildOutOfMemory):
        child.call(deeds.swallow_memory, {}, 20.0)


def test_threads_each_drive_a_child_of_their_own() -> None:
    def one(i: int) -> int:
        with Child(MEMORY_MIB) as child:
            result: int = child.call(deeds.add, {"a": i, "b": i}, 30.0)
            return result

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(8))) == [2 * i for i in range(8)]


def test_a_child_dies_with_its_caller(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "from pathlib import Path; from corpus_recordings import own_pid_then_hang\n"
        "from unisurg.corpus.child import Child\n"
        f"Child({MEMORY_MIB}).call(own_pid_then_hang, {{'note': Path({str(note)!r})}}, 60.0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    caller = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        wait_for(lambda: note.exists() and note.read_text() != "")
    finally:
        caller.kill()
        caller.wait()
    wait_for(lambda: not psutil.pid_exists(int(note.read_text())))


def test_reading_video_imports_no_heavy_library() -> None:
    script = (
        "import sys, unisurg.corpus.normalise\n"
        "print([m for m in ('torch', 'pandas', 'pydantic', 'decord', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def wait_for(condition: object, limit_s: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
