"""Encoders through one door: ours, published video encoders, and timm's image models.

Whatever stands behind it, an encoder takes pixels, normalises them by its own statistics, and gives
tokens on a grid of time, height and width. An image model sees every frame by itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.models import sources
from unisurg.models._timm import timm_module
from unisurg.models.checkpoints import encoder_digest
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import standardise, to_input, to_unit
from unisurg.models.unpickle import read_pickle

UNTRAINED, DOWNLOAD, AS_STORED = "untrained", "download", "as-stored"
WRAPPERS = ("state_dict", "model", "model_state")  # under which trainers save a state
MANY = 6  # names told of a list


class EncoderError(ValueError):
    """An encoder cannot be had or used as asked; the message says what to change."""


class Encoder(Protocol):
    """A frozen encoder. `device` is where it wants its clips."""

    @property
    def tubelet(self) -> tuple[int, int, int]:
        """Frames, height and width in pixels of one token."""

    @property
    def by_frame(self) -> bool:
        """Whether frames are encoded by themselves, so that a frame has one set of tokens."""

    @property
    def digest(self) -> str:
        """Of the weights, as `checkpoints.encoder_digest`."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What shapes the tokens beside the weights, as plain values."""

    @property
    def device(self) -> torch.device: ...

    def to(self, device: str) -> Encoder: ...

    def encode(self, clips: Tensor) -> Tensor:
        """Tokens (B, t, h, w, D) float of clips (B, T, H, W, 3) uint8, without gradients.

        Raises:
            EncoderError: the encoder takes no clips of that size.
        """


class ClipEncoder:
    """A video encoder of this package: tokens of tubelets, ImageNet's statistics.

    With `depths` a token is what these blocks say of its place, one after the other, so that D is
    as many times the width of the encoder.
    """

    by_frame = False

    def __init__(self, module: VisionTransformer, depths: tuple[int, ...] = ()) -> None:
        last = len(module.blocks) - 1
        if depths and max(depths) > last:
            raise EncoderError(f"features.depths: {list(depths)}: this encoder has 0 to {last}")
        self.module, self.depths = module.eval(), depths
        self.digest = encoder_digest(module)

    @property
    def tubelet(self) -> tuple[int, int, int]:
        return self.module.tubelet

    @property
    def facts(self) -> Mapping[str, Any]:
        module = self.module
        return {
            "size": asdict(module.size),
            "tubelet": list(module.tubelet),
            "rotary": [module.rotary, module.rotary_dtype],
            **({"depths": list(self.depths)} if self.depths else {}),
        }

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def to(self, device: str) -> ClipEncoder:
        self.module.to(device)
        return self

    @torch.inference_mode()
    def encode(self, clips: Tensor) -> Tensor:
        duration, height, width = clips.shape[1:4]
        try:
            grid = self.module.grid(duration, height, width)
        except ValueError as error:
            raise EncoderError(f"{error}: change frames or size_px of the benchmark") from None
        return self.module.side_by_side(to_input(clips), self.depths).unflatten(1, grid)


