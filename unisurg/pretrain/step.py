"""One step of pretraining (UniSurg, 1.1 to 1.6).

The target encoder sees the whole clip; for each row of masks the context encoder sees the visible
tokens, the predictor guesses the hidden ones, and the addends compare; then one optimiser step and
one step of the moving average. All randomness is a function of the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from unisurg.models.normalise import standardise, to_unit
from unisurg.pretrain import health, log
from unisurg.pretrain.draws import generator
from unisurg.pretrain.learner import Learner
from unisurg.pretrain.masks import TokenMasks, make_masks, passes
from unisurg.pretrain.motion import motion_scores, standardised
from unisurg.pretrain.objectives import Latents, Pixels, patches_of, total_loss
from unisurg.pretrain.schedule import ema_decay, learning_rate
from unisurg.pretrain.teacher import update_teacher
from unisurg.pretrain.world import World
from unisurg.settings import Objective, Pretrain

Tubelet = tuple[int, int, int]


class NonFiniteLoss(FloatingPointError):
    """Loss or gradient is not a number; nothing was stepped, and the batch was saved."""


def train_step(
    learner: Learner,
    pixels: Tensor,
    step: int,
    settings: Pretrain,
    seed: int,
    world: World,
    folder: Path,
) -> log.Row:
    """One step on this process' clips, uint8 `(B / world, T, H, W, 3)`.

    Returns:
        What is logged of it, the same in every process.

    Raises:
        NonFiniteLoss: before anything is stepped; the batch lies in `folder`.
    """
    rate, decay = learning_rate(step, settings), ema_decay(step, settings)
    for group in learner.optimiser.param_groups:
        group["lr"] = rate
    learner.optimiser.zero_grad()
    drops = generator(seed, "drop path", step, world.rank)
    torch.manual_seed(int(drops.integers(2**31)))
    seen = backward(learner, pixels, step, settings, seed, world)
    seen["grad_norm"] = _clipped(learner, settings.grad_clip)
    values = world.mean(torch.stack([value.detach().float() for value in seen.values()]))
    row = {"step": float(step), **dict(zip(seen, values.tolist(), strict=True))}
    if not all(math.isfinite(value) for value in row.values()):
        raise _non_finite(row, pixels, step, world, folder)
    learner.optimiser.step()
    if learner.teacher is not None:
        update_teacher(learner.teacher, learner.encoder, decay)
    return row | {"lr": rate, "ema": decay}


def backward(
    learner: Learner, pixels: Tensor, step: int, settings: Pretrain, seed: int, world: World
) -> dict[str, Tensor]:
    """Gradients of the objective; returns its addends, mean over parts and rows of masks.

    Each part of the batch and each row of masks is a pass of its own, whose activations are freed
    before the next: the sum of the gradients is the same.

    Every `health_every` steps, and at the last, the collapse meters come with them.
    """
    rows, parts = passes(settings.masks), settings.accumulate
    masks = [_masks(learner, pixels, row, step, settings, seed, world) for row in range(rows)]
    seen: dict[str, Tensor] = {}
    for part, piece in enumerate(pixels.chunk(parts)):
        lesson = Lesson(learner, piece, settings)
        for row in range(rows):
            hidden = masks[row].part(part, parts).to(piece.device)
            last = (part, row) == (parts - 1, rows - 1)
            with _synchronised(learner, last):
                addends, guess = lesson.compare(hidden, row, world)
                (addends["loss"] / (rows * parts)).backward()
            for name, value in addends.items():
                seen[name] = seen.get(name, 0.0) + value.detach() / (rows * parts)
    if step % settings.health_every == 0 or step == settings.steps - 1:
        seen |= lesson.meters(guess)
    return seen


class Lesson:
    """What the networks are asked about the clips of one pass, and what the answers are."""

    def __init__(self, learner: Learner, pixels: Tensor, settings: Pretrain) -> None:
        """`pixels` uint8 `(B, T, H, W, 3)`; the target encoder sees all of it, once."""
        wanted = settings.objective
        self._learner, self._wanted = learner, wanted
        self._bfloat16 = settings.precision == "bfloat16"
        unit = to_unit(pixels)
        self.clip = standardise(unit)
        tubelet = learner.encoder.tubelet
        self.grid = learner.encoder.grid(*self.clip.shape[2:])
        self._target = self._tokens() if wanted.latent else None
        self._scores = token_scores(unit, wanted, tubelet).flatten(1) if wanted.top_k else None
        self._patches = patches_of(unit, tubelet) if wanted.pixels else None

    def compare(
        self, masks: TokenMasks, row: int, world: World
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The addends on the hidden tokens of one row of masks, and what was guessed there."""
        with self._casting():
            guesses = self._learner.run(self.clip, masks, row)
        hidden, valid = masks.hidden, masks.hidden_valid
        latents = pixels = None
        if self._target is not None:
            scores = None if self._scores is None else self._scores.gather(1, hidden)
            latents = Latents(guesses["latents"], masks.take_hidden(self._target), scores)
        if self._patches is not None:
            pixels = Pixels(guesses["pixels"], masks.take_hidden(self._patches))
        addends = total_loss(self._wanted, hidden, self.grid, latents, pixels, valid, world.group)
        guess = next(iter(guesses.values())).detach()
        return addends, guess if valid is None else guess[valid]

    def meters(self, guess: Tensor) -> dict[str, Tensor]:
        """The collapse meters of this pass."""
        target = self._tokens() if self._target is None else self._target
        values = health.measure(guess.float(), target, self.grid[0])
        return {name: torch.tensor(value, device=guess.device) for name, value in values.items()}

    @torch.no_grad()
    def _tokens(self) -> Tensor:
        """The whole clips as the watched encoder sees them, layer-normed `(B, N, D)`."""
        with self._casting():
            tokens = self._learner.judge(self.clip).float()
        return F.layer_norm(tokens, tokens.shape[-1:])

    def _casting(self) -> AbstractContextManager[None]:
        return torch.autocast(self.clip.device.type, torch.bfloat16, self._bfloat16)


