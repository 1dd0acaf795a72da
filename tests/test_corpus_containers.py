"""Archives: members are recordings like any, and no archive harms or loses more than it must."""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpus_dicoms as dicoms
import numpy as np
import pytest
from corpus_recordings import constant, number_of, numbered, write_pictures
from curating import Here
from test_corpus_scan_stage import FOLDER_KNOBS, digest, videos

from unisurg.corpus import archives, containers, overlaps, sources
from unisurg.corpus.archives import listing
from unisurg.corpus.child import Limits
from unisurg.corpus.containers import look_inside, plain
from unisurg.corpus.facts import Reason, Unusable
from unisurg.corpus.inputs import Inputs, find, is_told_by_name
from unisurg.corpus.manifest import read_quarantine
from unisurg.corpus.scan import folder
from unisurg.corpus.scan.origin import Origins
from unisurg.corpus.scan.stage import scan_folder
from unisurg.video.decode import open_clip

LIMITS = Limits(timeout_s=30.0, memory_mib=1024)
KINDS = [".tar", ".tar.gz", ".tgz", ".zip"]


def pack(archive: Path, members: dict[str, bytes]) -> Path:
    """An archive of the kind that its suffix names, with members in this order."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return archive
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return archive


def inside(top: Path) -> Inputs:
    return look_inside(find(top), top, LIMITS, Here())


def why(inputs: Inputs) -> dict[str, tuple[Reason, str]]:
    return {one.raw: (one.reason, one.why) for one in inputs.unreadable}


# ------------------------------------------------------------------ members are recordings


@pytest.mark.parametrize("suffix", KINDS)
def test_members_are_found_and_have_the_content_that_the_files_would_have(
    tmp_path: Path, suffix: str
) -> None:
    files = {
        "./case/a.mp4": b"video",
        "case/IM_01": bytes(128) + b"DICM",
        "case/notes.txt": b"notes",
        "frames/10.png": b"ten",
        "frames/9.png": b"nine",
    }
    for name, data in files.items():
        path = tmp_path / "plain" / "site" / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    pack(tmp_path / "packed" / "site" / f"x{suffix}", files)
    packed, unpacked = inside(tmp_path / "packed"), find(tmp_path / "plain")
    assert not packed.unreadable
    assert not packed.archives

    def told(inputs: Inputs, name: str) -> list[Any]:
        return [
            (r.raw.replace(name, "x"), r.source, r.kind, r.raw_bytes, r.folders[1:], r.sha256())
            for r in inputs.recordings
        ]

    assert told(packed, f"x{suffix}") == told(unpacked, "x")
    assert [r.kind for r in packed.recordings] == ["video", "video", "pictures"]
    assert [other.raw for other in packed.others] == [f"site/x{suffix}/case/notes.txt"]


def test_an_archive_names_a_data_set_but_nobody_who_vouches(tmp_path: Path) -> None:
    """The source, by which recordings count as de-identified, is that of the archive's place."""
    pack(tmp_path / "input" / "cholec80.zip", {"laparoscopy-a/video41.mp4": b"x"})
    pack(tmp_path / "input" / "ours" / "b.tar", {"cholec80/video42.mp4": b"y"})
    frames = {"1.png": b"one", "2.png": b"two"}
    pack(tmp_path / "input" / "ours" / "cholec80" / "video43.tar.gz", frames)
    origins = Origins(sources.load(), overlaps.load(), False)
    found = [origins.of(recording) for recording in inside(tmp_path / "input").recordings]
    assert [(origin.source_id, origin.dataset_d) for origin in found] == [
        ("input", "cholec80"),
        ("ours", "cholec80"),
        ("ours", "cholec80"),
    ]
    assert [origin.dataset_video for origin in found] == ["video41", "video42", "video43"]


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".zip"])
def test_a_recording_is_unpacked_in_its_own_order_under_numbers(
    tmp_path: Path, suffix: str
) -> None:
    names = [f"{i}.png" for i in (3, 1, 2)]
    pack(tmp_path / "input" / f"a{suffix}", {name: name.encode() for name in names})
    [recording] = inside(tmp_path / "input").recordings
    assert recording.raw == f"a{suffix}"
    (tmp_path / "work").mkdir()
    shown = plain(recording, tmp_path / "work", LIMITS)
    assert [path.name for path in shown.files] == ["000000.png", "000001.png", "000002.png"]
    assert [path.read_bytes() for path in shown.files] == [b"1.png", b"2.png", b"3.png"]
    assert shown.archive is None
    assert shown.sha256() == recording.sha256()


