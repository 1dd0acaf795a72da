"""Promotion and lineage on a whole small repository, with a real registry behind them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_repository as made
import pytest
from made_repository import BENCHMARKS, MAINS, REPOSITORY

from unisurg import cli, registry
from unisurg.chain import Records
from unisurg.promotion.clean import unclean
from unisurg.promotion.decision import Decision
from unisurg.promotion.promote import promote
from unisurg.registry import BEFORE, CHALLENGER, CHAMPION, PROMOTED, Registry, RegistryError

pytestmark = pytest.mark.xdist_group("promotion")
BETTER = {"cholec80": 0.05, "kvasir": 0.03}
MIXED = {"cholec80": 0.05, "kvasir": -0.05}


State = Callable[[str], Path]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A repository at several times, each made when it is first asked for.

    `trained`: every stage has run. `promoted`: and its model is champion. `better`, `mixed`: and
    another one has been trained since.
    """
    folder = tmp_path_factory.mktemp("states")

    @functools.cache
    def state(name: str) -> Path:
        place = folder / name
        if name == "trained":
            return made.make(place)
        if name == "promoted":
            made.clone(state("trained"), place)
            assert decide(place).promoted
            return place
        made.clone(state("promoted"), place)
        made.train(place, {"better": BETTER, "mixed": MIXED}[name])
        return place

    return state


@pytest.fixture(autouse=True)
def little_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what goes with a model, so that it is quickly copied."""
    monkeypatch.setattr(registry, "CODE", REPOSITORY / "unisurg/promotion")


@pytest.fixture
def at(states: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A copy of the repository at one of those times, which is the working directory then."""

    def at(name: str) -> Path:
        place = made.clone(states(name), tmp_path / "repository")
        monkeypatch.chdir(place)
        return place

    return at


@pytest.fixture
def root(at: State) -> Path:
    return at("trained")


@pytest.fixture
def promoted(at: State) -> Path:
    return at("promoted")


@pytest.fixture
def better(at: State) -> Path:
    return at("better")


@pytest.fixture
def mixed(at: State) -> Path:
    return at("mixed")


def decide(root: Path) -> Decision:
    return promote(root, made.read_settings(root))


def registered(root: Path) -> Registry:
    return Registry.open(made.read_settings(root), root)


def run(*arguments: str) -> int:
    names = ", ".join(BENCHMARKS)
    small = ["probe.bootstrap=200", "finetune.benchmarks=[]", f"promotion.benchmarks=[{names}]"]
    return cli.main([*arguments, *(word for change in small for word in ("--set", change))])


# --- promotion ----------------------------------------------------------------------------------


def test_the_first_model_becomes_champion_if_everything_else_is_clean(root):
    found = decide(root)
    assert found.promoted
    assert (found.champion_version, found.challenger_version) == (None, 1)
    (version,) = registered(root).versions()
    assert version.aliases == (CHAMPION,)
    assert version.tags[BEFORE] == "none"


def test_a_better_model_takes_the_place_of_the_champion_and_says_whose_it_was(better):
    found = decide(better)
    assert found.promoted, found.reasons
    first, second = registered(better).versions()
    assert (first.aliases, second.aliases) == ((), (CHAMPION,))
    assert second.tags[BEFORE] == "1"
    assert second.tags[PROMOTED].startswith("20")


def test_a_model_that_loses_somewhere_stays_challenger_and_the_numbers_say_why(mixed):
    found = decide(mixed)
    assert not found.promoted
    (reason,) = found.reasons
    assert "kvasir" in reason
    assert "-0.05" in reason
    first, second = registered(mixed).versions()
    assert (first.aliases, second.aliases) == ((CHAMPION,), (CHALLENGER,))


