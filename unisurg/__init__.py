"""UniSurg: a video-native foundation model for surgical video, and the whole path to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unisurg.models.encoder import VisionTransformer

__version__ = "0.1.0"


def load_encoder(path: str | Path, heads: int | None = None) -> VisionTransformer:
    """The encoder of any weights, in evaluation mode on the CPU.

    Args:
        path: a folder of UniSurg, a `transformers` folder of V-JEPA 2, or a `.pt` of V-JEPA 2 or
            SurgMotion, whose target encoder is taken.
        heads: of the attention, needed for a `.pt` of a size that has no name here.

    Returns:
        A module that maps a clip `(B, 3, T, H, W)`, RGB in 0..1 normalised by ImageNet's mean and
        deviation (`unisurg.models.normalise.to_input`), to tokens `(B, N, D)`, time outermost.

    Raises:
        CheckpointError: the weights are missing, damaged or of another network.
    """
    # Only now: `import unisurg` and the command line's help load no torch.
    from unisurg.models.sources import load_encoder as load

    return load(Path(path), heads)
