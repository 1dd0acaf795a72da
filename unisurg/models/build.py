"""Networks from the settings' `model` section."""

from __future__ import annotations

import math

from torch import nn

from unisurg.models.encoder import CHANNELS, VisionTransformer
from unisurg.models.predictor import Predictor
from unisurg.models.sizes import decoder_size, predictor_size
from unisurg.settings import Model


def make_encoder(model: Model, checkpointing: bool = False) -> VisionTransformer:
    """The video encoder that `model` describes, with random weights.

    Raises:
        ValueError: `model.encoder` is no size.
    """
    return VisionTransformer(
        model.encoder,
        model.tubelet,
        model.drop_path,
        model.rotary,
        model.rotary_dtype,
        checkpointing,
    )


def make_predictor(model: Model, embed_dim: int, checkpointing: bool = False) -> Predictor:
    """The predictor of latents for an encoder `embed_dim` wide.

    Raises:
        ValueError: `model.predictor` is no size.
    """
    return Predictor(
        predictor_size(model.predictor),
        embed_dim,
        rotary=model.rotary,
        rotary_dtype=model.rotary_dtype,
        checkpointing=checkpointing,
    )


def make_decoder(model: Model, embed_dim: int, checkpointing: bool = False) -> Predictor:
    """VideoMAE's decoder: a predictor whose output is a tubelet's pixels, channel outermost.

    Raises:
        ValueError: `model.decoder` is no size.
    """
    return Predictor(
        decoder_size(model.decoder),
        embed_dim,
        CHANNELS * math.prod(model.tubelet),
        rotary=model.rotary,
        rotary_dtype=model.rotary_dtype,
        checkpointing=checkpointing,
    )


def compile_blocks(module: VisionTransformer | Predictor) -> None:
    """Compile every block in place, for any number of tokens; names of weights stay.

    Blocks are compiled one by one because a whole network compiles slower and runs no faster. The
    first step that follows takes seconds.
    """
    for block in module.blocks:
        assert isinstance(block, nn.Module)
        block.compile(dynamic=True)