def test_a_decision_is_written_as_data_and_as_a_page_and_kept_with_the_version(mixed, tmp_path):
    assert run("promote", "--output", str(tmp_path / "decision.json")) == 0
    found = json.loads((tmp_path / "decision.json").read_text())
    assert found["promoted"] is False
    assert (found["champion_version"], found["challenger_version"]) == (1, 2)
    rows = {row["name"]: row for row in found["benchmarks"]}
    assert rows["cholec80"]["low"] > 0 > rows["kvasir"]["high"]
    assert rows["kvasir"]["metric"] == MAINS["kvasir"]
    assert "| kvasir |" in (tmp_path / "decision.md").read_text()
    mine, here = registered(mixed), tmp_path / "kept"
    here.mkdir()
    kept = mine.fetch(mine.find("2"), "decision.json", here)
    assert json.loads(kept.read_text()) == found


def test_the_same_model_is_registered_once_and_never_promoted_over_itself(promoted):
    found = decide(promoted)
    assert not found.promoted
    assert "champion already" in found.reasons[0]
    assert len(registered(promoted).versions()) == 1


def test_all_reasons_are_told_and_not_the_first_alone(mixed):
    made.write_corpus(mixed, leaked=True, valid=False)
    (mixed / "params.yaml").open("a").write("# changed\n")
    said = "\n".join(decide(mixed).reasons)
    for part in ("kvasir", "1 of 2 rules", made.LEAKED, "uncommitted changes"):
        assert part in said


def test_a_benchmark_that_joins_the_gate_later_keeps_it_shut_by_name(mixed):
    wanted = made.read_settings(mixed)
    fewer = wanted.promotion.model_copy(update={"benchmarks": ("cholec80",)})
    (mixed / "artifacts/probe/kvasir/tables.npz").unlink()
    (mixed / "metrics/kvasir.json").unlink()
    assert promote(mixed, wanted.model_copy(update={"promotion": fewer})).promoted
    made.train(mixed, {"cholec80": 0.2, "kvasir": 0.2})
    found = decide(mixed)
    assert not found.promoted
    assert "kvasir: not compared, since the champion, version 2," in found.reasons[0]


# --- what makes a model unclean -----------------------------------------------------------------


def reasons(root: Path, require: tuple[str, ...] = ()) -> str:
    records = Records(root, root, made.runs_of(root))
    return "\n".join(unclean(records, BENCHMARKS, require))


def test_of_a_clean_model_nothing_is_told(root):
    assert reasons(root) == ""


def invalid(root: Path) -> None:
    made.write_corpus(root, valid=False)


def leaky(root: Path) -> None:
    made.write_corpus(root, leaked=True)


def not_validated(root: Path) -> None:
    (root / "artifacts/validation/validation.json").unlink()


def not_searched(root: Path) -> None:
    (root / "artifacts/leak/coverage.csv").unlink()