def token_scores(unit: Tensor, objective: Objective, tubelet: Tubelet) -> Tensor:
    """Motion scores `(B, t, h, w)` of clips in 0..1 `(B, 3, T, H, W)`, as the objective asks."""
    scores = motion_scores(unit, tubelet, objective.span, objective.compensate_camera)
    return standardised(scores) if objective.normalise_scores else scores


def _masks(
    learner: Learner,
    pixels: Tensor,
    row: int,
    step: int,
    settings: Pretrain,
    seed: int,
    world: World,
) -> TokenMasks:
    """This process' share of a row of masks, which are drawn for the batch of all."""
    frames, height, width = pixels.shape[1:4]
    grid = learner.encoder.grid(frames, height, width)
    whole = make_masks(settings.masks, row, seed, step, settings.batch, grid)
    return whole.of_rank(world.rank, world.size)


@contextmanager
def _synchronised(learner: Learner, last: bool) -> Iterator[None]:
    """Under DDP only the last backward pass of a step sends gradients to the other processes."""
    if isinstance(learner.run, DistributedDataParallel) and not last:
        with learner.run.no_sync():
            yield
    else:
        yield


def _clipped(learner: Learner, most: float) -> Tensor:
    """Scale the gradients so that their global norm is at most `most`; returns what it was."""
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), most)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _non_finite(
    row: log.Row, pixels: Tensor, step: int, world: World, folder: Path
) -> NonFiniteLoss:
    path = folder / f"non_finite_step_{step:06d}_rank_{world.rank}.pt"
    torch.save({"step": step, "clip": pixels.cpu(), "row": row}, path)
    return NonFiniteLoss(
        f"step {step}: loss {row['loss']}, gradient norm {row['grad_norm']}; nothing was stepped. "
        f"The batch is in {path}. Lower pretrain.lr or pretrain.grad_clip, or use float32; "
        f"{folder} keeps the checkpoints."
    )
