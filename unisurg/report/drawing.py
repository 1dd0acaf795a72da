"""Figures in the house's style, and figures as text that an HTML page can hold."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from unisurg.report.palette import STYLE

P = ParamSpec("P")
WIDTH_IN = 9.6  # the page's column; figures are drawn at its width, so type has one size
PHOTO_DPI = 150
PHOTO_QUALITY = 88
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house's style, whatever style is set outside."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def as_vector(figure: Figure) -> str:
    """A data URI of the figure as SVG; equal figures give equal bytes."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().replace("'DejaVu Sans', sans-serif", FONTS)
    return _data_uri("image/svg+xml", text.replace("'DejaVu Sans'", FONTS).encode())


def as_photo(figure: Figure) -> str:
    """A data URI of the figure as WebP, for figures that are mostly pixels of video."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="webp", dpi=PHOTO_DPI, pil_kwargs={"quality": PHOTO_QUALITY})
    return _data_uri("image/webp", buffer.getvalue())


def mosaic() -> ConstrainedLayoutEngine:
    """A layout for pictures side by side, with hardly a gap between them."""
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)


def panel(axes: Axes, picture: np.ndarray) -> None:
    """A picture (H, W, 3) without axes."""
    axes.imshow(picture, interpolation="lanczos", aspect="equal")
    axes.set_axis_off()
    axes.set_anchor("N")


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
