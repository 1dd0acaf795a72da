"""Retraining and stages elsewhere: whole flows on toy repositories, with one Prefect server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows import graph, places, retrain
from flows.children import Children
from flows.troubles import CommandFailed

ROOT = Path(__file__).resolve().parent.parent
DVC = (sys.executable, "-m", "dvc")
STAGES = """
stages:
  secret: {cmd: cp data/a secret.txt, deps: [data/a], outs: [secret.txt: {cache: false}]}
  first: {cmd: cp data/a first.txt, deps: [data/a], outs: [first.txt]}
  second:
    meta: {resource: gpu}
    cmd: echo ran >> ../count && wc -c first.txt > second.txt && echo 77 > numbers.json
    deps: [first.txt]
    outs: [second.txt]
    metrics: [numbers.json: {cache: false}]
  third: {cmd: cp secret.txt third.txt, deps: [secret.txt], outs: [third.txt]}
"""
DECISION = {
    "promoted": False,
    "reasons": ["cholec80 is worse: -0.100 [-0.150, -0.050], and 0.02 may be lost."],
    "champion_version": 3,
    "challenger_version": 4,
    "benchmarks": [
        {"name": "cholec80", "metric": "f1", "champion": 0.6, "challenger": 0.5,
         "difference": -0.1, "low": -0.15, "high": -0.05},
        {"name": "kvasir", "metric": "dice", "champion": None, "challenger": 0.5,
         "difference": None, "low": None, "high": None},
    ],
}  # fmt: skip


def run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose first stage is done and pushed: code to `hub.git`, data to `store`."""
    top = tmp_path_factory.mktemp("machines")
    root = top / "home"
    run(top, "git", "init", "--quiet", "--bare", "hub.git")
    run(top, "git", "init", "--quiet", "home")
    run(root, "git", "config", "user.name", "A Surgeon")
    run(root, "git", "config", "user.email", "surgeon@example.org")
    run(root, *DVC, "init", "--quiet")
    run(root, *DVC, "remote", "add", "--quiet", "--default", "store", str(top / "store"))
    (root / "data").mkdir()
    (root / "data" / "a").write_text("1\n")
    run(root, *DVC, "add", "--quiet", "data")
    (root / "dvc.yaml").write_text(STAGES)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    with (root / ".gitignore").open("a") as file:
        file.write(".scratch\nreports\n")
    run(root, *DVC, "repro", "--quiet", "first")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "begin")
    run(root, "git", "push", "--quiet", str(top / "hub.git"), "HEAD:main")
    run(root, *DVC, "push", "--quiet")
    return root


@pytest.fixture(scope="module")
def elsewhere(home: Path, prefect_server: None) -> Path:
    """Another machine: nothing in common with the first but git's hub and DVC's remote."""
    other = home.parent / "other"
    other.mkdir()
    commit = run(home, "git", "rev-parse", "HEAD")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other)
        assert places.stage(str(home.parent / "hub.git"), commit, "second").ran
    return places.place_of(other, "second")


def test_a_stage_runs_elsewhere_on_what_it_needs_alone(elsewhere: Path) -> None:
    assert (elsewhere / "second.txt").is_file()
    assert (elsewhere / "first.txt").is_file()
    assert not (elsewhere / "data").exists()
    assert not (elsewhere / "secret.txt").exists()


def test_its_result_comes_home_without_running_again(home: Path, elsewhere: Path) -> None:
    run(home, *DVC, "fetch", "--quiet", "--run-cache", "second")
    assert "is cached - skipping run" in run(home, *DVC, "repro", "--pull", "second")
    for name in ("second.txt", "numbers.json"):
        assert (home / name).read_text() == (elsewhere / name).read_text()
    counts = [p for p in (home.parent / "count", elsewhere.parent / "count") if p.is_file()]
    assert [p.read_text() for p in counts] == ["ran\n"]


def test_a_stage_that_reads_what_dvc_keeps_no_copy_of_stays_home(home: Path) -> None:
    assert graph.needed_by(home, "first") == graph.Needed(("data",), ())
    with pytest.raises(places.StaysHome, match=r"third needs secret\.txt, of which DVC keeps no"):
        places.pull.fn("third", home, Children(1))


def test_a_commit_that_is_not_pushed_is_named(home: Path, tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    hub, unknown = str(home.parent / "hub.git"), "0" * 40
    with disable_run_logger(), pytest.raises(CommandFailed, match=f"checkout of {unknown}"):
        places.checkout.fn(hub, unknown, tmp_path / "place", Children(1))


@pytest.fixture(scope="module")
def retrained(home: Path, prefect_server: None) -> tuple[dict[str, object], str]:
    """The flow with a stand-in for `unisurg promote`: what it returned, and its artifacts."""
    stand_in = home / "unisurg"
    stand_in.mkdir()
    (stand_in / "__init__.py").touch()
    (stand_in / "__main__.py").write_text(
        "import sys\n"
        f"assert sys.argv[1:3] == ['promote', '--output']\n"
        f"open(sys.argv[3], 'w').write({json.dumps(DECISION)!r})\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        decision = retrain.retrain()
    return dict(decision), _artifacts()


def _artifacts() -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(limit=100)
    return "\n".join(f"{one.key} {one.type}: {one.data}" for one in found)


def test_a_refused_challenger_is_a_completed_flow_that_says_why(
    retrained: tuple[dict[str, object], str], home: Path
) -> None:
    decision, shown = retrained
    assert decision == DECISION
    assert "Version 4 is refused; version 3 stays champion." in shown
    assert "- cholec80 is worse: -0.100 [-0.150, -0.050]" in shown
    assert "| cholec80 | f1 | 0.600 | 0.500 | -0.100 | [-0.150, -0.050] |" in shown
    assert "| kvasir | dice | - | 0.500 | - | [-, -] |" in shown
    assert "retrain-table table:" in shown


def test_retraining_brings_the_graph_up_to_date_before_it_decides(
    retrained: tuple[dict[str, object], str], home: Path
) -> None:
    assert (home / "third.txt").is_file()
    assert "pipeline markdown:" in retrained[1]


def test_a_champion_that_falls_is_told_in_one_sentence() -> None:
    decision = {**DECISION, "promoted": True, "reasons": ["kvasir is better"]}
    assert retrain.summary(decision).startswith("## Version 4 is the champion now.\n")
    first = {**DECISION, "champion_version": None}
    assert retrain.verdict(first) == "Version 4 is refused; there is no champion."


def test_what_cannot_be_decided_is_an_error(home: Path, tmp_path: Path) -> None:
    from prefect.logging import disable_run_logger

    (tmp_path / "unisurg").mkdir()
    (tmp_path / "unisurg" / "__init__.py").touch()
    (tmp_path / "unisurg" / "__main__.py").write_text("raise SystemExit('no database')")
    with disable_run_logger(), pytest.raises(CommandFailed, match="no database"):
        retrain.promote.fn(tmp_path, Children(1))


def test_evaluation_has_a_folder_of_its_own_from_which_all_paths_hold(tmp_path: Path) -> None:
    from flows import evaluate
    from unisurg.settings import load

    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / ".scratch").mkdir()
    folder = evaluate.workplace(tmp_path, tmp_path / "encoder")
    settings = load(folder / "params.yaml")
    assert folder.is_relative_to(tmp_path / ".scratch" / "evaluate")
    assert settings.benchmarks["cholec80"].root == tmp_path / "data" / "cholec80"
    assert settings.tracking.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert settings.tracking.experiment == "unisurg-evaluate"
    before = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert settings.probe == load(tmp_path / "params.yaml").probe
    assert before["tracking"]["experiment"] == "unisurg"
