"""The renderer with everything that only training needs, as one module: batch in, losses out.

Stage 1 of AniTalker (arXiv 2405.03121, section 3): reconstruct a frame from another of the same
person; metric learning for identity; least mutual information between identity and motion. Where
the motion is known there is more: a small network maps it to a code, from which most pictures are
drawn, as they will be when a stream of motion drives the face; and the code read off a picture must
be the one of its motion, whoever shows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.encoder import IdentityHead
from pipelines.anitalker.layers import base_grid
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp, FlowWarpGenerator
from pipelines.motion.space import MOTION_NAMES
from training.flow_warp.batches import Batch
from training.flow_warp.losses import (
    RandomFeatures,
    attention,
    colour_loss,
    feature_loss,
    flow_loss,
    hole_loss,
)

_SCALE = {"headYaw": 5.0, "headPitch": 4.0, "headRoll": 4.0, "headX": 0.05, "headY": 0.04,
          "headZ": 0.06, "gazeYaw": 6.0, "gazePitch": 4.0}  # fmt: skip
_FIRST_FLOW, _FIRST_HOLE = 1, 2  # levels fine enough to be told, of 16 and 32 pixels
_LOOKED_AT = (18.0, 24.0, 24.0)  # mouth and eyes: lids are few pixels, and were learnt last
_SHAPE_SCALE = 0.3  # of a blendshape weight


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each loss counts."""

    colour: float = 6.0
    feature: float = 1.0
    flow: float = 60.0
    hole: float = 3.0
    code: float = 1.0
    identity: float = 0.02
    information: float = 0.01


PUBLISHED = Weights(flow=0.0, hole=0.0, code=0.0)  # nothing of what only drawn motion can tell


def unroll(
    generator: FlowWarpGenerator, maps: list[Tensor], start: Tensor, code: Tensor
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """What the generator draws, and of each level where it looks and how much of it shows.

    Places [B, 2, n, n] in [-1, 1]; masks [B, 1, n, n] as logits.
    """
    latent = generator.latent(start, code)
    x = generator.first(generator.constant.expand(len(start), -1, -1, -1), latent)
    flow = image = None
    grids, masks = [], []
    for level, source in zip(generator.levels, maps, strict=True):
        x, flow, image = level(x, source, latent, flow, image)
        grids.append(flow[:, :2].float().tanh() + base_grid(flow.shape[-1], flow))
        masks.append(flow[:, 2:].float())
    assert image is not None
    return image.float(), grids, masks


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
    """Renderer, the map from known motion to codes, and the identity branch."""

    def __init__(self, config: RendererConfig, people: int, weights: Weights | None = None) -> None:
        super().__init__()
        self.weights = weights or Weights()
        self.renderer = FlowWarp(config)
        self.identity = IdentityHead(config)
        self.margin = Margin(config.latent_dim, people)
        self.to_code = MotionToCode(config.motion_dim)
        self.to_code.scale.copy_(
            torch.tensor([_SCALE.get(name, _SHAPE_SCALE) for name in MOTION_NAMES])
        )
        self.features = RandomFeatures()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss unweighted, and their weighted sum as `total`."""
        count = len(batch.sources)
        each = len(batch.driving) // count
        seen = batch.sources
        if not batch.mapped:
            seen = torch.cat([batch.sources, batch.driving])
        maps, start, code = self.renderer.encode(seen)
        known = ~batch.motion.isnan().any(1)
        mapped = self.to_code.drawn(batch.motion.nan_to_num())
        made, grids, masks = unroll(
            self.renderer.generator,
            [x[:count].repeat_interleave(each, 0) for x in maps],
            start[:count].repeat_interleave(each, 0),
            mapped[count:] if batch.mapped else code[count:][batch.drivers],
        )
        weight = attention(batch.regions, made.shape[-1], _LOOKED_AT)
        losses = {
            "colour": colour_loss(made, batch.driving, weight),
            "feature": feature_loss(self.features, made, batch.driving, weight),
            "flow": flow_loss(grids[_FIRST_FLOW:], batch.flows, weight),
            "hole": hole_loss(masks[_FIRST_HOLE:], batch.flows, batch.regions),
            "code": _apart(code.float(), mapped.detach(), known),
        }
        losses |= self._identity(start.float(), batch.people[: len(seen)])
        # `density` fits the estimate to what it sees, and reaches nothing else.
        parts = [getattr(self.weights, name, 1.0) * loss for name, loss in losses.items()]
        parts.append(0.0 * mapped.sum())  # a group of workers waits for every weight's gradient
        return losses | {"total": torch.stack(parts).sum()}

    def _identity(self, start: Tensor, people: Tensor) -> dict[str, Tensor]:
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


def _apart(code: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Squared distance of codes [N, D] from the wanted ones of the first N of M pictures.

    Over the spread of all M, at least a tenth of the usual 1: pictures at rest have none.
    """
    count = len(code)
    distance = (code - wanted[:count]).square().mean(1) * known[:count]
    spread = wanted[known].var(0).mean() if int(known.sum()) > 1 else wanted.new_zeros(())
    return distance.sum() / known[:count].sum().clamp_min(1) / spread.clamp_min(0.1)
