"""The renderer with everything that only training needs, as one module: batch in, losses out.

Stage 1 of AniTalker (arXiv 2405.03121, section 3): reconstruct a frame from another of the same
person; metric learning for identity; least mutual information between identity and motion. Where
the motion is known two more are possible: a twin's code must draw the same picture and be the same
code, and the known motion must be readable from the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.encoder import IdentityHead
from pipelines.anitalker.renderer import FlowWarp
from pipelines.motion.space import MOTION_DIM, MOTION_NAMES
from pipelines.training.flow_warp.batches import Batch, twin_rows
from pipelines.training.flow_warp.losses import (
    RandomFeatures,
    attention,
    colour_loss,
    feature_loss,
)

_SCALE = {"headYaw": 5.0, "headPitch": 4.0, "headRoll": 4.0, "headX": 0.05, "headY": 0.04,
          "headZ": 0.06, "gazeYaw": 6.0, "gazePitch": 4.0}  # fmt: skip
_SHAPE_SCALE = 0.3  # of a blendshape weight


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each loss counts."""

    colour: float = 6.0
    feature: float = 1.0
    known: float = 1.0
    twin: float = 0.3
    identity: float = 0.02
    information: float = 0.01


class Margin(nn.Module):
    """Additive angular margin softmax over the people of the training set (arXiv 1801.07698)."""

    def __init__(self, dim: int, people: int, margin: float = 0.2, scale: float = 16.0) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(people, dim) / math.sqrt(dim))
        self.margin, self.scale = margin, scale

    def forward(self, x: Tensor, who: Tensor) -> Tensor:
        """Loss of identity codes x [N, D] that belong to people `who` int64 [N]."""
        cosine = F.normalize(x) @ F.normalize(self.centres).T
        angle = cosine.clamp(-0.999, 0.999).acos()
        own = F.one_hot(who, len(self.centres)).bool()
        logits = torch.where(own, (angle + self.margin).cos(), cosine)
        return F.cross_entropy(self.scale * logits, who)


class Learner(nn.Module):
    """Renderer, identity branch, and a reader of the known motion."""

    def __init__(self, config: RendererConfig, people: int, weights: Weights | None = None) -> None:
        super().__init__()
        self.weights = weights or Weights()
        self.renderer = FlowWarp(config)
        self.identity = IdentityHead(config)
        self.margin = Margin(config.latent_dim, people)
        self.reader = nn.Linear(config.motion_dim, MOTION_DIM)
        self.features = RandomFeatures()
        scale = [_SCALE.get(name, _SHAPE_SCALE) for name in MOTION_NAMES]
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.scale: Tensor

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss unweighted, and their weighted sum as `total`."""
        count = len(batch.sources)
        maps, start, code = self.renderer.encode(torch.cat([batch.sources, batch.driving]))
        each = len(batch.driving) // count
        made = self.renderer.generator(
            [x[:count].repeat_interleave(each, 0) for x in maps],
            start[:count].repeat_interleave(each, 0),
            code[count:][batch.drivers],
        ).float()
        weight = attention(batch.regions, made.shape[-1])
        losses = {
            "colour": colour_loss(made, batch.driving, weight),
            "feature": feature_loss(self.features, made, batch.driving, weight),
            "known": self._known(code.float(), batch.motion),
            "twin": _twins(code[count:].float(), batch.twins, each),
        }
        losses |= self._apart(start.float(), batch.people)
        # `density` fits the estimate to what it sees, and reaches nothing else.
        parts = [getattr(self.weights, name, 1.0) * loss for name, loss in losses.items()]
        return losses | {"total": torch.stack(parts).sum()}

    def _known(self, code: Tensor, motion: Tensor) -> Tensor:
        """Error of the known motion read from the code, in units of its usual size."""
        known = ~motion.isnan().any(1, keepdim=True)
        wanted = torch.where(known, motion, 0.0) / self.scale
        read: Tensor = self.reader(code)
        error = (read - wanted).square().mean(1, keepdim=True) * known
        return error.sum() / known.sum().clamp_min(1)

    def _apart(self, start: Tensor, people: Tensor) -> dict[str, Tensor]:
        """Tell people apart by identity; let identity say as little as can be about motion.

        The information is bounded from above by CLUB (arXiv 2006.12013): how much better motion
        agrees with the estimate from its own picture's identity than from another's.
        """
        identity = self.identity.identity(start)
        motion = self.renderer.motion.leave_identity(start)
        spread, mean = torch.std_mean(motion.detach(), 0)
        motion = (motion - mean) / (spread + 1e-6)
        guess = self.identity.density(identity.detach())
        own = (motion - guess.detach()).square().mean()
        other = (motion[:, None] - guess.detach()[None]).square().mean()
        return {
            "identity": self.margin(identity, people),
            "information": 0.5 * (other - own).clamp_min(0.0),
            "density": (motion.detach() - guess).square().mean(),
        }


def _twins(code: Tensor, twins: Tensor, each: int) -> Tensor:
    """How far apart the codes of twin rows are, relative to how far codes are spread."""
    other = code[twin_rows(len(code), each).to(code.device)]
    apart = (code - other).square().mean(1) * twins
    spread = code.detach().var(0).mean() + 1e-6
    return apart.sum() / twins.sum().clamp_min(1) / spread
