"""The page: a headline, the sections, one file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unisurg.corpus.manifest import ManifestError
from unisurg.evaluation.reported import known
from unisurg.report import inputs as reading
from unisurg.report.amounts import unit_for
from unisurg.report.curated import read_curated
from unisurg.report.effect import Effect, effects_of
from unisurg.report.filling import filled
from unisurg.report.inputs import Inputs
from unisurg.report.sections import all_sections, of_curation
from unisurg.report.wording import interval, told_apart
from unisurg.settings import Settings


def build(root: Path, settings: Settings, output: Path) -> Path:
    """Write the report of what lies below `root` to `output`, and return `output`.

    The page is one HTML file: styles, pictures and tables inside, no script, no address to fetch.
    Equal inputs give equal bytes: nothing in it is a time or a machine, but for the words of a
    failure.
    """
    text = render(reading.read(root, settings))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    return output


def build_curation(
    corpus: Path, balance: Path, validation: Path, throughput: Path, output: Path
) -> Path:
    """Write the report of a corpus alone to `output`, likewise, and return `output`.

    Args:
        corpus: its folder.
        balance: folder that tells how often its data sets are drawn, if it is there.
        validation, throughput: what was found of its rules and of the scan's speed, likewise.

    Raises:
        ManifestError: there is no corpus.
    """
    curated = read_curated(corpus, balance, throughput)
    if curated is None:
        raise ManifestError(f"{corpus}: no corpus; run `unisurg curate` to write one")
    text = filled(
        kicker="UniSurg · curation",
        title="What became of the recordings?",
        about="Which of them are kept for training, which are not, and why. Made by `unisurg"
        " curate`.",
        sections=of_curation(curated, reading.read_json(validation)),
    )
    output.write_text(text, encoding="utf-8")
    return output


def render(inputs: Inputs) -> str:
    effects = [effect for effect in effects_of(inputs) if not effect.tuned]
    return filled(
        kicker="UniSurg · report",
        title="Does seeing surgery, without labels, help to understand it?",
        about=about(inputs),
        verdict=verdict(effects),
        tiles=tiles(effects),
        findings=[finding(effect) for effect in effects],
        sections=all_sections(inputs),
    )


def about(inputs: Inputs) -> str:
    """What this is, in two sentences."""
    curated = inputs.curated
    if curated is None:
        source = "unlabelled recordings of surgery"
    else:
        count, unit = curated.manifest["recording"].nunique(), unit_for(curated.kept_s)
        length = f"{unit.of(curated.kept_s)} {unit.name}"
        source = f"{count} unlabelled recordings of surgery ({length})"
    wanted, done = len(inputs.settings.benchmarks), len(inputs.metrics)
    benchmarks = f"{wanted} benchmarks" if done == wanted else f"{done} of {wanted} benchmarks"
    rendered = ", all of it rendered by UniSurg’s embedded theatre" if inputs.embedded else ""
    return (
        f"UniSurg taught a video encoder on {source}, without any label, to predict what it cannot"
        " see, most of all where instruments move. The encoder was then frozen, and a small probe"
        f" on its features was trained and tested on {benchmarks}{rendered}."
    )


def verdict(effects: Sequence[Effect]) -> str:
    """The result of all benchmarks in one sentence; empty where there is nothing to compare."""
    compared = [effect for effect in effects if effect.difference is not None]
    if not compared:
        return ""
    ahead, open_, behind = (len(_on_side(compared, side)) for side in (1, 0, -1))
    return (
        f"On {ahead} of {len(compared)} benchmarks the probe reaches more on the pretrained encoder"
        f" than on random weights; on {open_} the two are not told apart; on {behind} it reaches"
        " less. Told apart means: the 95 % interval of the paired difference leaves out 0."
    )


def tiles(effects: Sequence[Effect]) -> list[dict[str, str]]:
    """How many benchmarks ended how, and which."""
    compared = [effect for effect in effects if effect.difference is not None]
    labels = {1: "more than random weights", 0: "not told apart", -1: "less than random weights"}
    return [
        {
            "value": str(len(side)),
            "unit": f"of {len(compared)}",
            "told_apart": "yes" if sign else "no",
            "label": label,
            "detail": ", ".join(effect.title.removeprefix("Embedded ") for effect in side),
        }
        for sign, label in labels.items()
        if (side := _on_side(compared, sign))
    ]


def _on_side(effects: Sequence[Effect], side: int) -> list[Effect]:
    return [e for e in effects if e.difference is not None and told_apart(e.difference) == side]


def finding(effect: Effect) -> str:
    """The main result of one benchmark, in words that say no more than the interval does."""
    ours = f"{effect.title}: {effect.metric} {interval(effect.pretrained)} %"
    gain = effect.difference
    if gain is None:
        return f"{ours}; there is no random encoder to compare with."
    told = known(gain.seeds)
    seeds = f"ahead in {sum(seed > 0 for seed in told)} of {len(told)} seeds"
    verdicts = {
        1: "more than the same probe reaches on random weights",
        0: "not told apart from the same probe on random weights",
        -1: "less than the same probe reaches on random weights",
    }
    said = verdicts[told_apart(gain)]
    return f"{ours}, {said} ({interval(gain, signed=True)} points, {seeds})."
