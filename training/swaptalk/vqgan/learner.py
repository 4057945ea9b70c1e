"""The VQGAN with everything that only training needs, as one module: batch in, losses out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.quantise import NearestQuantiser
from training.flow_warp.losses import RandomFeatures, attention, colour_loss, feature_loss
from training.swaptalk.vqgan.batches import Batch
from training.swaptalk.vqgan.losses import quantisation_loss, tone_loss


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each loss counts."""

    colour: float = 4.0
    feature: float = 1.0
    tone: float = 2.0
    quantisation: float = 1.0
    identity: float = 0.5
    critic: float = 0.8  # times the factor that evens out gradients


class Drawn(NamedTuple):
    """What a step gives.

    losses: unweighted, and `total` of the weighted. made, wanted: [N, 3, H, S], whole faces or
    lower halves. z: vectors of the lower halves, and of the upper ones, [N, D, h, w], no gradient.
    codes: theirs, int64 [N, h, w].
    """

    losses: dict[str, Tensor]
    made: Tensor
    wanted: Tensor
    z: tuple[Tensor, Tensor]
    codes: tuple[Tensor, Tensor]


class Learner(nn.Module):
    """Network and losses. `identity` maps pictures [N, 3, S, S] in [-1, 1] to vectors [N, E]."""

    def __init__(
        self, config: VqganConfig, weights: Weights | None = None,
        identity: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if config.quantiser != "nearest":
            raise ValueError("a codebook of the Gumbel kind cannot be trained here")
        self.weights = weights or Weights()
        self.network = Vqgan(config)
        self.features = RandomFeatures()
        self.identity = identity.requires_grad_(False) if identity is not None else None
        self.with_codes = False
        self.codes_move = True

    def freeze_codes(self) -> None:
        """From now on only what decodes is trained."""
        network = self.network
        for part in (network.encoder, network.quant_conv, *self.books):
            part.requires_grad_(False)
        self.codes_move = False

    @property
    def books(self) -> tuple[NearestQuantiser, NearestQuantiser]:
        """Of lower and of upper halves; the same where there is one."""
        lower, upper = self.network.lower_book, self.network.upper_book
        assert isinstance(lower, NearestQuantiser)
        assert isinstance(upper, NearestQuantiser)
        return lower, upper

    def forward(self, batch: Batch) -> Drawn:
        upper, lower = batch.pictures.chunk(2, 2)
        with torch.set_grad_enabled(batch.whole and torch.is_grad_enabled()):
            z_upper = self.network.encode(upper).float()
        z_lower = self.network.encode(lower).float()
        with torch.autocast(batch.pictures.device.type, enabled=False):
            below, loss_below, codes_below = self._quantised(z_lower, self.books[0])
            above, loss_above, codes_above = self._quantised(z_upper, self.books[1])
        z = torch.cat([above, below], 2)
        if batch.whole:
            made, wanted = self.network.decode(z).float(), batch.pictures
        else:
            made, wanted = self.network.decode_lower(z).float(), lower
        weight = attention(batch.regions, batch.pictures.shape[3])[:, :, -made.shape[2] :]
        weight = weight / weight.mean((2, 3), keepdim=True)
        losses = {
            "colour": colour_loss(made, wanted, weight),
            "feature": feature_loss(self.features, made, wanted, weight),
            "tone": tone_loss(made, wanted, self.network.config.factor),
            "quantisation": loss_below + loss_above,
        }
        if self.identity is not None:
            losses["identity"] = self._identity_loss(made, batch)
        parts = [getattr(self.weights, name) * loss for name, loss in losses.items()]
        losses["total"] = torch.stack(parts).sum()
        vectors = (z_lower.detach(), z_upper.detach())
        return Drawn(losses, made, wanted, vectors, (codes_below, codes_above))

    def _quantised(self, z: Tensor, book: NearestQuantiser) -> tuple[Tensor, Tensor, Tensor]:
        """Codes' vectors, through which gradients pass straight on; the loss; the codes.

        Where z has no gradient the loss only lets codes follow. Before there are codes, z itself.
        """
        if not self.with_codes:  # a group of workers waits for every weight's gradient
            return z, 0.0 * book.embedding.weight.sum(), z.new_zeros(0, dtype=torch.int64)
        values, codes = book(z)
        return z + (values - z).detach(), quantisation_loss(z, values), codes

    def _identity_loss(self, made: Tensor, batch: Batch) -> Tensor:
        """One less the cosine of who is seen and who should be; lower halves below real ones."""
        assert self.identity is not None
        above = batch.pictures[:, :, : batch.pictures.shape[2] - made.shape[2]]
        seen = self.identity(torch.cat([above, made], 2))
        with torch.no_grad():
            wanted = self.identity(batch.pictures)
        return (1.0 - F.cosine_similarity(seen, wanted)).mean()