def test_a_plain_recording_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    [recording] = find(tmp_path).recordings
    assert plain(recording, tmp_path, LIMITS) is recording


# ------------------------------------------------------------------ hostile archives


def link(name: str, kind: bytes) -> Callable[[tarfile.TarFile], None]:
    def add(file: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)

    return add


def test_what_is_no_plain_file_of_a_tar_is_told_and_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for add in (
            link("soft.mp4", tarfile.SYMTYPE),
            link("hard.mp4", tarfile.LNKTYPE),
            link("pipe.mp4", tarfile.FIFOTYPE),
        ):
            add(file)
        for name in ("../up.mp4", "/etc/top.mp4", "in/../../up.mp4", "twice.mp4", "twice.mp4"):
            info = tarfile.TarInfo(name)
            info.size = 4
            file.addfile(info, io.BytesIO(name[-8:-4].encode()))
        file.addfile(tarfile.TarInfo("inner.tar.gz"))
    inputs = inside(tmp_path)
    assert [recording.raw for recording in inputs.recordings] == ["a.tar/twice.mp4"]
    away = "its name leads out of its archive"
    assert why(inputs) == {
        "a.tar/soft.mp4 (file 1)": (Reason.UNREADABLE, "a link in an archive"),
        "a.tar/hard.mp4 (file 2)": (Reason.UNREADABLE, "a link in an archive"),
        "a.tar/pipe.mp4 (file 3)": (Reason.UNREADABLE, "a pipe or a device in an archive"),
        "a.tar/../up.mp4 (file 4)": (Reason.UNSAFE, away),
        "a.tar//etc/top.mp4 (file 5)": (Reason.UNSAFE, away),
        "a.tar/in/../../up.mp4 (file 6)": (Reason.UNSAFE, away),
        "a.tar/twice.mp4 (file 8)": (
            Reason.UNREADABLE,
            "the archive holds an earlier file of this name",
        ),
        "a.tar/inner.tar.gz (file 9)": (
            Reason.UNREADABLE,
            "an archive inside an archive; unpack the outer one",
        ),
    }


def test_links_and_locked_members_of_a_zip_are_told(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.mp4": b"a" * 99, "../b.mp4": b"b"})
    with zipfile.ZipFile(path, "a") as file:
        info = zipfile.ZipInfo("soft.mp4")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the first member counts as encrypted
    path.write_bytes(data)
    inputs = inside(tmp_path)
    assert not inputs.recordings
    assert [reason for reason, _ in why(inputs).values()] == [
        Reason.UNSAFE,
        Reason.UNREADABLE,
        Reason.UNREADABLE,
    ]
    assert "encrypted" in why(inputs)["a.zip/a.mp4 (file 1)"][1]
    assert "link" in why(inputs)["a.zip/soft.mp4 (file 3)"][1]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(5):
            file.writestr(f"{number}.mp4", bytes(16 << 20))
    info = tarfile.TarInfo("a.mp4")
    info.size = 1 << 50
    (tmp_path / "b.tar").write_bytes(info.tobuf())
    inputs = inside(tmp_path)
    assert not inputs.recordings
    detail = "it unpacks to more than 100 times its bytes"
    assert why(inputs) == {
        "a.zip": (Reason.UNSAFE, detail),
        "b.tar": (Reason.UNSAFE, detail),
    }


def test_a_list_that_takes_its_reader_down_costs_that_archive_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import corpus_recordings as deeds

    pack(tmp_path / "a.tar", {"a.mp4": b"a"})
    with monkeypatch.context() as patch:
        patch.setattr(archives, "listing", deeds.greedy_listing)
        [(reason, _)] = why(inside(tmp_path)).values()
    assert reason == Reason.OUT_OF_MEMORY
    with monkeypatch.context() as patch:
        patch.setattr(archives, "listing", deeds.hanging_listing)
        patch.setattr(containers, "SLOWEST_BYTES_PER_S", 1 << 40)
        limits = replace(LIMITS, timeout_s=2.0)
        [one] = look_inside(find(tmp_path), tmp_path, limits, Here()).unreadable
    assert one.reason == Reason.TIMEOUT


def test_a_member_that_does_not_fit_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "a.tar", {"a.mp4": b"a"})
    with pytest.raises(Unusable, match=r"failed: \d+ MiB of scratch wanted, \d+ MiB are free"):
        archives.unpack(path, [path / "a.mp4"], 1 << 62, tmp_path, set())


