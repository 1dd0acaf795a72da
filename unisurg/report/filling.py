"""Sections and a headline -> a page: one HTML file with its style inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources

from markupsafe import Markup, escape

from unisurg.report.blocks import Section


def filled(
    kicker: str,
    title: str,
    about: str,
    sections: Sequence[Section],
    verdict: str = "",
    tiles: Sequence[Mapping[str, str]] = (),
    findings: Sequence[str] = (),
) -> str:
    """The page that says all of that."""
    import jinja2

    files = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["prose"] = prose
    template = environment.from_string(files.joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        style=files.joinpath("style.css").read_text(encoding="utf-8"),
        kicker=kicker,
        title=title,
        about=about,
        verdict=verdict,
        tiles=tiles,
        findings=findings,
        sections=sections,
    )


def prose(text: str) -> Markup:
    """Text as HTML, what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
