"""params.yaml is read strictly, and what it says is what the code gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unisurg.cli import main
from unisurg.settings import SettingsError, digest, load

ROOT = Path(__file__).resolve().parent.parent


def changed(tmp_path: Path, edit) -> Path:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    edit(raw)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_an_unknown_key_is_an_error_that_names_file_and_key(tmp_path):
    path = changed(tmp_path, lambda raw: raw["pretrain"].update(learning_rate=1))
    with pytest.raises(SettingsError, match=r"params\.yaml: pretrain\.learning_rate: .*Extra"):
        load(path)


def test_a_missing_key_is_an_error_because_no_default_hides_in_the_code(tmp_path):
    path = changed(tmp_path, lambda raw: raw["probe"].pop("epochs"))
    with pytest.raises(SettingsError, match=r"probe\.epochs: Field required"):
        load(path)


def test_a_value_out_of_range_is_an_error(tmp_path):
    path = changed(tmp_path, lambda raw: raw["pretrain"].update(size_px=100))
    with pytest.raises(SettingsError, match=r"pretrain\.size_px: .*multiple of 16.*100"):
        load(path)


def test_all_mistakes_are_told_at_once(tmp_path):
    path = changed(tmp_path, lambda raw: raw["probe"].update(epochs={"phase": 0}, depth="deep"))
    with pytest.raises(SettingsError) as error:
        load(path)
    assert "probe.epochs" in str(error.value)
    assert "probe.depth" in str(error.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match="run in the repository's root"):
        load(tmp_path / "params.yaml")


def test_an_override_changes_one_value():
    settings = load(ROOT / "params.yaml", ["pretrain.steps=3", "probe.seeds=[7]"])
    assert settings.pretrain.steps == 3
    assert settings.probe.seeds == (7,)


@pytest.mark.parametrize("override", ["pretrain.stesp=3", "steps=3", "pretrain.steps", "seed.x=1"])
def test_an_override_of_no_known_key_is_an_error(override):
    with pytest.raises(SettingsError, match=r"SECTION\.KEY=VALUE"):
        load(ROOT / "params.yaml", [override])


@pytest.mark.parametrize("verb", ["features", "probe", "finetune", "folds"])
def test_a_benchmark_without_a_block_is_one_message_that_names_those_with_one(verb, capsys):
    family = ["louo"] if verb == "folds" else []
    assert main([verb, "nosuch", *family, "--params", str(ROOT / "params.yaml")]) == 1
    assert "no block 'nosuch'; there are: cholec80, " in capsys.readouterr().err


def test_the_digest_changes_exactly_when_a_value_does(settings):
    again = load(ROOT / "params.yaml")
    other = load(ROOT / "params.yaml", ["pretrain.lr=0.5"])
    assert digest(settings.pretrain) == digest(again.pretrain)
    assert digest(settings.pretrain) != digest(other.pretrain)


def test_the_second_stage_is_the_first_with_its_own_values_laid_over(settings):
    second = settings.pretrain_second
    assert second.frames == settings.pretrain_long.frames
    assert second.objective == settings.pretrain.objective


def test_an_objective_is_named_and_a_name_without_a_row_lists_the_rows():
    assert (
        load(ROOT / "params.yaml", ["pretrain.objective=paper"]).pretrain.objective.base_weight == 0
    )
    with pytest.raises(SettingsError, match=r"no row 'best' .* paper, dense, vjepa, videomae"):
        load(ROOT / "params.yaml", ["pretrain.objective=best"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["pretrain.masks.ratio=null", "pretrain.masks.kind=tube"], "kind tube needs a ratio"),
        (["pretrain.masks.ratio=[0.9, 0.5]"], "the smaller number comes first"),
        (["pretrain.cooldown_steps=9999"], "cooldown_steps 9999: there are 520 steps"),
        (["pretrain.accumulate=3"], "batch 8 does not divide into 3 parts"),
        (
            ["pretrain.objective=paper", "pretrain.masks.blocks=[{count: 2, scale: 0.5,"
             " aspect: [1, 1], temporal: 0.5}]"],
            "follows a position through the clip",
        ),
        (
            ["objectives.vjepa.motion_weight=0"],
            "objectives.vjepa: every weight is 0, so there is nothing to learn",
        ),
        (["objectives.paper.top_k=0"], "objectives.paper: top_k and base_weight are both 0"),
        (["finetune.benchmarks=[polyps]"], "finetune.benchmarks: no block 'polyps' in benchmarks"),
        (["package.benchmark=polyps"], "package.benchmark: no block 'polyps' in benchmarks"),
        (["promotion.benchmarks=[polyps]"], "promotion.benchmarks: no block 'polyps' in benchmark"),
        (["promotion.benchmarks=[]"], "promotion.benchmarks: "),
        (["promotion.margin=-0.1"], "promotion.margin: "),
        (
            ["probe.label_efficiency.benchmarks=[x]"],
            "probe.label_efficiency.benchmarks: no block 'x' in benchmarks",
        ),
        (
            ["baselines={random: {model: 'timm:x', weights: untrained, benchmarks: []}}"],
            "baselines.random: the name is taken",
        ),
        (["orchestration.ingest.drop=in"], "orchestration.ingest: drop needs quarantine"),
        (["orchestration.schedules.retrain=weekly"], "orchestration.schedules.retrain"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_say_which_and_no_more(overrides, said):
    with pytest.raises(SettingsError) as caught:
        load(ROOT / "params.yaml", overrides)
    lines = str(caught.value).splitlines()
    assert any(said in line for line in lines)
    assert all(len(line) < 300 for line in lines)