# ------------------------------------------------------------------ damaged archives


def noise(seed: int, n_bytes: int = 300_000) -> bytes:
    return np.random.default_rng(seed).bytes(n_bytes)


FOUR = {f"{number}.mp4": noise(number) for number in range(4)}


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_of_an_archive_that_was_cut_off_there_is_what_it_still_holds(
    tmp_path: Path, suffix: str
) -> None:
    path = pack(tmp_path / "input" / f"a{suffix}", FOUR)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    inputs = inside(tmp_path / "input")
    [(raw, (reason, detail))] = why(inputs).items()
    assert (raw, reason) == (f"a{suffix}", Reason.UNREADABLE)
    assert "damaged or cut off behind 3 members" in detail
    assert [recording.raw for recording in inputs.recordings] == [
        f"a{suffix}/{number}.mp4" for number in range(3)
    ]
    whole = [plain(r, tmp_path, LIMITS).files[0].read_bytes() for r in inputs.recordings]
    assert whole[:2] == [FOUR["0.mp4"], FOUR["1.mp4"]]
    assert len(whole[2]) > 50_000
    assert FOUR["2.mp4"].startswith(whole[2])


def test_a_damaged_header_in_a_tar_is_no_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", FOUR)
    data = bytearray(path.read_bytes())
    data[data.index(b"2.mp4")] ^= 1
    path.write_bytes(data)
    inputs = inside(tmp_path)
    assert len(inputs.recordings) == 2
    assert "behind 2 members" in why(inputs)["a.tar"][1]


def test_a_zip_without_its_list_is_unreadable_and_a_damaged_member_costs_itself_alone(
    tmp_path: Path,
) -> None:
    path = pack(tmp_path / "input" / "a.zip", FOUR)
    data = bytearray(path.read_bytes())
    (tmp_path / "input" / "b.zip").write_bytes(data[: len(data) - 300])
    middle = data.index(FOUR["2.mp4"][150_000:150_050])
    data[middle : middle + 50] = bytes(50)
    path.write_bytes(data)
    inputs = inside(tmp_path / "input")
    assert why(inputs) == {
        "b.zip": (Reason.UNREADABLE, "damaged or cut off behind 0 members (BadZipFile)")
    }
    sizes = [len(plain(r, tmp_path, LIMITS).files[0].read_bytes()) for r in inputs.recordings]
    assert [sizes[i] for i in (0, 1, 3)] == [300_000] * 3
    assert 200_000 < sizes[2] < 300_000


def test_a_member_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.mp4": b"short"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 16] ^= 1  # its check sum
    path.write_bytes(data)
    [recording] = inside(tmp_path).recordings
    with pytest.raises(Unusable, match="unreadable: damaged in its archive"):
        recording.sha256()


