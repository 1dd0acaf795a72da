"""A pretraining step of ours and V-JEPA 2's plain one, given the same weights, clips and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from plain_step import (
    Mask,
    PlainEncoder,
    PlainLearner,
    PlainPredictor,
    make_plain_learner,
    plain_gradients,
    plain_step,
)
from torch import Tensor, nn

from unisurg import settings as settings_module
from unisurg.models.normalise import to_input
from unisurg.models.sizes import ENCODERS, PREDICTORS, Size
from unisurg.pretrain.learner import Learner, make_learner
from unisurg.pretrain.masks import make_masks, passes
from unisurg.pretrain.step import backward, train_step
from unisurg.pretrain.world import World, alone
from unisurg.settings import Settings

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"
ROW = "measured"  # name of the sizes under measurement in the tables of sizes, while they are built
SEED = 0
TUBELET = (2, 16, 16)
DECAY = 0.99925
Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """Networks and clips of a measurement."""

    encoder: Size
    predictor: Size
    batch: int
    frames: int
    side: int

    @property
    def grid(self) -> Grid:
        return self.frames // TUBELET[0], self.side // TUBELET[1], self.side // TUBELET[2]

    def pixels(self, device: torch.device) -> Tensor:
        """Clips of noise, uint8 `(B, T, H, W, 3)`: a step costs the same whatever it sees."""
        size = (self.batch, self.frames, self.side, self.side, 3)
        draw = torch.Generator().manual_seed(SEED)
        return torch.randint(256, size, dtype=torch.uint8, generator=draw).to(device)


@dataclass(frozen=True)
class Options:
    """How a step is taken."""

    bfloat16: bool = False
    checkpointing: bool = False
    compiled: bool = False


def step_settings(shape: Shape, options: Options) -> Settings:
    """V-JEPA's objective and masks on our trainer; all else as params.yaml has it."""
    overrides = {
        "model.encoder": ROW,
        "model.predictor": ROW,
        "model.rotary": "vjepa2",
        "pretrain.frames": shape.frames,
        "pretrain.size_px": shape.side,
        "pretrain.batch": shape.batch,
        "pretrain.ema": DECAY,
        "pretrain.precision": "bfloat16" if options.bfloat16 else "float32",
        "pretrain.activation_checkpointing": str(options.checkpointing).lower(),
        "pretrain.compile": str(options.compiled).lower(),
        "pretrain.objective": "vjepa",
        "pretrain.masks.ratio": "null",
        "pretrain.masks.truncate": "prefix",
        # The collapse meters are no part of the step; they come at step 0 and at the last.
        "pretrain.steps": 1_000_000,
        "pretrain.health_every": 1_000_000,
    }
    return settings_module.load(PARAMS, [f"{key}={value}" for key, value in overrides.items()])


class Ours:
    """Our trainer's step, as `unisurg pretrain` takes it."""

    def __init__(self, shape: Shape, options: Options, device: torch.device) -> None:
        self.settings = step_settings(shape, options)
        self.world = World(0, 1, device)
        with (
            patch.dict(ENCODERS, {ROW: shape.encoder}),
            patch.dict(PREDICTORS, {ROW: shape.predictor}),
        ):
            self.learner: Learner = make_learner(
                self.settings.pretrain, self.settings.model, SEED, None, self.world
            )

    def step(self, pixels: Tensor, number: int) -> float:
        """One whole step on uint8 clips `(B, T, H, W, 3)`, number 1 or more; returns the loss."""
        arguments = (self.settings.pretrain, SEED, self.world, Path())
        return train_step(self.learner, pixels, number, *arguments)["loss"]

    def gradients(self, pixels: Tensor, number: int) -> tuple[float, dict[str, Tensor]]:
        """The loss and a copy of every parameter's gradient, by the plain networks' names."""
        self.learner.optimiser.zero_grad()
        arguments = (self.settings.pretrain, SEED, self.world)
        loss = float(backward(self.learner, pixels, number, *arguments)["loss"])
        return loss, _gradients(self.learner.networks)

    def take_weights(self, plain: Plain) -> None:
        """Start from the plain step's weights."""
        _copy(plain.networks, self.learner.networks)
        teacher = self.learner.teacher
        assert teacher is not None
        _copy(plain.learner.target, teacher)


class Plain:
    """V-JEPA 2's step, on the clips and masks of ours."""

    def __init__(self, shape: Shape, options: Options, device: torch.device) -> None:
        self.settings = step_settings(shape, options)
        self.bfloat16 = options.bfloat16
        torch.manual_seed(SEED)
        encoder = PlainEncoder(shape.encoder, TUBELET, options.checkpointing)
        predictor = PlainPredictor(shape.predictor, shape.encoder.dim, options.checkpointing)
        self.networks = nn.ModuleDict({"encoder": encoder, "predictor": predictor}).to(device)
        pretrain = self.settings.pretrain
        self.learner: PlainLearner = make_plain_learner(
            encoder, predictor, pretrain.lr, pretrain.weight_decay
        )

    def step(self, pixels: Tensor, number: int) -> float:
        """As that of ours."""
        masks = step_masks(self.settings, pixels, number)
        return plain_step(self.learner, to_input(pixels), masks, self.bfloat16, DECAY)

    def gradients(self, pixels: Tensor, number: int) -> tuple[float, dict[str, Tensor]]:
        """As those of ours."""
        self.learner.optimiser.zero_grad()
        masks = step_masks(self.settings, pixels, number)
        loss = plain_gradients(self.learner, to_input(pixels), masks, self.bfloat16)
        return loss, _gradients(self.networks)


Arm = Ours | Plain
MakeArm = Callable[[Shape, Options, torch.device], Arm]


def step_masks(settings: Settings, pixels: Tensor, number: int) -> list[Mask]:
    """The masks that our trainer's step of that number draws."""
    batch, frames, height, width = pixels.shape[:4]
    grid = (frames // TUBELET[0], height // TUBELET[1], width // TUBELET[2])
    masks = settings.pretrain.masks
    rows = [make_masks(masks, row, SEED, number, batch, grid) for row in range(passes(masks))]
    return [(mask.keep.to(pixels.device), mask.hidden.to(pixels.device)) for mask in rows]


def gradient_errors(
    gradients: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> dict[str, float]:
    """Of each parameter, the norm of the difference over the norm of the reference."""
    assert gradients.keys() == reference.keys()
    return {
        name: float((gradients[name] - right).norm() / right.norm())
        for name, right in reference.items()
    }


def _plain_name(name: str) -> str:
    return name.replace("mlp.", "")


def _copy(plain: nn.Module, ours: nn.Module) -> None:
    values = dict(plain.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(values[_plain_name(name)].reshape(parameter.shape))


def _gradients(networks: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, parameter in networks.named_parameters():
        assert parameter.grad is not None, name
        # The plain patch embedding is a convolution; ours the same weights as a matrix.
        found[_plain_name(name)] = parameter.grad.flatten(1 if parameter.ndim > 1 else 0).clone()
    return found


def here() -> torch.device:
    """The accelerator if there is one."""
    return alone().device
