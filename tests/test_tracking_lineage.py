"""Lineage: the commit, whether it tells everything, and the hashes of a stage's inputs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from unisurg import lineage

DVC_YAML = """
stages:
  curate: {cmd: x, deps: ["${curate.input}", src/curate.py], outs: [artifacts/corpus]}
  probe:
    foreach: ${benchmarks}
    do:
      cmd: x ${key}
      deps: ["artifacts/features/${key}", "${item.root}"]
      outs: ["artifacts/probe/${key}"]
      metrics: ["scores/${key}.json": {cache: false}]
  report: {cmd: x, deps: [artifacts/probe, artifacts/corpus/manifest.parquet], outs: [page.html]}
"""
PARAMS = """
curate: {input: data/corpus}
benchmarks: {cholec80: {root: data/cholec80}, kvasir: {root: /elsewhere}}
"""
LOCK = """
schema: '2.0'
stages:
  curate:
    deps: [{path: data/corpus, md5: an-old-run}]
    outs: [{path: artifacts/corpus, md5: c0.dir}]
  features@cholec80: {outs: [{path: artifacts/features/cholec80, md5: f0.dir}]}
  probe@cholec80:
    deps: [{path: artifacts/features/cholec80, md5: an-old-run}]
    outs: [{path: artifacts/probe/cholec80, md5: p0.dir}]
  probe@kvasir: {outs: [{path: artifacts/probe/kvasir, md5: p1.dir}]}
"""
POINTER = "outs: [{path: data, md5: d0.dir}]\n"


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in (("dvc.yaml", DVC_YAML), ("params.yaml", PARAMS), ("dvc.lock", LOCK),
                       ("data.dvc", POINTER), ("src/curate.py", "1"), ("metrics/a.json", "1"),
                       ("scores/cholec80.json", "1")):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    origin = lineage.of_stage(repository, "curate")
    assert origin.commit == git(repository, "rev-parse", "HEAD").strip()
    assert origin.dirty is False


@pytest.mark.parametrize("changed", ["src/curate.py", "params.yaml", "data.dvc", "dvc.yaml"])
def test_a_change_to_code_settings_or_data_is_dirty(repository: Path, changed: str) -> None:
    path = repository / changed
    path.write_text(path.read_text() + "\n")
    assert lineage.dirty(repository) is True


@pytest.mark.parametrize("written", ["dvc.lock", "metrics/a.json", "scores/cholec80.json"])
def test_what_a_run_writes_by_itself_is_not_dirty(repository: Path, written: str) -> None:
    (repository / written).write_text("stages: {}")
    assert lineage.dirty(repository) is False


def test_a_file_that_git_does_not_know_is_not_dirty(repository: Path) -> None:
    (repository / "notes.txt").touch()
    assert lineage.dirty(repository) is False


def test_a_staged_change_is_dirty(repository: Path) -> None:
    (repository / "src/curate.py").write_text("2")
    git(repository, "add", ".")
    assert lineage.dirty(repository) is True


def test_inputs_have_the_hashes_of_whoever_made_them_not_of_the_stages_last_run(
    repository: Path,
) -> None:
    assert lineage.inputs(repository, "curate") == {"data": "d0.dir"}
    assert lineage.inputs(repository, "probe@cholec80") == {
        "artifacts/features/cholec80": "f0.dir",
        "data": "d0.dir",
    }


def test_a_folder_of_several_outputs_and_a_file_within_one_are_both_found(repository: Path) -> None:
    assert lineage.inputs(repository, "report") == {
        "artifacts/probe/cholec80": "p0.dir",
        "artifacts/probe/kvasir": "p1.dir",
        "artifacts/corpus": "c0.dir",
    }


def test_outside_git_and_dvc_nothing_is_known_and_nothing_fails(tmp_path: Path) -> None:
    assert lineage.of_stage(tmp_path, "curate") == lineage.Lineage(None, None, {})


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert lineage.commit(tmp_path) is None


def test_a_folder_has_nothing_of_stages_that_dvc_yaml_has_no_more(repository: Path) -> None:
    lock = repository / "dvc.lock"
    outs = "[{path: artifacts/probe/old, md5: o0}, {path: artifacts/corpus, md5: o1}]"
    lock.write_text(f"{lock.read_text()}  renamed: {{outs: {outs}}}\n")
    found = lineage.inputs(repository, "report")
    assert "artifacts/probe/old" not in found
    assert found["artifacts/corpus"] == "c0.dir"


def test_a_lock_tells_who_makes_what_from_which_values(repository: Path) -> None:
    lock = lineage.read_lock(repository)
    assert lock.kept["artifacts/corpus"] == lineage.Kept("c0.dir", "curate")
    assert lock.kept["data"] == lineage.Kept("d0.dir", None)
    assert lock.made_by("probe@kvasir") == {"artifacts/probe/kvasir": "p1.dir"}
    assert lock.deps["probe@cholec80"] == {"artifacts/features/cholec80": "an-old-run"}


def test_a_commit_is_known_or_is_not(repository: Path) -> None:
    assert lineage.has_commit(repository, git(repository, "rev-parse", "HEAD").strip())
    assert not lineage.has_commit(repository, "f" * 40)


def test_md5s_are_those_of_dvc(tmp_path: Path) -> None:
    from dvc.repo import Repo

    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b/x.txt").write_text("one\r\ntwo")
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "file.json").write_text("{}")
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        added = repo.add([str(folder), str(tmp_path / "file.json")])
        known = {stage.outs[0].def_path: stage.outs[0].hash_info.value for stage in added}
    assert known.keys() == {"folder", "file.json"}
    for name, md5 in known.items():
        assert lineage.md5_of(tmp_path / name) == md5