def test_an_archive_of_nothing_is_a_file_like_any(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", {})
    pack(tmp_path / "b.tar", {})
    assert [(other.raw, other.suffix) for other in inside(tmp_path).others] == [
        ("a.zip", ".zip"),
        ("b.tar", ".tar"),
    ]


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".zip"])
def test_no_damage_of_an_archive_makes_anything_but_a_list(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path / f"a{suffix}", {f"{n}.mp4": noise(n, 2000) for n in range(6)})
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 5):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged[: rng.integers(1, len(data) + 1)])
        found = listing(path, is_told_by_name)
        files = [path / one.name for one in found.members if not one.refusal]
        for file in files:
            with contextlib.suppress(Unusable):
                read = b"".join(b"".join(blocks) for blocks in archives.contents(path, [file]))
                assert len(read) < 1 << 20


# ------------------------------------------------------------------ the stage, on all of them


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of the scan, scratch) of the same recordings plain, packed and in DICOM."""
    top = tmp_path_factory.mktemp("containers")
    raw, aside = top / "raw", top / "aside"
    video = constant(aside / "a.mp4", 25, 100)
    other = constant(aside / "b.mp4", 10, 40)
    frames = write_pictures(aside / "frames", [f"{i}.png" for i in range(4)])
    shutil.copytree(aside, raw / "plain")
    (raw / "plain" / "a.mp4").unlink()
    pictures = {f"frames/{path.name}": path.read_bytes() for path in sorted(frames.iterdir())}
    dicom = dicoms.write_video(aside / "IM_1", video).read_bytes()
    pack(raw / "packed" / "x.tgz", {"a.mp4": video.read_bytes(), "b.mp4": other.read_bytes()})
    pack(raw / "packed" / "y.zip", pictures | {"DICOM/IM_1": dicom})
    dicoms.write_jpegs(raw / "discs" / "IM_2", [numbered(n) for n in range(60)], FrameTime="50")
    dicoms.write_jpegs(raw / "discs" / "IM_3", [numbered(0)], FrameTime="50")
    cut = pack(raw / "packed" / "z.tar", {"a.mp4": noise(1), "b.mp4": noise(2)})
    cut.write_bytes(cut.read_bytes()[:400_000])
    before = digest(raw)
    knobs = replace(FOLDER_KNOBS, max_quarantined=1.0)
    places = raw, top / "scan", top / "scratch"
    scan_folder(*places, knobs, sources.load(), overlaps.load(), Here())
    assert digest(raw) == before, "the stage changed its raw input"
    return top / "scan", top / "scratch"


def test_every_member_and_every_dicom_ends_as_a_video_or_in_quarantine(
    scanned: tuple[Path, Path],
) -> None:
    kept = videos(scanned[0])
    assert sorted(kept.index) == [
        "discs/IM_2",
        "packed/x.tgz/a.mp4",
        "packed/x.tgz/b.mp4",
        "packed/y.zip/DICOM/IM_1",
        "packed/y.zip/frames",
    ]
    reasons = read_quarantine(scanned[0])["reason"].value_counts().to_dict()
    assert reasons == {
        "duplicate": 2,  # plain/b.mp4 and plain/frames
        "unreadable": 3,  # noise and its archive
        "no_video_stream": 1,
    }


def test_what_was_packed_gives_the_clip_that_it_would_have_given_plain(
    scanned: tuple[Path, Path], tmp_path: Path
) -> None:
    kept = videos(scanned[0])
    clips = {raw: folder.clip(scanned[0], row.video_id) for raw, row in kept.iterrows()}
    a, in_dicom = clips["packed/x.tgz/a.mp4"], clips["packed/y.zip/DICOM/IM_1"]
    assert a.read_bytes() == in_dicom.read_bytes()
    assert kept.loc["packed/x.tgz/a.mp4"].video_id != kept.loc["packed/y.zip/DICOM/IM_1"].video_id
    with open_clip(clips["discs/IM_2"]) as reader:
        assert [number_of(frame) for frame in reader.read(range(len(reader)))] == [0, 20, 40]


def test_nothing_that_was_unpacked_stays_and_nothing_tells_the_patient(
    scanned: tuple[Path, Path],
) -> None:
    scan, scratch = scanned
    assert list((scratch / "scan" / "work").iterdir()) == []
    for path in (*scan.rglob("*"), *scratch.rglob("*")):
        assert path.is_dir() or b"Mueller" not in path.read_bytes()
