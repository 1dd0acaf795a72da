"""An encoder and the head on its tokens, trained together on the pixels of clips.

All randomness is a function of seed and epoch, so that a training which was cut short and goes on
from its last epoch ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from unisurg.evaluation.finetuning.layer_decay import parameter_groups
from unisurg.evaluation.finetuning.pixels import Clip, Pixels
from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import to_input
from unisurg.settings import Finetune
from unisurg.tasks.base import Loss, Task

GRAD_CLIP = 1.0  # global norm


class TuningDiverged(ValueError):
    """A loss, a gradient or a score is not finite; nothing was stepped."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"fine-tuning has diverged: {what}; lower finetune.lr in params.yaml, or set"
            " finetune.precision to float32"
        )


class Network(nn.Module):
    """Clips in, logits out: the encoder in `encoder`, the head of the task in `head`."""

    def __init__(
        self,
        encoder: VisionTransformer,
        task: Task,
        grid: tuple[int, int, int],
        seed: int,
        depths: tuple[int, ...] = (),
    ) -> None:
        """`grid` (t, h, w) of the tokens; `seed` draws the head, the global state stays.

        The head sees the tokens after the blocks `depths` side by side; none: the encoder's last.
        """
        super().__init__()
        self.encoder, self.depths = encoder, depths
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = task.head(encoder.embed_dim * max(len(depths), 1), grid)

    def forward(self, clips: Sequence[Clip]) -> Tensor:
        """Logits (B, ...) float32 of clips (T, H, W, 3) uint8, whose sizes may differ."""
        device = self.encoder.embed.weight.device
        logits: list[Tensor | None] = [None] * len(clips)
        for places in _by_shape(clips):
            pixels = torch.from_numpy(np.stack([clips[i] for i in places])).to(device)
            found = self.head(self.encoder.side_by_side(to_input(pixels), self.depths)).float()
            for place, row in zip(places, found, strict=True):
                logits[place] = row
        return torch.stack([row for row in logits if row is not None])


def tunable(encoder: VisionTransformer, settings: Finetune) -> VisionTransformer:
    """The same weights in a network that drops paths and saves activations as the settings say."""
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and replaced
        fresh = VisionTransformer(
            encoder.size,
            encoder.tubelet,
            settings.drop_path,
            encoder.rotary,
            encoder.rotary_dtype,
            settings.activation_checkpointing,
        )
    fresh.load_state_dict(encoder.state_dict())
    return fresh


class Tuner:
    """A network in training: its optimiser, and the rule by which the learning rate moves."""

    def __init__(self, network: Network, settings: Finetune, seed: int) -> None:
        self.network, self.settings, self.seed = network, settings, seed
        groups = parameter_groups(
            network.encoder, network.head, settings.layer_decay, settings.weight_decay
        )
        self.optimiser = torch.optim.AdamW(groups, lr=settings.lr)
        self._device = network.encoder.embed.weight.device

    def epoch(self, number: int, clips: Pixels, targets: Tensor, loss: Loss) -> float:
        """One pass over all clips, in an order drawn from seed and epoch; the mean loss.

        Raises:
            TuningDiverged: before anything is stepped.
        """
        rng = np.random.default_rng([self.seed, number])
        batches = _batches(rng.permutation(len(clips)), self.settings.batch)
        total = 0.0
        self.network.train()
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))  # of the paths that are dropped
            for done, (ids, batch) in enumerate(_read_ahead(clips, batches)):
                self._set_rate(number * len(batches) + done, len(batches))
                wanted = targets[torch.from_numpy(ids)].to(self._device)
                total += self._step(batch, wanted, loss, number + 1) * len(ids)
        return total / len(clips)

    def predict(self, task: Task, clips: Pixels) -> list[np.ndarray]:
        """Prediction of every case; a batch of clips is held at a time, and all logits.

        Raises:
            TuningDiverged: a score is not finite.
        """
        self.network.eval()
        batches = _batches(np.arange(len(clips)), self.settings.batch)
        with torch.inference_mode(), self._casting():
            rows = [self.network(batch).cpu() for _, batch in _read_ahead(clips, batches)]
        logits = torch.cat(rows)
        if not logits.isfinite().all():
            raise TuningDiverged("a score is not finite")
        of_cases = logits.split(clips.lengths)
        pairs = zip(of_cases, clips.truths(), strict=True)
        return [task.predict(of_case, truth) for of_case, truth in pairs]

    def _step(self, batch: Sequence[Clip], wanted: Tensor, loss: Loss, epoch: int) -> float:
        with self._casting():
            value = loss(self.network(batch), wanted)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRAD_CLIP)
        if not (torch.isfinite(value) and torch.isfinite(norm)):
            raise TuningDiverged(f"epoch {epoch}: loss {value.item()}, gradient norm {norm.item()}")
        self.optimiser.step()
        return float(value.detach())

    def _set_rate(self, step: int, steps_per_epoch: int) -> None:
        factor = rate_factor(step, steps_per_epoch, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.lr * factor * group["scale"]

    def _casting(self) -> torch.autocast:
        wanted = self.settings.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, wanted)


def rate_factor(step: int, steps_per_epoch: int, settings: Finetune) -> float:
    """Factor of the learning rate, in (0, 1]: linear warm-up, then a cosine that ends in 0.

    `step` counts from 0, and the first one already moves. A pure function, so that a training which
    goes on needs no state for it.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    return np.split(order, range(size, len(order), size))


def _read_ahead(
    clips: Pixels, batches: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, list[Clip]]]:
    """Each batch with its clips; the next one is decoded while this one is computed."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(clips.batch, batches[0])
        for ids, following in zip(batches, [*batches[1:], None], strict=True):
            batch = coming.result()
            if following is not None:
                coming = pool.submit(clips.batch, following)
            yield ids, batch


def _by_shape(clips: Sequence[Clip]) -> list[list[int]]:
    """Places of the clips of each size: what can go through the encoder together."""
    places: dict[tuple[int, ...], list[int]] = {}
    for i, clip in enumerate(clips):
        places.setdefault(clip.shape, []).append(i)
    return list(places.values())
