"""The pixel module with what only training needs: a batch in, losses out."""

from __future__ import annotations

from torch import Tensor, nn

from pipelines.swaptalk.latents import lower
from training.flow_warp.losses import RandomFeatures, attention, colour_loss, feature_loss
from training.swaptalk.pixels.network import PixelLips
from training.swaptalk.samplers import LipBatch

_COLOUR, _FEATURE = 4.0, 1.0  # what each loss counts, as in the training of the VQGAN


class PixelLearner(nn.Module):
    """Learns lower halves that look like the true ones."""

    def __init__(self, network: PixelLips) -> None:
        super().__init__()
        self.network = network
        self.features = RandomFeatures()

    def forward(self, batch: LipBatch) -> dict[str, Tensor]:
        """`colour` and `feature`, and `still`: the colour loss of the reference's own mouth.

        The batch's maps are squares [B, 3, S, S] in [-1, 1].
        """
        made = self.network(batch.target, batch.reference, batch.sound).float()
        truth = lower(batch.target)
        weight = lower(attention(batch.regions, batch.target.shape[3]))
        weight = weight / weight.mean((2, 3), keepdim=True)
        losses = {
            "colour": colour_loss(made, truth, weight),
            "feature": feature_loss(self.features, made, truth, weight),
        }
        still = colour_loss(lower(batch.reference), truth, weight)
        total = _COLOUR * losses["colour"] + _FEATURE * losses["feature"]
        return losses | {"still": still, "total": total}
