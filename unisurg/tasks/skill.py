"""Skill: one rating and one level for a whole trial, and the gesture at every moment of it.

A case is a trial, its clips those of one camera after those of the other. Both its truth and its
prediction are structured arrays with a row per clip, in which what belongs to the trial is
repeated; so a head that sees one clip at a time and a head that sees the trial answer alike.

    truth        `rating` (6..30), `level`, `gesture` (-1: none told), `camera`, `exercise`
    prediction   `rating` (6..30, not rounded), `level`, `gesture`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks import skill_metrics
from unisurg.tasks.action import f1_macro_over_clips
from unisurg.tasks.base import Drawn, Grid, Loss
from unisurg.tasks.edit import edit_score_per_video
from unisurg.tasks.heads import AttentiveProbe
from unisurg.tasks.losses import class_weights
from unisurg.tasks.phase import accuracy, confusion
from unisurg.tasks.segments import IGNORED, f1_segmental_pooled
from unisurg.tasks.skill_metrics import Table

GRS = (6, 30)  # lowest and highest global rating score
GESTURES = 15  # of JIGSAWS' vocabulary, G1 to G15
# Of the scale: larger errors of a rating weigh in proportion, not squared. A few dozen trials, one
# of them rated oddly, would otherwise pull the head to it.
ROBUST = 0.1
PREDICTED = np.dtype([("rating", "<f8"), ("level", "<i8"), ("gesture", "<i8")])


@dataclass(frozen=True)
class SkillTask:
    """See `unisurg.tasks.base.Task`; `depth` and `heads` are of the attentive head.

    Logits are (S, 1 + levels + gestures): of the rating as a share of the scale, of each level, of
    each gesture.
    """

    levels: int
    depth: int
    heads: int
    family: ClassVar[str] = "skill"

    @property
    def outputs(self) -> int:
        return 1 + self.levels + GESTURES

    def head(self, dim: int, grid: Grid) -> nn.Module:
        """A fresh attentive head, which rates every clip by itself."""
        return AttentiveProbe(dim, self.outputs, self.depth, self.heads)

    def targets(self, truths: Sequence[np.ndarray]) -> Tensor:
        """Rating as a share of the scale, level and gesture of each clip, (S, 3) float32."""
        rows = np.concatenate(truths)
        share = (rows["rating"] - GRS[0]) / (GRS[1] - GRS[0])
        return torch.from_numpy(
            np.stack([share, rows["level"], rows["gesture"]], axis=1).astype(np.float32)
        )

    def loss(self, targets: Tensor) -> Loss:
        """What both `losses` say of every clip, added up."""
        of_trials, of_moments = self.losses(targets)
        return lambda logits, wanted: of_trials(logits, wanted) + of_moments(logits, wanted)

    def losses(self, targets: Tensor, trials: Tensor | None = None) -> tuple[Loss, Loss]:
        """Of rating and level, and of gestures: each of logits (B, outputs) and targets (B, 3).

        Huber's loss of the rating; cross-entropies weighted by class. Gestures `IGNORED` do not
        count; where none is told, their loss is 0.

        Args:
            targets: those of all training clips, (S, 3).
            trials: rows (V, 3) of them, one a trial, among which levels are balanced where the loss
                counts trials; None where it counts clips.
        """
        levels = _weights((targets if trials is None else trials)[:, 1], self.levels)
        gestures = _weights(targets[:, 2], GESTURES)

        def of_trials(logits: Tensor, wanted: Tensor) -> Tensor:
            error = F.smooth_l1_loss(logits[:, 0].sigmoid(), wanted[:, 0], beta=ROBUST)
            found = logits[:, 1 : 1 + self.levels]
            return error + F.cross_entropy(found, wanted[:, 1].long(), levels)

        def of_moments(logits: Tensor, wanted: Tensor) -> Tensor:
            told = wanted[:, 2] != IGNORED
            found = logits[told, 1 + self.levels :]
            if not len(found):
                return found.sum()
            return F.cross_entropy(found, wanted[told, 2].long(), gestures)

        return of_trials, of_moments

    def predict(self, logits: Tensor, truth: np.ndarray) -> np.ndarray:
        """The trial by the mean over its clips, each moment by the mean over its cameras; (S,)."""
        found = logits.float().cpu()
        cameras = len(np.unique(truth["camera"]))
        levels, gestures = found[:, 1 : 1 + self.levels], found[:, 1 + self.levels :]
        moments = gestures.softmax(1).unflatten(0, (cameras, -1)).mean(0)
        rows = np.zeros(len(truth), PREDICTED)
        rows["rating"] = GRS[0] + (GRS[1] - GRS[0]) * found[:, 0].double().sigmoid().mean().item()
        rows["level"] = int(levels.softmax(1).mean(0).argmax())
        rows["gesture"] = moments.argmax(1).repeat(cameras).numpy()
        return rows

    def tables(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Table]:
        """Of ratings, levels and gestures; the last are left out where no trial has any.

        Raises:
            ValueError: a rating is not finite.
        """
        rated = _rated(truths, predictions)
        levels = (np.array([rows["level"][0] for rows in of]) for of in (truths, predictions))
        return {
            **skill_metrics.tables(*rated, GRS),
            **skill_metrics.level_tables(*levels),
            **gesture_tables(truths, predictions),
        }

    def table(
        self, name: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> Table:
        rated = skill_metrics.tables(*_rated(truths, predictions), GRS)
        return rated[name] if name in rated else self.tables(truths, predictions)[name]

    def drawn(
        self, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
    ) -> dict[str, Drawn]:
        """Rank correlations of ratings, see `unisurg.tasks.skill_metrics.drawn`."""
        return skill_metrics.drawn(*_rated(truths, predictions))


def gesture_tables(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, Table]:
    """Tables of gestures by exact name, counted once a moment; none where no gesture is told.

    As of phases and actions (`unisurg.tasks.phase`, `unisurg.tasks.action`): accuracy and edit
    score per trial, macro F1 over the moments of all trials, segmental F1 over all trials.
    """
    first = [rows["camera"] == rows["camera"][0] for rows in truths]
    told = [rows["gesture"][here] for rows, here in zip(truths, first, strict=True)]
    found = [rows["gesture"][here] for rows, here in zip(predictions, first, strict=True)]
    if all((gestures == IGNORED).all() for gestures in told):
        return {}
    counts = confusion(told, found, GESTURES)
    segmental = f1_segmental_pooled(told, found)
    return {
        "accuracy_gesture_per_trial": accuracy(counts),
        "f1_macro_gesture_over_moments": f1_macro_over_clips(counts),
        "edit_score_gesture_per_trial": edit_score_per_video(told, found)["edit_score_per_video"],
        **{name.replace("segmental", "gesture_segmental"): t for name, t in segmental.items()},
    }


def _rated(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True and predicted rating of every trial, (V,) each, and its exercise."""
    true, found = (np.array([rows["rating"][0] for rows in of]) for of in (truths, predictions))
    return true, found, [str(rows["exercise"][0]) for rows in truths]


def _weights(labels: Tensor, classes: int) -> Tensor:
    found = class_weights(labels.cpu().numpy().astype(np.int64), classes)
    return found.to(labels.device)
