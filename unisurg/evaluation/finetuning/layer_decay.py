"""Learning rates that fall from block to block: fine-tuning moves early layers least.

Source: layer-wise learning-rate decay of BEiT (arXiv 2106.08254) and MAE (arXiv 2111.06377,
appendix A), counted so that the last block, the final norm and the head learn at the full rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from unisurg.models.encoder import VisionTransformer

Group = dict[str, Any]


def parameter_groups(
    encoder: VisionTransformer, head: nn.Module, decay: float, weight_decay: float
) -> list[Group]:
    """Every trainable parameter in exactly one group of an optimiser.

    `scale`, in (0, 1], is the factor of the group's learning rate: 1 for the head, the final norm
    and the last block, `decay ** k` for the k-th block before it, `decay ** depth` for the
    embedding. Matrices decay by `weight_decay`, vectors (biases, norms) do not.
    """
    groups = []
    for scale, module in _layers(encoder, head, decay):
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in trained if parameter.ndim > 1]
        vectors = [parameter for parameter in trained if parameter.ndim <= 1]
        for parameters, decayed in ((matrices, weight_decay), (vectors, 0.0)):
            if parameters:
                groups.append({"params": parameters, "weight_decay": decayed, "scale": scale})
    return groups


def _layers(
    encoder: VisionTransformer, head: nn.Module, decay: float
) -> Iterator[tuple[float, nn.Module]]:
    """The parts that share a rate, and their factor."""
    depth = len(encoder.blocks)
    yield decay**depth, encoder.embed
    for i, block in enumerate(encoder.blocks):
        yield decay ** (depth - 1 - i), block
    yield 1.0, nn.ModuleList([encoder.norm, head])