class FrameEncoder:
    """An image model of timm: the tokens of its last layer, frame by frame.

    Class and register tokens are left out. A picture that the patch does not divide is resampled
    to the nearest size that it does, as DINOv2's patch of 14 needs.
    """

    by_frame = True

    def __init__(self, name: str, module: nn.Module) -> None:
        """`module`: a timm model without a classifier, in the state it is to be used in."""
        self.name, self.module = name, module.eval()
        self.digest = encoder_digest(module)
        config: Any = module.pretrained_cfg
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        embed: Any = getattr(module, "patch_embed", None)
        self._patch: tuple[int, int] | None = getattr(embed, "patch_size", None)
        self._prefix = int(getattr(module, "num_prefix_tokens", 0) or 0)

    @property
    def tubelet(self) -> tuple[int, int, int]:
        height, width = self._patch or (1, 1)
        return 1, height, width

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"timm": self.name, "mean": list(self.mean), "std": list(self.std)}

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def to(self, device: str) -> FrameEncoder:
        self.module.to(device)
        return self

    @torch.inference_mode()
    def encode(self, clips: Tensor) -> Tensor:
        normalised = standardise(to_unit(clips), self.mean, self.std)
        pixels = self._fitted(normalised.movedim(1, 2).flatten(0, 1))
        model: Any = self.module
        try:
            tokens = model.forward_features(pixels)
        except (AssertionError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise EncoderError(
                f"timm:{self.name} takes no pictures of {clips.shape[3]}x{clips.shape[2]}: {error};"
                " choose a model for any size, such as a plain ViT or a ConvNeXt, or the size_px"
                " that it was made for"
            ) from None
        return self._planes(tokens, pixels).unflatten(0, tuple(clips.shape[:2]))

    def _fitted(self, pixels: Tensor) -> Tensor:
        sides = zip(pixels.shape[2:], self._patch or (1, 1), strict=True)
        size = tuple(max(round(side / patch), 1) * patch for side, patch in sides)
        if size == tuple(pixels.shape[2:]):
            return pixels
        return F.interpolate(pixels, size, mode="bilinear", antialias=True)

    def _planes(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """(B, h, w, D), whichever way round the model gives them."""
        if tokens.ndim == 3 and self._patch is not None:
            grid = [
                side // patch for side, patch in zip(pixels.shape[2:], self._patch, strict=True)
            ]
            if tokens.shape[1] - self._prefix == grid[0] * grid[1]:
                return tokens[:, self._prefix :].unflatten(1, grid)
        if tokens.ndim == 4:
            return tokens if tokens.shape[-1] == self._width else tokens.movedim(1, -1)
        raise EncoderError(
            f"timm:{self.name} gives features of shape {tuple(tokens.shape)}, which are no grid;"
            " choose a model with a token per patch or a map of features"
        )

    @property
    def _width(self) -> int | None:
        """Features of a token where the model puts them last, else None."""
        model: Any = self.module
        last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")
        return int(model.num_features) if last else None


def load_pretrained(path: Path) -> VisionTransformer:
    """The video encoder of a folder or a file, whatever `unisurg.load_encoder` takes.

    Raises:
        CheckpointError: the weights are missing, damaged or of another network.
    """
    return sources.load_encoder(path)


def untrained(encoder: VisionTransformer, seed: int) -> VisionTransformer:
    """An encoder of the same architecture with random weights, in evaluation mode on the CPU.

    Equal to `checkpoints.random_encoder` of its folder. The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(
            encoder.size, encoder.tubelet, 0.0, encoder.rotary, encoder.rotary_dtype
        ).eval()


def timm_encoder(name: str, weights: str, seed: int) -> FrameEncoder:
    """An image model of timm as a frame encoder.

    Args:
        name: of timm, with or without the tag of its weights, as in vit_base_patch16_224.dino.
        weights: `untrained`, `download`, or a .safetensors, .pth, .pt or .bin file with its state.
        seed: draws the weights of an untrained one; the global random state is left as it was.

    Raises:
        EncoderError: no such model, the download failed, or the file does not fit.
    """
    timm = timm_module("models")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=5)
        like = f"; near it are {', '.join(near)}" if near else ""
        raise EncoderError(f"timm has no model {name!r}{like}; write timm:NAME as timm spells it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _created(timm, name, weights == DOWNLOAD)
    if weights not in (UNTRAINED, DOWNLOAD):
        _fill(module, name, Path(weights))
    return FrameEncoder(name, module)


def _created(timm: Any, name: str, pretrained: bool) -> nn.Module:
    # Some models take any size only when asked to, and others do not know the question.
    options: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained}
    try:
        try:
            module: nn.Module = timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:
            module = timm.create_model(name, **options)
    except (OSError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        if not pretrained:
            raise EncoderError(f"timm:{name} cannot be built: {why}") from None
        raise EncoderError(
            f"timm:{name}: its weights cannot be downloaded: {why}; get the file on a machine with"
            " a network and name it under `weights`"
        ) from None
    return module


def _fill(module: nn.Module, name: str, path: Path) -> None:
    """Put the state of a file into a model, its classifier left out."""
    state, own = _read_state(path), module.state_dict()
    config: Any = module.pretrained_cfg
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    known = {
        key: value
        for key, value in state.items()
        if key in own or not key.startswith(tuple(f"{head}." for head in heads))
    }
    faults = {
        "lacks": [key for key in own if key not in known],
        "does not know": [key for key in known if key not in own],
        "has other shapes in": [
            f"{key} {tuple(value.shape)}, expected {tuple(own[key].shape)}"
            for key, value in known.items()
            if key in own and value.shape != own[key].shape
        ],
    }
    told = [f"{fault} {_some(keys)}" for fault, keys in faults.items() if keys]
    if told:
        raise EncoderError(
            f"{path}: no weights of timm:{name}: {'; '.join(told)}; name the model that they are of"
        )
    module.load_state_dict(known)


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise EncoderError(f"{path}: not a readable file of weights: {error}") from None
    content = read_pickle(path)
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if key in content), None)
        if inner is None:
            return {key: value for key, value in content.items() if isinstance(value, Tensor)}
        content = inner
    raise EncoderError(f"{path}: holds a {type(content).__name__}, expected a state dict")


def _some(names: list[str]) -> str:
    rest = len(names) - MANY
    return ", ".join(names[:MANY]) + (f" and {rest} more" if rest > 0 else "")
