"""What a folder remembers: with which seed and settings each of its layouts was written.

    theatre.json    {"seed": 0, "layouts": {"avos": {"edition": 1, "avos_videos": 24, ...}, ...}}

A layout has its own settings alone, so that others are added to the folder later. One whose files
were removed may be written anew with other settings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.files import write_text
from unisurg.synthetic.layouts.jobs import Layout, TheatreError

STAMP = "theatre.json"


def claim(root: Path, layouts: Sequence[Layout], settings: Theatre, seed: int) -> None:
    """Note in `root` that these layouts are written there.

    Raises:
        TheatreError: one of them, or anything of another seed, was written there otherwise.
    """
    stamp = root / STAMP
    known = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    written: dict[str, Any] = known.get("layouts", {})
    for layout in layouts:
        facts, folder = _facts(layout, settings), root / layout.name
        if not folder.exists():
            written.pop(layout.name, None)
        if known.get("seed", seed) != seed or written.setdefault(layout.name, facts) != facts:
            raise TheatreError(
                f"{folder}: written with other settings, seed or edition than now (see"
                f" {stamp.name}); remove the folder or name another"
            )
    write_text(stamp, json.dumps({"seed": seed, "layouts": written}, indent=1) + "\n")


def _facts(layout: Layout, settings: Theatre) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    return {"edition": layout.edition} | {name: values[name] for name in layout.settings}
