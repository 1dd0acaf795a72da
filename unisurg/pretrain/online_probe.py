"""A cheap probe that watches a run: can a clip's source be told from its nearest neighbours?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unisurg.models.encoder import VisionTransformer
from unisurg.models.normalise import to_input
from unisurg.pretrain import health
from unisurg.settings import Pretrain


@dataclass(frozen=True)
class OnlineProbe:
    """Fixed clips of the corpus, uint8 `(n, T, S, S, 3)`, with the source and the video of each.

    A clip's neighbours are clips of *other* videos, so the source must be told by what it looks
    like. The label costs nobody any work; it says that features carry something, not how well they
    serve a surgeon.
    """

    clips: Tensor
    sources: list[str]
    videos: list[str]

    @torch.no_grad()
    def measure(
        self, encoder: VisionTransformer, settings: Pretrain, device: torch.device
    ) -> dict[str, float]:
        """`knn_source` and `knn_chance`, 0..1; nothing where no source has two videos."""
        if not len(self.clips):
            return {}
        pieces = self.clips.split(settings.batch)
        features = [self._features(encoder, piece, settings, device) for piece in pieces]
        return health.knn(torch.cat(features), self.sources, self.videos)

    @staticmethod
    def _features(
        encoder: VisionTransformer, piece: Tensor, settings: Pretrain, device: torch.device
    ) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, settings.precision == "bfloat16"):
            tokens = encoder(to_input(piece.to(device)))
        return tokens.float().mean(dim=1).cpu()
