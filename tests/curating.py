"""What most tests of curation need: a source somebody vouches for, and work done on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unisurg.corpus.mapping import Outcomes, _attempt

SOURCE: dict[str, Any] = {
    "title": "A site",
    "specialty": "urology",
    "region": "urinary_tract",
    "licence": None,
    "access": "private",
    "videos": None,
    "hours": None,
    "deid_by_provider": "the data steward",
    "reference": "the data steward",
    "checked": "2026-11-26",
}
"""A row of sources.yaml."""


class Here:
    """A runner that works in this process, where a test can see and change what is called."""

    def outcomes(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Outcomes:
        for number, item in enumerate(items):
            yield number, _attempt(function, item)
