"""A patient's name in a file's name is known to the restricted folder, and to nothing else."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys
import tarfile
import traceback
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
import yaml
from corpus_recordings import write_pictures
from corpus_scans import film, pan
from curating import SOURCE

from unisurg.cli import main
from unisurg.corpus import manifest
from unisurg.corpus.assemble import check_accounts
from unisurg.corpus.child import ChildCrashed, ChildOutOfMemory
from unisurg.corpus.facts import Reason
from unisurg.corpus.fates import fates
from unisurg.corpus.inputs import Recording, as_text
from unisurg.corpus.intervals import whole
from unisurg.corpus.leakage import HeldOutOf
from unisurg.corpus.opaque import known_suffix, recording_id, source_of
from unisurg.corpus.overlaps import Held, load
from unisurg.corpus.raw_names import (
    RAW_NAMES,
    read_raw_names,
    restricted_of,
    write_raw_names,
)
from unisurg.corpus.refusals import CurationError, refused
from unisurg.corpus.scan.origin import Origin
from unisurg.corpus.scan.rows import Work, name_rows, procedures_of
from unisurg.corpus.seconds import ConservationError
from unisurg.settings import Settings
from unisurg.stages.leak import held_out_of_all

NAME = "Mueller_Hans_1961"
FATES = {
    f"ours/{NAME}/{NAME}.mp4": "kept",
    f"ours/{NAME}_packed.tar/{NAME}.mp4": "kept",
    f"ours/{NAME}_in_another_file.mp4": "duplicate",
    f"ours/{NAME}_of_the_test.mp4": "leak",
    f"polypdiag/{NAME}.mp4": "leak",
    f"nobodys/{NAME}.mp4": "not_deidentified",
    f"ours/{NAME}_again.mp4": "duplicate",
    f"ours/{NAME}_torn.mp4": "unreadable",
    f"ours/{NAME}_gone.mp4": "failed",
    f"ours/{NAME}_away": "no_access",
    f"ours/{NAME}_views": "not_a_sequence",
    f"{NAME}.mp4": "empty",
    f"ours/.{NAME}": "other",
    f"ours/notes.{NAME}": "other",
    f"{NAME}.txt": "other",
    "sources.yaml": "other",
    "overlaps.yaml": "other",
}


def seen(path: Path, seed: int, crf: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return film(path, pan(seed, 300, every=5), rate=Fraction(5), crf=crf)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of every fate, whose files and folders are called after a patient."""
    top = tmp_path_factory.mktemp("raw") / "recordings"
    ours = top / "ours"
    one = seen(ours / NAME / f"{NAME}.mp4", 1)
    shutil.copy(one, ours / f"{NAME}_again.mp4")
    seen(ours / f"{NAME}_in_another_file.mp4", 1, crf=34)
    seen(ours / f"{NAME}_of_the_test.mp4", 2)
    seen(top / "polypdiag" / f"{NAME}.mp4", 3)
    seen(top / "nobodys" / f"{NAME}.mp4", 4)
    with tarfile.open(ours / f"{NAME}_packed.tar", "w") as tar:
        tar.add(seen(top.parent / "packed.mp4", 5), f"{NAME}.mp4")
    (ours / f"{NAME}_torn.mp4").write_text("no video\n" * 99)
    (ours / f"{NAME}_gone.mp4").symlink_to(top / f"{NAME}_nowhere.mp4")
    (ours / f"{NAME}_away").symlink_to(top.parent)
    write_pictures(ours / f"{NAME}_views", [f"Mueller_Hans_{view}.png" for view in "ab"])
    (top / f"{NAME}.mp4").write_bytes(b"")
    for name in (f"ours/.{NAME}", f"ours/notes.{NAME}", f"{NAME}.txt"):
        (top / name).write_text("notes")
    rows = {"ours": SOURCE, "nobodys": {**SOURCE, "deid_by_provider": None}}
    rows["polypdiag"] = {**SOURCE, "dataset": "polypdiag", "replaces": True}
    (top / "sources.yaml").write_text(yaml.safe_dump({"sources": rows}))
    shared = {
        "a": "ours",
        "b": "cholec80",
        "pairs": {f"{NAME}_of_the_test": 41},
        "complete": True,
        "source": "the surgeon",
        "checked": "2026-11-26",
    }
    known = {"datasets": {"ours": {"title": "Ours"}}, "shared": [shared]}
    (top / "overlaps.yaml").write_text(yaml.safe_dump(known))
    return top


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    changes = {
        "curate": {"short_side_px": 64, "timeout_s": 30.0, "max_quarantined": 1.0},
        "leaks": {"indices": Path("indices")},
        "deid": {"text": settings.deid.text.model_copy(update={"sides_px": (352,)})},
        "runner": {"workers": 1},
    }
    sections = {
        name: getattr(settings, name).model_copy(update=update) for name, update in changes.items()
    }
    return settings.model_copy(update=sections)


