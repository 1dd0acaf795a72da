"""All that a step changes: the trained networks, the target encoder and the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from unisurg.models._timm import timm_module
from unisurg.models.build import compile_blocks, make_decoder, make_encoder, make_predictor
from unisurg.models.encoder import VisionTransformer
from unisurg.models.predictor import Predictor
from unisurg.pretrain.masks import TokenMasks
from unisurg.pretrain.start import fill
from unisurg.pretrain.teacher import make_teacher
from unisurg.pretrain.world import World
from unisurg.settings import Model, Pretrain

BETAS = (0.9, 0.95)
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
FROM_WHOLE = StateDictOptions(full_state_dict=True)


class Networks(nn.Module):
    """Context encoder with the predictor, the pixel decoder, or both, as the objective asks.

    One module, because DDP and FSDP count on one forward pass for each backward pass.
    """

    def __init__(self, model: Model, settings: Pretrain) -> None:
        super().__init__()
        saving = settings.activation_checkpointing
        self.encoder = make_encoder(model, saving)
        width = self.encoder.embed_dim
        wants = settings.objective
        self.predictor = make_predictor(model, width, saving) if wants.latent else None
        self.decoder = make_decoder(model, width, saving) if wants.pixels else None

    def forward(self, clip: Tensor, masks: TokenMasks, row: int) -> dict[str, Tensor]:
        """Guess the hidden tokens of one row of masks.

        Args:
            clip: normalised float `(B, 3, T, H, W)`.
            row: number of the row, which chooses the mask token.

        Returns:
            `latents (B, M, D)` where there is a predictor, `pixels (B, M, P)` where there is a
            decoder.
        """
        grid = self.encoder.grid(*clip.shape[2:])
        context = self.encoder(clip, masks.keep, masks.keep_valid)
        heads = {"latents": self.predictor, "pixels": self.decoder}
        return {
            name: head(context, masks.keep, masks.hidden, grid, row, masks.valid)
            for name, head in heads.items()
            if head is not None
        }


@dataclass
class Learner:
    """The networks and their optimiser: all that a step changes.

    Attributes:
        networks: as they were built; their parameters are split over processes under FSDP.
        run: what a step calls, `networks` itself or its wrapper.
        teacher: the target encoder; None where no addend compares latents.
        started_from: digest of the encoder the run started from, or None.
    """

    networks: Networks
    run: Callable[..., dict[str, Tensor]]
    teacher: VisionTransformer | None
    optimiser: torch.optim.Optimizer
    started_from: str | None

    @property
    def encoder(self) -> VisionTransformer:
        return self.networks.encoder

    @property
    def judge(self) -> VisionTransformer:
        """The encoder that is exported and watched: the target encoder where there is one."""
        return self.teacher or self.encoder

    def whole(self, model: Model, settings: Pretrain) -> tuple[VisionTransformer, Predictor | None]:
        """The watched encoder and the predictor, of one piece, to be written.

        Where they are split over processes all must ask together; the first gets the weights.
        """
        if not isinstance(next(self.networks.parameters()), DTensor):
            return self.judge, self.networks.predictor
        state = self.state()
        networks = Networks(model, settings)
        if state["networks"]:
            networks.load_state_dict(state["networks"])
            if self.teacher is not None:
                networks.encoder.load_state_dict(state["teacher"])
        return networks.encoder, networks.predictor

    def parameters(self) -> list[nn.Parameter]:
        return list(self.networks.parameters())

    def state(self) -> dict[str, Any]:
        """Everything to go on from, whole on the first process. All processes must ask together."""
        state = {
            "networks": get_model_state_dict(self.networks, options=WHOLE),
            "optimiser": get_optimizer_state_dict(self.networks, self.optimiser, options=WHOLE),
        }
        if self.teacher is not None:
            state["teacher"] = get_model_state_dict(self.teacher, options=WHOLE)
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state, whole in every process."""
        set_model_state_dict(self.networks, state["networks"], options=FROM_WHOLE)
        if self.teacher is not None:
            set_model_state_dict(self.teacher, state["teacher"], options=FROM_WHOLE)
        set_optimizer_state_dict(
            self.networks, self.optimiser, state["optimiser"], options=FROM_WHOLE
        )


def make_learner(
    settings: Pretrain, model: Model, seed: int, start_from: Path | None, world: World
) -> Learner:
    """Networks with random weights, or with those of `start_from`, and a fresh optimiser.

    Raises:
        CheckpointError: `start_from` cannot be read, or holds another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = Networks(model, settings)
    digest = None
    if start_from is not None:
        digest = fill(start_from, networks.encoder, networks.predictor)
    networks.to(world.device)
    teacher = make_teacher(networks.encoder) if settings.objective.latent else None
    if settings.compile:
        for part in (networks.encoder, networks.predictor, networks.decoder, teacher):
            if part is not None:
                compile_blocks(part)
    run = _spread(networks, teacher, settings, world)
    return Learner(networks, run, teacher, _optimiser(networks, settings), digest)


def _spread(
    networks: Networks, teacher: VisionTransformer | None, settings: Pretrain, world: World
) -> Callable[..., dict[str, Tensor]]:
    """What a step calls: the networks, as one copy a process or split over all."""
    if world.size == 1:
        return networks
    if settings.parallel == "ddp":
        return DistributedDataParallel(networks)
    mesh = init_device_mesh(world.device.type, (world.size,))
    for part in (networks.encoder, networks.predictor, networks.decoder, teacher):
        if part is not None:
            for block in part.blocks:
                fully_shard(block, mesh=mesh)
    fully_shard(networks, mesh=mesh)
    if teacher is not None:
        # It has no backward pass, after which a root gives its copies back.
        fully_shard(teacher, mesh=mesh, reshard_after_forward=True)
    return networks


def _optimiser(networks: Networks, settings: Pretrain) -> torch.optim.Optimizer:
    """Fused AdamW; matrices decay, biases, norms and mask tokens do not."""
    split = timm_module("optim").param_groups_weight_decay
    groups = split(networks, settings.weight_decay, no_weight_decay_list=_undecayed(networks))
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, fused=True)


def _undecayed(networks: Networks) -> list[str]:
    """Mask tokens are a matrix only because there are several."""
    return [name for name, _ in networks.named_parameters() if name.endswith("mask_tokens")]
