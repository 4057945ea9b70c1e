"""The networks with what only training needs: a batch in, losses out.

A learner's `network` is what is trained and kept. Of its losses `total` is minimised; `target` and
`still` are what one gets for nothing, to read the others by.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.swaptalk.expert import SyncExpert, sync_loss
from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.swap import Swap
from training.swaptalk.losses import Recognise, cell_weights, identity_loss, map_loss
from training.swaptalk.samplers import ExpertBatch, LipBatch, SwapBatch

_SYNCED = 0.75  # sync loss under which the expert has a say, as in Wav2Lip
_LOOKS_BACK = 0.02  # share of a step in the mean of the sync loss


@dataclass(frozen=True, kw_only=True)
class SwapWeights:
    """What each loss of the swap counts."""

    proxy: float = 1.0
    source: float = 1.0  # identity of the source
    result: float = 1.0  # identity of the true answer


class SwapLearner(nn.Module):
    """Learns to swap from a teacher: our renderer draws the true answer."""

    def __init__(
        self, network: Swap, recognise: Recognise | None = None, weights: SwapWeights | None = None,
        recognised: int | None = None,
    ) -> None:  # fmt: skip
        """recognise: without it there are no identity losses. recognised: rows of a batch that it
        sees, the first ones: it costs many times what the swap does. None: all."""
        super().__init__()
        self.network, self.recognise, self.recognised = network, recognise, recognised
        self.weights = weights or SwapWeights()

    def forward(self, batch: SwapBatch) -> dict[str, Tensor]:
        """`proxy`, `source` and `result`; and `target` and `still`: the target and the source taken
        for the answer."""
        network = self.network
        made = network(batch.source, batch.target)
        weight = cell_weights(batch.regions, *made.shape[2:])
        losses = {"proxy": map_loss(made, batch.truth, weight) / network.scale.unit}
        if self.recognise is not None:
            rows = slice(self.recognised)
            with torch.no_grad():
                source, truth = (
                    self.recognise(batch.source[rows]),
                    self.recognise(batch.truth[rows]),
                )
            seen = self.recognise(made[rows])
            losses["source"] = identity_loss(seen, source)
            losses["result"] = identity_loss(seen, truth)
        parts = [getattr(self.weights, name) * loss for name, loss in losses.items()]
        for name, maps in (("target", batch.target), ("still", batch.source)):
            losses[name] = map_loss(maps, batch.truth, weight) / network.scale.unit
        return losses | {"total": torch.stack(parts).sum()}


class ExpertLearner(nn.Module):
    """Learns which lips fit which sound."""

    def __init__(self, network: SyncExpert) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: ExpertBatch) -> dict[str, Tensor]:
        """`sync`, and `right`: the share of lips to which no other sound of the batch fits better.

        Every sound is held against all lips. A pair at a time, as SyncNet is trained, stays at the
        loss of a coin for thousands of steps; all pairs of a batch cost no more to see.
        """
        lips, sound = self.network.embed_lips(batch.halves), self.network.embed_sound(batch.sound)
        cosine = lips @ sound.T
        own = torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
        fitting = sync_loss(cosine[own], own[own])
        loss = (fitting + sync_loss(cosine[~own], own[~own])) / 2
        right = (cosine.argmax(1) == own.long().argmax(1)).float().mean()
        return {"sync": loss, "right": right, "total": loss}


class LipLearner(nn.Module):
    """Learns lips that look like the true ones, and that the expert believes."""

    def __init__(
        self, network: LipSync, expert: SyncExpert | None = None, sync_weight: float = 0.03
    ) -> None:
        """sync_weight: what the expert's loss counts as soon as lips have learnt to be in time."""
        super().__init__()
        self.network, self.sync_weight = network, sync_weight
        self.expert = None if expert is None else expert.eval().requires_grad_(False)
        self.sync: Tensor  # running mean of the sync loss
        self.register_buffer("sync", torch.ones(()))

    def train(self, mode: bool = True) -> LipLearner:
        """The expert stays as it is."""
        super().train(mode)
        if self.expert is not None:
            self.expert.eval()
        return self

    def forward(self, batch: LipBatch) -> dict[str, Tensor]:
        """`code`, `sync`, and `still`: the reference's mouth taken for the answer."""
        network = self.network
        half = lower(network(batch.target, batch.reference, batch.sound))
        weight = lower(cell_weights(batch.regions, *batch.target.shape[2:]))
        truth, unit = lower(batch.target), network.scale.unit
        code = map_loss(half, truth, weight) / unit
        still = map_loss(lower(batch.reference), truth, weight) / unit
        losses = {"code": code, "still": still, "total": code}
        if self.expert is not None:
            rows = half.reshape(len(batch.heard), -1, *half.shape[1:])
            cosine = self.expert.cosine(rows, batch.heard)
            losses["sync"] = sync_loss(cosine, torch.ones_like(cosine))
            losses["total"] = code + self._say() * losses["sync"]
            if self.training:
                self.sync.lerp_(losses["sync"].detach(), _LOOKS_BACK)
        return losses

    def _say(self) -> Tensor:
        """What the expert's loss counts now."""
        return torch.where(self.sync < _SYNCED, self.sync_weight, 0.0)
