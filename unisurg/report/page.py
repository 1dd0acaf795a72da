"""The page: a headline, the sections, one file that needs nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from markupsafe import Markup, escape

from unisurg.report import inputs as reading
from unisurg.report.effect import Effect
from unisurg.report.inputs import Inputs
from unisurg.report.sections import all_sections
from unisurg.report.sections.results import effects_of
from unisurg.report.wording import interval
from unisurg.settings import Settings


def build(root: Path, settings: Settings, output: Path) -> Path:
    """Write the report of what lies below `root` to `output`, and return `output`.

    The page is one HTML file: styles, pictures and tables inside, no script, no address to fetch.
    Equal inputs give equal bytes: nothing in it is a time or a machine.
    """
    text = render(reading.read(root, settings))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    return output


def render(inputs: Inputs) -> str:
    import jinja2

    files = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["prose"] = prose
    template = environment.from_string(files.joinpath("page.html").read_text(encoding="utf-8"))
    effects = effects_of(inputs)
    return template.render(
        style=files.joinpath("style.css").read_text(encoding="utf-8"),
        about=about(inputs),
        findings=[finding(effect) for effect in effects],
        tiles=[tile(effect) for effect in effects if effect.difference],
        sections=all_sections(inputs),
    )


def prose(text: str) -> Markup:
    """Text as HTML, what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def about(inputs: Inputs) -> str:
    """What this is, in two sentences."""
    if inputs.manifest is None:
        source = "unlabelled recordings of surgery"
    else:
        minutes = inputs.manifest["duration_s"].sum() / 60
        count = len(inputs.manifest)
        source = f"{count} unlabelled recordings of surgery ({minutes:.0f} minutes)"
    rendered = ", all of it rendered by UniSurg’s embedded theatre" if inputs.embedded else ""
    return (
        f"UniSurg taught a video encoder on {source}, without any label, to predict what it cannot"
        " see, most of all where instruments move. The encoder was then frozen, and a small probe"
        f" on its features was trained and tested on {len(inputs.settings.benchmarks)} benchmarks"
        f"{rendered}."
    )


def finding(effect: Effect) -> str:
    """The main result of one benchmark, in words that say no more than the interval does."""
    ours = f"{effect.title}: {effect.metric} {interval(effect.pretrained)} %"
    gain = effect.difference
    if gain is None:
        return f"{ours}; there is no random encoder to compare with."
    ahead = sum(seed > 0 for seed in gain["seeds"])
    seeds = f"ahead in {ahead} of {len(gain['seeds'])} seeds"
    if gain["low"] > 0:
        verdict = "more than the same probe reaches on random weights"
    elif gain["high"] < 0:
        verdict = "less than the same probe reaches on random weights"
    else:
        verdict = "not told apart from the same probe on random weights"
    return f"{ours}, {verdict} ({interval(gain, signed=True)} points, {seeds})."


def tile(effect: Effect) -> dict[str, str | Sequence[str]]:
    """A number to remember: the difference, its interval and its seeds."""
    gain = effect.difference or {}
    points = f"{100 * gain['mean']:+.1f}".replace("-", "−")
    return {
        "value": points,
        "told_apart": "yes" if gain["low"] > 0 or gain["high"] < 0 else "no",
        "unit": "points",
        "label": f"{effect.title}, {effect.metric}",
        "detail": f"95 % interval {interval(gain, signed=True).partition(' ')[2]}",
        "seeds": [f"{100 * seed:+.1f}".replace("-", "−") for seed in gain["seeds"]],
    }
