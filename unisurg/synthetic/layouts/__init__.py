"""Writing the theatre: a corpus of recordings, and benchmarks in their official layouts.

One file per layout, one row here. Finished files are skipped, so an interrupted run goes on where
it stopped. A folder remembers with which settings each layout was written and refuses others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unisurg.settings import Theatre
from unisurg.synthetic.layouts.atlas import ATLAS
from unisurg.synthetic.layouts.autolaparo import AUTOLAPARO
from unisurg.synthetic.layouts.avos import AVOS
from unisurg.synthetic.layouts.c3vd import C3VD
from unisurg.synthetic.layouts.cholec80 import CHOLEC80
from unisurg.synthetic.layouts.cholect50 import CHOLECT50
from unisurg.synthetic.layouts.corpus import CORPUS
from unisurg.synthetic.layouts.egosurgery import EGOSURGERY
from unisurg.synthetic.layouts.jigsaws import JIGSAWS
from unisurg.synthetic.layouts.jobs import Layout, TheatreError, run_jobs
from unisurg.synthetic.layouts.m2cai16 import M2CAI16
from unisurg.synthetic.layouts.ophnet import OPHNET
from unisurg.synthetic.layouts.pitvis import PITVIS
from unisurg.synthetic.layouts.pmlr50 import PMLR50
from unisurg.synthetic.layouts.polypdiag import POLYPDIAG
from unisurg.synthetic.layouts.polyps import POLYPS
from unisurg.synthetic.layouts.stamp import STAMP, claim
from unisurg.synthetic.layouts.surgicalactions160 import SURGICALACTIONS160

__all__ = ["ALIASES", "LAYOUTS", "STAMP", "Layout", "TheatreError", "chosen", "write"]

LAYOUTS: dict[str, Layout] = {
    row.name: row
    for row in (
        CHOLEC80,
        CORPUS,
        POLYPS,
        AUTOLAPARO,
        M2CAI16,
        PITVIS,
        EGOSURGERY,
        ATLAS,
        OPHNET,
        PMLR50,
        SURGICALACTIONS160,
        AVOS,
        POLYPDIAG,
        CHOLECT50,
        JIGSAWS,
        C3VD,
    )
}
ALIASES = dict.fromkeys(("kvasir", "clinicdb", "cvc300", "colondb", "etis"), "polyps")


def write(root: Path, settings: Theatre, seed: int, names: Sequence[str] = ()) -> None:
    """Write the named layouts, or all, each below `root` in a folder of its name.

    Raises:
        TheatreError: there is no such layout, or `root` holds one of these with other settings,
            another edition, or anything with another seed.
    """
    layouts = chosen(names)
    claim(root, layouts, settings, seed)
    jobs = [job for layout in layouts for job in layout.jobs(root, settings, seed)]
    run_jobs(jobs, "rendering the theatre")
    for layout in layouts:
        if layout.finish is not None:
            layout.finish(root, settings, seed)


def chosen(names: Sequence[str]) -> list[Layout]:
    """Layouts by name or alias, each once, in the table's order; all where none is named."""
    wanted = {ALIASES.get(name, name) for name in names or LAYOUTS}
    unknown = sorted(wanted - LAYOUTS.keys())
    if unknown:
        known = ", ".join([*LAYOUTS, *ALIASES])
        raise TheatreError(f"no layout {', '.join(unknown)}; there are: {known}")
    return [layout for name, layout in LAYOUTS.items() if name in wanted]
