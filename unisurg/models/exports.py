"""Our weights in the layouts of others: a `transformers` folder, a V-JEPA 2 release.

Both publications turn queries and keys in V-JEPA 2's way, so only networks that do can leave.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from unisurg.models import checkpoints
from unisurg.models.checkpoints import CheckpointError
from unisurg.models.encoder import VisionTransformer
from unisurg.models.predictor import Predictor
from unisurg.models.published import (
    RELEASE,
    TRANSFORMERS,
    Layout,
    Row,
    encoder_rows,
    predictor_rows,
    to_theirs,
)
from unisurg.models.sources import MODEL
from unisurg.models.writing import replacing

WRAPPER = "module.backbone."  # the releases' names come out of their training loop


def export_release(path: Path, encoder: VisionTransformer, predictor: Predictor | None) -> None:
    """Write a `.pt` that V-JEPA 2's loaders read.

    `target_encoder`, which evaluations read, and `encoder`, which some of its loaders read, are the
    same tensors: one encoder is all there is.

    Raises:
        CheckpointError: the networks turn queries and keys in another way.
    """
    _refuse_exact(encoder, path)
    rows = encoder_rows(RELEASE, encoder.size, encoder.tubelet)
    state = to_theirs(encoder.state_dict(), rows)
    wrapped = {WRAPPER + name: tensor for name, tensor in state.items()}
    content = {"target_encoder": wrapped, "encoder": wrapped}
    if predictor is not None:
        state = to_theirs(predictor.state_dict(), _predictor_rows(predictor, RELEASE))
        content["predictor"] = {WRAPPER + name: tensor for name, tensor in state.items()}
    with replacing(path) as file:
        torch.save(content, file)


def export_transformers(
    folder: Path,
    encoder: VisionTransformer,
    predictor: Predictor | None,
    size_px: int,
    frames: int,
) -> None:
    """Write a folder for `VJEPA2Model.from_pretrained`.

    Args:
        size_px: side of the pictures it will be given; `transformers` numbers the tokens of a
            square of that side, whatever the picture.
        frames: of a clip; it takes others too.

    Raises:
        CheckpointError: the networks turn queries and keys in another way, or the format has no
            place for their tubelet or output.
    """
    _refuse_exact(encoder, folder)
    duration, height, width = encoder.tubelet
    if height != width:
        raise CheckpointError(f"{folder}: the format has square patches, not {height} x {width}")
    rows = encoder_rows(TRANSFORMERS, encoder.size, encoder.tubelet)
    state = to_theirs(encoder.state_dict(), rows)
    config: dict[str, Any] = {
        "architectures": ["VJEPA2Model"],
        "model_type": "vjepa2",
        "dtype": "float32",
        "patch_size": height,
        "tubelet_size": duration,
        "crop_size": size_px,
        "frames_per_clip": frames,
        "in_chans": 3,
        "hidden_size": encoder.size.dim,
        "num_hidden_layers": encoder.size.depth,
        "num_attention_heads": encoder.size.heads,
        "mlp_ratio": cut_ratio(encoder.size.dim, encoder.size.hidden),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    if predictor is not None:
        size = predictor.size
        if predictor.leave.out_features != encoder.embed_dim:
            raise CheckpointError(f"{folder}: the format has no predictor of other than latents")
        state |= to_theirs(predictor.state_dict(), _predictor_rows(predictor, TRANSFORMERS))
        config |= {
            "pred_hidden_size": size.dim,
            "pred_num_hidden_layers": size.depth,
            "pred_num_attention_heads": size.heads,
            "pred_mlp_ratio": cut_ratio(size.dim, size.hidden),
            "pred_num_mask_tokens": size.mask_tokens,
        }
    with replacing(folder / MODEL) as file:
        file.write(save(state, {"format": "pt"}))
    with replacing(folder / checkpoints.CONFIG) as file:
        file.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def cut_ratio(dim: int, hidden: int) -> float:
    """A ratio for which `int(dim * ratio)`, as others compute it, is `hidden`."""
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)


def _predictor_rows(predictor: Predictor, layout: Layout) -> list[Row]:
    enter, leave = predictor.enter.in_features, predictor.leave.out_features
    return predictor_rows(layout, predictor.size, enter, leave)


def _refuse_exact(encoder: VisionTransformer, target: Path) -> None:
    if encoder.rotary != "vjepa2":
        raise CheckpointError(
            f"{target}: not written: the encoder turns queries and keys by exact rotations, which"
            " V-JEPA 2's code and transformers do not, so its features would be others there."
            " Pretrain with model.rotary: vjepa2 to share weights"
        )