SCRIPT = """
import pickle, sys
from pathlib import Path
from test_corpus_names import run_all
run_all(pickle.load(sys.stdin.buffer), Path(sys.argv[1]))
"""


def run_all(settings: Settings, raw: Path) -> None:
    """Curate in the working folder: stage by stage, once more where much must not be refused, and
    in one go, which holds the tables to their rules and leaves a page too."""
    from unisurg.stages import balance, clean, corpus, curate, dedup, deidentify, leak, scan, shards

    home = Path("artifacts")
    strict = settings.curate.model_copy(update={"max_quarantined": 0.1})
    try:
        scan.run(settings.model_copy(update={"curate": strict}), raw, home)
    except CurationError:
        traceback.print_exc()
    scan.run(settings, raw, home)
    deidentify.run(settings, raw, home)
    clean.run(settings, home)
    dedup.run(settings, home)
    leak.run(settings, raw, home)
    corpus.run(settings, home)
    shards.run(settings, home / "corpus", home / "shards")
    balance.run(settings, home / "corpus", home / "balance")
    curate.run(settings, raw, Path("curated"))


@pytest.fixture(scope="module")
def place(raw: Path, small: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working folder in which all stages have run, and what they said on the screen."""
    top = tmp_path_factory.mktemp("place")
    (top / "params.yaml").touch()  # the place of MLflow's database
    (top / "indices").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(raw)],
        cwd=top,
        env=environment,
        input=pickle.dumps(small),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    words = done.stdout.decode()
    assert done.returncode == 0, words
    return top, words


@pytest.mark.parametrize("corpus", ["artifacts/corpus", "curated"])
def test_every_file_has_its_fate_under_an_opaque_id(place: tuple[Path, str], corpus: str) -> None:
    table = fates(place[0] / corpus)
    told = dict(zip(table["raw"], zip(table["state"], table["reason"], strict=True), strict=True))
    assert {raw: reason.partition(":")[0] if state == "quarantined" else state
            for raw, (state, reason) in told.items()} == FATES  # fmt: skip
    assert table["recording"].str.fullmatch("[0-9a-f]{16}").all()
    assert table["recording"].is_unique


def test_a_name_is_nowhere_but_in_folders_that_their_owner_alone_may_enter(
    place: tuple[Path, str],
) -> None:
    top, _ = place
    met = {path for path in top.rglob("*") if names(path)}
    closed = {path for path in top.rglob("*") if path.is_dir() and is_closed(path)}
    allowed = [top / "artifacts/scan", top / "curated/restricted", top / ".scratch/curate/scan"]
    assert set(allowed) <= closed
    open_to_all = sorted(p for p in met if not any(p.is_relative_to(one) for one in allowed))
    assert open_to_all == []
    assert {path.name for path in met} >= {RAW_NAMES, "names.csv", "videos.parquet"}
    assert list(top.glob("mlruns/artifacts/*/artifacts/quarantine.csv"))
    assert (top / "curated/report.html").is_file()


def is_closed(folder: Path) -> bool:
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def names(path: Path) -> bool:
    """Whether the name, or half of it, is in a file's name, its bytes or the texts of its table."""
    if path.is_dir():
        return holds_a_name(path.name)
    said = path.name + path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        said += " ".join([*table.columns, *table.select_dtypes("object").astype(str).sum()])
    return holds_a_name(said)


def holds_a_name(text: str) -> bool:
    return any(part in text.casefold() for part in ("mueller", "hans_", "_1961"))


def test_a_name_in_a_table_would_be_found(tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x", f"by {NAME}"]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"a": ["x", "y"]}).to_parquet(tmp_path / "b.parquet")
    assert [names(tmp_path / f"{name}.parquet") for name in "ab"] == [True, False]


def test_a_name_is_never_said_on_the_screen(place: tuple[Path, str]) -> None:
    _, said = place
    assert "more than the share of 0.1" in said
    assert "curate: " in said
    assert "leak: " in said
    assert not holds_a_name(said)


def test_both_ways_of_curating_give_the_same_ids(place: tuple[Path, str]) -> None:
    top, _ = place
    one, other = (
        read_raw_names(restricted_of(top / name)) for name in ("artifacts/scan", "curated")
    )
    pd.testing.assert_frame_equal(one, other)


def test_other_files_are_counted_by_suffix_and_are_in_no_share(place: tuple[Path, str]) -> None:
    top, said = place
    inputs = manifest.read_inputs(top / "curated")
    others = inputs[inputs["kind"] == manifest.OTHER]
    assert others["suffix"].value_counts().to_dict() == {
        ".yaml": 2, ".txt": 1, "(hidden)": 1, "(unknown)": 1
    }  # fmt: skip
    n_recordings = len(inputs) - len(others)
    assert f"{n_recordings} recordings: " in said
    assert "other files: (hidden) 1, (unknown) 1, .txt 1, .yaml 2" in said
    assert f"6 of {n_recordings} recordings are in quarantine" in said


def test_the_source_is_the_first_folder_and_never_a_file(place: tuple[Path, str]) -> None:
    inputs = manifest.read_inputs(place[0] / "curated")
    assert set(inputs["source"]) == {"ours", "nobodys", "polypdiag", "recordings"}
    assert source_of(f"ours/{NAME}.mp4", "top") == "ours"
    assert source_of(f"{NAME}.mp4", "top") == "top"
    assert source_of(f"{NAME}.tar.gz/a/b.mp4", "top") == "top"


def test_the_verb_leads_from_an_id_to_the_file_where_the_names_are_kept(
    place: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = place[0] / "curated"
    assert main(["recordings", "--corpus", str(corpus)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(FATES) + 1
    torn = recording_id(f"ours/{NAME}_torn.mp4", sha256(b"no video\n" * 99).hexdigest())
    assert main(["recordings", torn, "--corpus", str(corpus)]) == 0
    said = capsys.readouterr().out
    assert f"ours/{NAME}_torn.mp4" in said
    assert "quarantined" in said
    assert "unreadable: " in said
    clip = manifest.read_manifest(corpus)["clip_id"][0]
    assert main(["recordings", clip, "--corpus", str(corpus)]) == 0
    assert "kept" in capsys.readouterr().out
    assert main(["recordings", "--corpus", str(place[0] / "artifacts/scan")]) == 0
    assert "scanned" in capsys.readouterr().out
    assert main(["recordings", "0" * 16, "--corpus", str(corpus)]) == 1
    shutil.copytree(corpus, tmp_path / "given", ignore=shutil.ignore_patterns("restricted"))
    assert main(["recordings", "--corpus", str(tmp_path / "given")]) == 1
    assert "ask on the machine that has curated it" in capsys.readouterr().err


# ------------------------------------------------------------------ what may be told


def test_an_id_stays_with_path_and_bytes_and_with_nothing_else() -> None:
    ids = {recording_id(raw, sha) for raw in ("a/x.mp4", "b/x.mp4") for sha in ("", "1", "2")}
    assert len(ids) == 6
    assert recording_id("a/x.mp4", "1") == recording_id("a/x.mp4", "1")


@pytest.mark.parametrize(
    ("suffix", "told"),
    [(".MP4", ".mp4"), (".csv", ".csv"), ("", "(none)"), ("(hidden)", "(hidden)")]
    + [(suffix, "(unknown)") for suffix in (f".{NAME}", ".hans", ".1961")],
)
def test_a_suffix_is_told_where_programs_give_it(suffix: str, told: str) -> None:
    assert known_suffix(suffix) == told


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (ChildCrashed(f"exit status 3: cannot read {NAME}"), Reason.CRASHED, "exit status 3"),
        (ChildCrashed("died by SIGSEGV"), Reason.CRASHED, "died by SIGSEGV"),
        (
            ChildOutOfMemory(f"no room for {NAME}"),
            Reason.OUT_OF_MEMORY,
            "out of memory, 512 MiB allowed",
        ),
        (ValueError(f"{NAME} is odd"), Reason.FAILED, "ValueError"),
        (
            FileNotFoundError(2, f"no {NAME}", f"/raw/{NAME}.mp4"),
            Reason.FAILED,
            "FileNotFoundError: No such file or directory",
        ),
        (
            PermissionError(13, "no", f"/raw/{NAME}.mp4"),
            Reason.NO_ACCESS,
            "PermissionError: Permission denied",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_words_of_libraries_and_of_dying_processes_stay_with_the_raw_names(
    error: Exception, reason: Reason, detail: str
) -> None:
    recording = Recording(f"ours/{NAME}.mp4", "ours", "video", (), 0, 9, ("ours",))
    told = refused(recording, error, memory_mib=512)
    row = told.row("0123456789abcdef")
    assert (row["reason"], row["detail"]) == (str(reason), detail)
    assert NAME not in str(row)
    assert told.said in str(error)


def test_a_case_that_no_list_has_is_not_told_by_name() -> None:
    benchmarks = held_out_of_all(load())
    held = benchmarks.by_name(set())
    assert list(held("polypdiag", NAME)) == ["polypdiag"]
    assert "test" in {one.part for one in held("cholec80", "video41") if isinstance(one, Held)}
    named = HeldOutOf(lambda *_: [f"bench/{NAME}", "bench/case7"], {"bench": ["case7"]})
    assert list(named.by_name(set())("ours", "x")) == ["bench", "bench/case7"]


def work(raw: str, content: str, procedure: str) -> Work:
    recording = Recording(raw, "ours", "video", (Path(raw),), 0, 9, ("ours",))
    origin = Origin("ours", "ours", "urology", "", "", procedure, 0, False, None, None)
    return Work(recording, origin, content)


def test_an_operation_that_only_a_file_name_tells_is_named_after_the_first_of_its_videos() -> None:
    named = [
        work("ours/a.mp4", "b" * 64, f"ours/{NAME}"),
        work("other/a.mp4", "a" * 64, f"ours/{NAME}"),
        work("cholec80/video07.mp4", "c" * 64, "cholec80/video07"),
        work("ours/unread.mp4", "0" * 64, f"ours/{NAME}"),
        work("ours/nameless.mp4", "d" * 64, ""),
    ]
    videos = {one.video_id for one in named if "unread" not in one.recording.raw}
    own = {f"ours/{NAME}": "a" * 16, "cholec80/video07": "cholec80/video07"}
    assert procedures_of(named, videos, load()) == own
    assert procedures_of(named[::-1], videos, load()) == own
    told = name_rows(named, videos, own)
    assert [row["procedure_id"] for row in told] == [
        "a" * 16,
        "a" * 16,
        "cholec80/video07",
        "d" * 16,
    ]


def test_a_name_that_is_no_text_is_written_out(tmp_path: Path) -> None:
    write_raw_names(tmp_path, [{"recording": "0" * 16, "raw": as_text("a\udcff.mp4"), "said": ""}])
    assert read_raw_names(tmp_path)["raw"].tolist() == [r"a\xff.mp4"]


# ------------------------------------------------------------------ accounts


INPUTS = [("v", "video"), ("q", "video"), ("u", "unreadable"), ("o", "other")]


@pytest.mark.parametrize(
    ("inputs", "quarantine", "videos", "lost"),
    [
        (INPUTS, ["q", "u"], ["v"], None),
        (INPUTS, ["q"], ["v"], "u"),
        (INPUTS, ["q", "u"], [], "v"),
        (INPUTS, ["q", "u", "o"], ["v"], "o"),
        (INPUTS, ["q", "u", "x"], ["v"], "x"),
        (INPUTS, ["q", "u"], ["v", "x"], "x"),
        (INPUTS, ["q", "u", "v"], ["v"], "v"),
        ([*INPUTS, ("o", "other")], ["q", "u"], ["v"], "o"),
    ],
)
def test_accounts_close_over_all_that_was_found(
    inputs: list[tuple[str, str]], quarantine: list[str], videos: list[str], lost: str | None
) -> None:
    tables = (
        pd.DataFrame(inputs, columns=["recording", "kind"]),
        pd.DataFrame({"recording": quarantine}),
        pd.DataFrame({"recording": videos, "video_id": videos}),
        {video: whole(9.0) for video in videos},
    )
    if lost is None:
        check_accounts(*tables)
        return
    with pytest.raises(ConservationError, match=f"lost or invented: {lost};"):
        check_accounts(*tables)
