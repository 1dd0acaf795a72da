"""A raw recording is read for its SHA-256 once, and again whenever it may have changed."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from curating import Here

from unisurg.corpus.inputs import Recording
from unisurg.corpus.mapping import Failed, Outcomes
from unisurg.corpus.scan.hashed import SEALS, YOUNG_NS, hash_one, hashed

OLD_NS = 1_600_000_000_000_000_000


class Reader(Here):
    """Remembers which recordings were read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        self.read += [item.raw for item in items]
        return super().outcomes(function, items)


@pytest.fixture
def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now is a minute later, so what the test wrote is not young."""
    import time

    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def recording(*files: Path, archive: Path | None = None) -> Recording:
    return Recording(
        raw=files[0].name,
        source="s",
        kind="video",
        files=files,
        missing=0,
        raw_bytes=9,
        folders=("raw",),
        archive=archive,
    )


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("_late")
def test_what_was_read_is_not_read_again_and_a_new_recording_alone_is(tmp_path: Path) -> None:
    reader = Reader()
    one, two = (recording(written(tmp_path / name, name.encode())) for name in ("a.mp4", "b.mp4"))
    assert hashed([one], tmp_path, reader) == [sha256(b"a.mp4")]
    assert hashed([two, one], tmp_path, reader) == [sha256(b"b.mp4"), sha256(b"a.mp4")]
    assert hashed([one, two], tmp_path, reader) == [sha256(b"a.mp4"), sha256(b"b.mp4")]
    assert reader.read == ["a.mp4", "b.mp4"]


def rewritten(path: Path) -> None:
    """Other bytes, as many, with the old time of change."""
    told = path.stat()
    path.write_bytes(b"B" * told.st_size)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def replaced(path: Path) -> None:
    other = written(path.with_name("other"), b"C" * path.stat().st_size)
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.usefixtures("_late")
@pytest.mark.parametrize("change", [rewritten, replaced, lambda path: path.write_bytes(b"longer")])
def test_a_file_that_was_changed_in_any_way_is_read_again(
    change: Callable[[Path], Any], tmp_path: Path
) -> None:
    reader, path = Reader(), written(tmp_path / "a.mp4", b"A")
    pictures = recording(path, written(tmp_path / "b.png", b"-"))
    assert hashed([pictures], tmp_path, reader) == [sha256(b"A-")]
    change(path)
    assert hashed([pictures], tmp_path, reader) == [sha256(path.read_bytes() + b"-")]
    assert reader.read == ["a.mp4"] * 2


def test_a_file_that_changed_within_two_seconds_of_being_read_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.mp4", b"A")
    changed_ns = path.stat().st_ctime_ns
    monkeypatch.setattr("time.time_ns", lambda: changed_ns + YOUNG_NS)
    assert hash_one(recording(path)) == (sha256(b"A"), "")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    assert hash_one(recording(path)) == (sha256(b"A"), ""), "its inode is young all the same"
    reader = Reader()
    for _ in range(2):
        assert hashed([recording(path)], tmp_path, reader) == [sha256(b"A")]
    assert len(reader.read) == 2
    monkeypatch.setattr("time.time_ns", lambda: path.stat().st_ctime_ns + YOUNG_NS + 1)
    assert len(hash_one(recording(path))[1]) == 64


@pytest.mark.usefixtures("_late")
def test_a_file_that_changes_while_it_is_read_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.mp4", b"A")

    def slow(self: Recording) -> str:
        path.write_bytes(b"B")
        return sha256(b"A")

    monkeypatch.setattr(Recording, "sha256", slow)
    assert hash_one(recording(path)) == (sha256(b"A"), "")


@pytest.mark.usefixtures("_late")
def test_members_of_one_archive_have_seals_of_their_own(tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in "ab":
            file.writestr(f"{name}.mp4", name)
    reader = Reader()
    members = [recording(archive / f"{name}.mp4", archive=archive) for name in "ab"]
    for _ in range(2):
        assert hashed(members, tmp_path, reader) == [sha256(b"a"), sha256(b"b")]
    assert reader.read == ["a.mp4", "b.mp4"]


@pytest.mark.usefixtures("_late")
def test_a_seal_that_was_cut_short_or_spoilt_is_none_and_those_after_it_hold(
    tmp_path: Path,
) -> None:
    one, two = (recording(written(tmp_path / name, b"x")) for name in ("a.mp4", "b.mp4"))
    hashed([one], tmp_path, Reader())
    seals = tmp_path / SEALS
    for spoilt in (seals.read_bytes()[:-9], seals.read_bytes().replace(b" ", b"\0"), b"\xff\n"):
        seals.write_bytes(spoilt)
        reader = Reader()
        for _ in range(2):
            assert hashed([one, two], tmp_path, reader) == [sha256(b"x")] * 2
        assert reader.read == ["a.mp4", "b.mp4"]


def test_a_recording_that_cannot_be_read_fails_each_time_and_the_others_do_not(
    tmp_path: Path,
) -> None:
    gone, there = recording(tmp_path / "gone.mp4"), recording(written(tmp_path / "a.mp4", b"A"))
    for _ in range(2):
        failed, found = hashed([gone, there], tmp_path, Reader())
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, FileNotFoundError)
        assert found == sha256(b"A")


@pytest.mark.usefixtures("_late")
def test_no_name_is_in_the_file_of_seals(tmp_path: Path) -> None:
    hashed([recording(written(tmp_path / "Mueller_Hans.mp4", b"A"))], tmp_path, Reader())
    assert b"Mueller" not in (tmp_path / SEALS).read_bytes()
