"""The colours and the type of every figure: one palette, told apart by colour-blind readers too.

The first seven categorical colours are Paul Tol's "bright" scheme (SRON/EPS/TN/09-002, issue 3.2).
Of many more no eye tells all apart: the ones that follow keep those of neighbouring classes far
from each other.
"""

from __future__ import annotations

import colorsys
import math
from typing import Any

from matplotlib.colors import LinearSegmentedColormap, to_hex

INK = "#1f2430"
MUTED = "#5f6675"
RULE = "#d9d7d0"
PAPER = "#ffffff"

CATEGORIES = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")

PRETRAINED = "#2b5d8c"
RANDOM = "#9a9da5"
SECOND_STAGE = "#c7621b"
# Name and colour of the encoders that every benchmark has, by their names in the files.
ENCODERS = {"pretrained": ("pretrained", PRETRAINED), "random": ("random weights", RANDOM)}

# On reddish tissue yellow and blue are far from the picture and from each other.
TRUTH = "#ffffff"
SPURIOUS = "#ffd23f"
MISSED = "#2f6bff"

SHARES = LinearSegmentedColormap.from_list("shares", ["#ffffff", "#9dbbd8", "#2b5d8c", "#12304d"])
MOTION = "inferno"
DEPTH, ERROR = "viridis", "RdBu_r"

STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "figure.facecolor": PAPER,
    "font.size": 9.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "unisurg",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.color": MUTED,
    "ytick.labelsize": 8.5,
    "ytick.major.width": 0.7,
}


def category(index: int) -> str:
    """Colour of a class, whatever the number of classes.

    From the eighth on, hues are a golden section of the circle apart, so that no two neighbours
    are alike, and lightness and saturation change by turns.
    """
    if index < len(CATEGORIES):
        return CATEGORIES[index]
    extra = index - len(CATEGORIES)
    hue = (extra * (math.sqrt(5) - 1) / 2 + 0.03) % 1
    lightness = (0.33, 0.62, 0.48, 0.78)[extra % 4]
    saturation = (0.75, 0.55, 0.85)[extra % 3]
    return to_hex(colorsys.hls_to_rgb(hue, lightness, saturation))
