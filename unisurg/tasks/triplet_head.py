"""A head that tells instruments, verbs and targets, and which of them belong together.

Most triplets are rare, their parts are not: what a hook looks like is learned from every triplet of
the hook. Every instrument, verb and target has a query of its own that looks for it among the
tokens, and a triplet is likely where its three parts are and where they go together:

    z(i, v, t) = log s(z_i) + log s(z_v) + log s(z_t) + sum_r a_i[r] b_v[r] c_t[r] + bias(i, v, t)

s is the sigmoid, z_i the logit of the instrument, and a_i, b_v, c_t are what the three queries saw
plus what each part is by itself, in `RANK` numbers. The first three addends are a soft "and"; the
sum of products is read at those points (i, v, t) of a space of interactions (Nwoye et al., Tripnet,
MICCAI 2020, arXiv 2007.05405) where the data set has a triplet: impossible ones are never made.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unisurg.tasks.heads import Attention, AttentiveProbe, Block
from unisurg.tasks.triplet_parts import TripletParts

RANK = 32
# Enough that parts differ before their queries do, too little to drown the prior.
OWN_DEVIATION = 0.5
# What is rare starts as unlikely, or the first steps would do nothing but learn that (Lin et al.,
# Focal Loss, arXiv 1708.02002, section 3.3). A frame shows about one triplet in a hundred, and of
# ten instruments, verbs or targets about one.
TRIPLET_PRIOR, PART_PRIOR = 0.01, 0.1


class TripletHead(nn.Module):
    """Tokens (B, N, D) -> logits (B, C + I + V + T): triplets, instruments, verbs, targets."""

    of: Tensor

    def __init__(self, dim: int, parts: TripletParts, steps: int, depth: int, heads: int) -> None:
        """`depth` self-attention blocks over the tokens before the queries look at them.

        N is a multiple of the time `steps`, of which one is labelled, the same in every clip (the
        last of a causal one): what each step adds to its tokens is learned, since rotary encoders
        tell no more than how far apart two are.
        """
        super().__init__()
        self.steps = nn.Parameter(torch.empty(steps, 1, dim))
        self.sizes = parts.sizes
        # Places of a triplet's three parts among all of them, (C, 3).
        starts = torch.tensor([0, *self.sizes[:2]]).cumsum(0)
        self.register_buffer("of", torch.as_tensor(parts.of) + starts)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.queries = nn.Parameter(torch.empty(1, sum(self.sizes), dim))
        self.norm_tokens = nn.LayerNorm(dim)
        self.look = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.weight = nn.Parameter(torch.empty(sum(self.sizes), dim))
        self.bias = nn.Parameter(torch.full((sum(self.sizes),), logit(PART_PRIOR)))
        self.associate = nn.ModuleList(nn.Linear(dim, RANK, bias=False) for _ in self.sizes)
        self.own = nn.Parameter(OWN_DEVIATION * torch.randn(sum(self.sizes), RANK))
        prior = logit(TRIPLET_PRIOR) - 3 * math.log(PART_PRIOR)
        self.triplet_bias = nn.Parameter(torch.full((len(parts.of),), prior))
        for rows in (self.steps, self.queries, self.weight):
            nn.init.trunc_normal_(rows, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = (tokens.unflatten(1, (len(self.steps), -1)) + self.steps).flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        seen = self.norm(queries + self.look(queries, self.norm_tokens(tokens)))
        parts = (seen * self.weight).sum(-1) + self.bias
        together = F.logsigmoid(parts)[:, self.of].sum(-1)
        return torch.cat([together + self.association(seen) + self.triplet_bias, parts], dim=1)

    def association(self, seen: Tensor) -> Tensor:
        """How well the parts of each triplet go together, (B, C), of what queries saw (B, Q, D)."""
        of_kind = zip(self.associate, seen.split(self.sizes, dim=1), strict=True)
        said = torch.cat([associate(rows) for associate, rows in of_kind], dim=1) + self.own
        return said[:, self.of].prod(2).sum(-1) / math.sqrt(RANK)


def plain_head(dim: int, classes: int, depth: int, heads: int) -> AttentiveProbe:
    """The attentive probe with a logit per triplet, which starts as unlikely: (B, classes)."""
    head = AttentiveProbe(dim, classes, depth, heads)
    nn.init.constant_(head.classify.bias, logit(TRIPLET_PRIOR))
    return head


def logit(share: float) -> float:
    return math.log(share / (1 - share))