def exchanged(root: Path) -> None:
    (root / "artifacts/package/package.json").write_text("{}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (invalid, "1 of 2 rules on the data are broken (corpus/manifest: no clip is empty)"),
        (leaky, f"cholec80 hold out were trained on: {made.LEAKED}"),
        (not_validated, "validation.json: no such file"),
        (not_searched, "coverage.csv: no such file"),
        (exchanged, "artifacts/package: has md5"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_unclean_is_told_in_a_sentence(root, change: Callable[[Path], None], said: str):
    change(root)
    assert said in reasons(root)


def test_a_benchmark_that_must_be_checked_by_content_is_told_where_it_is_not(root):
    assert "cholec80, which is by name only; it must be checked" in reasons(root, ("cholec80",))
    made.write_corpus(root, state="checked")
    assert "must be checked" not in reasons(root, ("cholec80",))
    assert "avos, which is not on record" in reasons(root, ("avos",))


# --- rolling back -------------------------------------------------------------------------------


def test_one_command_gives_the_title_back_and_what_was_rolled_back_does_not_return(better, capsys):
    assert decide(better).promoted
    assert run("rollback") == 0
    assert "version 1 is champion again, after 2" in capsys.readouterr().out
    assert registered(better).aliased(CHAMPION).number == 1
    again = decide(better)
    assert not again.promoted
    assert "was rolled back at" in again.reasons[-1]


def test_before_the_first_champion_there_is_nothing_to_return_to(promoted, capsys):
    assert run("rollback") == 1
    assert "version 1 is the first champion" in capsys.readouterr().err


def test_a_title_that_changed_hands_meanwhile_is_not_taken(promoted):
    mine = registered(promoted)
    first = mine.find("1")
    with pytest.raises(RegistryError, match="champion changed meanwhile"):
        mine.crown(first, None, None)


def test_versions_are_listed_with_aliases_numbers_and_commits(mixed, capsys):
    decide(mixed)
    capsys.readouterr()
    assert run("models") == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split()[-2:] == ["cholec80", "kvasir"]
    assert CHAMPION in first
    assert CHALLENGER in second
    assert made.git(mixed, "rev-parse", "HEAD")[:8] in first


@pytest.mark.parametrize(
    "reference", ["1", "champion", "models:/unisurg/1", "models:/unisurg@champion"]
)
def test_a_version_is_found_by_number_and_by_alias(promoted, reference: str):
    assert registered(promoted).find(reference).number == 1


def test_an_unknown_version_is_an_error_that_names_those_there_are(promoted, capsys):
    assert run("lineage", "7") == 1
    assert "there are: 1 (champion)" in capsys.readouterr().err


# --- lineage ------------------------------------------------------------------------------------


def test_a_number_leads_to_run_commit_parameters_and_data(root, capsys):
    assert run("lineage", "metrics/cholec80.json") == 0
    said = capsys.readouterr().out
    facts = json.loads((root / made.identity_of("probe@cholec80")).read_text())
    whole = "no link is missing"
    for part in (facts["run_id"], facts["commit"], "seed=0", "data data  md5", whole):
        assert part in said
    assert "probe@kvasir" not in said


def test_every_number_of_the_report_has_its_run(root, capsys):
    assert run("lineage", "reports/results.json") == 0
    said = capsys.readouterr().out
    for name in BENCHMARKS:
        assert f"{name}, probe, pretrained: {MAINS[name]}" in said
    assert "complete: 7 stages" in said


def test_a_run_leads_to_the_numbers_that_rest_on_it(root, capsys):
    facts = json.loads((root / made.identity_of("pretrain_long")).read_text())
    assert run("lineage", facts["run_id"]) == 0
    said = capsys.readouterr().out
    assert "metrics/cholec80.json: pretrained" in said
    assert "metrics/kvasir.json: pretrained" in said
    facts = json.loads((root / made.identity_of("probe@kvasir")).read_text())
    assert run("lineage", facts["run_id"]) == 0
    assert "metrics/cholec80.json" not in capsys.readouterr().out


def test_a_version_keeps_its_chain_when_the_checkout_has_moved_on(states, better, capsys):
    identity = states("promoted") / made.identity_of("probe@cholec80")
    before = json.loads(identity.read_text())["run_id"]
    assert before not in (better / made.identity_of("probe@cholec80")).read_text()
    assert run("lineage", "models:/unisurg@champion") == 0
    assert before in capsys.readouterr().out


def test_a_file_that_no_stage_makes_is_an_error_that_names_those_that_can_be_asked(root, capsys):
    for file in ("params.yaml", "/etc/hosts.json"):
        assert run("lineage", file) == 1
        assert "ask for one of metrics/" in capsys.readouterr().err


def test_a_run_of_which_nothing_is_left_is_an_error(root, capsys):
    assert run("lineage", "0" * 32) == 1
    assert "no identity file" in capsys.readouterr().err


def without_run(root: Path) -> None:
    facts = json.loads((root / made.identity_of("corpus")).read_text())
    made.runs_of(root).client.delete_run(facts["run_id"])


def failed_run(root: Path) -> None:
    facts = json.loads((root / made.identity_of("corpus")).read_text())
    made.runs_of(root).client.set_terminated(facts["run_id"], "KILLED")


def without_commit(root: Path) -> None:
    made.edit_identity(root, "corpus", commit="f" * 40)


def without_identity(root: Path) -> None:
    (root / made.identity_of("corpus")).unlink()


def edited_identity(root: Path) -> None:
    path = root / made.identity_of("corpus")
    path.write_text(path.read_text().replace("corpus", "Corpus", 1))


def other_input(root: Path) -> None:
    made.edit_identity(root, "corpus", inputs={"data": "f" * 32})


def dirty(root: Path) -> None:
    made.edit_identity(root, "corpus", dirty=True)


def untracked(root: Path) -> None:
    made.edit_identity(root, "corpus", run_id=None)


def edited_number(root: Path) -> None:
    path = root / "metrics/cholec80.json"
    path.write_text(path.read_text().replace("0.0", "0.9", 1))


def no_entry(root: Path) -> None:
    lock: dict[str, Any] = made.read_lock(root)
    del lock["stages"]["corpus"]
    made.write_lock(root, lock)


def other_parameter(root: Path) -> None:
    lock: dict[str, Any] = made.read_lock(root)
    lock["stages"]["corpus"]["params"]["params.yaml"]["seed"] = 7
    made.write_lock(root, lock)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_run, "is not in MLflow"),
        (failed_run, "is KILLED, not FINISHED"),
        (without_commit, f"commit {'f' * 40} is not in git"),
        (without_identity, "corpus.run.json: no such file"),
        (edited_identity, "corpus.run.json: has md5"),
        (other_input, f"corpus: read data with md5 {'f' * 32}"),
        (dirty, "corpus: ran with uncommitted changes"),
        (untracked, "corpus: was not tracked"),
        (edited_number, "metrics/cholec80.json: has md5"),
        (no_entry, "dvc.lock does not name it"),
        (other_parameter, "had seed=0, and dvc.lock has 7"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_missing_link_is_named_and_fails(
    root, capsys, change: Callable[[Path], None], said: str
):
    change(root)
    for target in ("metrics/cholec80.json", "reports/results.json"):
        assert run("lineage", target) == 1
        error = capsys.readouterr().err
        assert said in error
        assert "missing" in error
    assert said in reasons(root)


def test_a_run_with_uncommitted_changes_is_never_promoted(root):
    (root / "params.yaml").open("a").write("# changed\n")
    made.train(root, BETTER)
    found = decide(root)
    assert not found.promoted
    said = "\n".join(found.reasons)
    assert "probe@cholec80: ran with uncommitted changes" in said
    assert "The checkout has uncommitted changes" in said


def test_tuned_values_stand_in_for_those_of_the_settings(root, capsys):
    (root / "best.yaml").write_text("values: {seed: 0}\n")
    lock = made.read_lock(root)
    lock["stages"]["corpus"]["params"]["params.yaml"] = {
        "seed": 7,
        "pretrain": {"tuned": "best.yaml"},
    }
    lock["stages"]["corpus"]["deps"] = [
        {"path": "best.yaml", "md5": made.lineage.md5_of(root / "best.yaml")}
    ]
    made.write_lock(root, lock)
    assert run("lineage", "metrics/cholec80.json") == 1
    assert "had seed" not in capsys.readouterr().err
    (root / "best.yaml").write_text("values: {seed: 1}\n")
    assert run("lineage", "metrics/cholec80.json") == 1
    assert "was given best.yaml" in capsys.readouterr().err


def test_files_beside_the_one_that_a_stage_reads_of_a_folder_may_change(root, capsys):
    lock = made.read_lock(root)
    entry = lock["stages"]["validate"]
    manifest = "artifacts/corpus/manifest.parquet"
    entry["deps"] = [{"path": manifest, "md5": made.lineage.md5_of(root / manifest)}]
    (root / "artifacts/corpus/samples.csv").write_text("new")
    made.write_lock(root, lock)
    made.run_stage(root, made.read_settings(root), "corpus")
    made.run_stage(root, made.read_settings(root), "pretrain_long")
    assert run("lineage", "metrics/cholec80.json") == 0, capsys.readouterr().err
