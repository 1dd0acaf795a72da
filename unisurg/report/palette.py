"""The colours and the type of every figure: one palette, told apart by colour-blind readers too.

The seven categorical colours are Paul Tol's "bright" scheme (SRON/EPS/TN/09-002, issue 3.2).
"""

from __future__ import annotations

from typing import Any

from matplotlib.colors import LinearSegmentedColormap

INK = "#1f2430"
MUTED = "#5f6675"
RULE = "#d9d7d0"
PAPER = "#ffffff"

CATEGORIES = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")

PRETRAINED = "#2b5d8c"
RANDOM = "#9a9da5"
SECOND_STAGE = "#c7621b"

# On reddish tissue yellow and blue are far from the picture and from each other.
TRUTH = "#ffffff"
SPURIOUS = "#ffd23f"
MISSED = "#2f6bff"

SHARES = LinearSegmentedColormap.from_list("shares", ["#ffffff", "#9dbbd8", "#2b5d8c", "#12304d"])
MOTION = "inferno"

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
    """Colour of a class; more classes than colours begin again."""
    return CATEGORIES[index % len(CATEGORIES)]
