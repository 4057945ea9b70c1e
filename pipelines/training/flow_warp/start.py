"""Where a training begins: weights scaled on real pictures, so that motion is felt from the start.

Drawn at random, the renderer looks up its source in wild places, and codes of different pictures
hardly differ. Here flows begin small (the picture is the source), and appearance and motion codes
begin with mean 0 and spread 1 over a batch of pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.anitalker.encoder import ImageEncoder
from pipelines.anitalker.layers import EqualLinear
from pipelines.anitalker.renderer import FlowWarp

_FLOW_SHARE = 0.05
_PARTS_SPREAD = 2.0  # of the averages that mix into the appearance code, about seven of them
_LAST_LOGIT = 2.0  # of the mix: the last part alone still knows where in the picture things are
_LAST_GAIN = 3.0


@torch.no_grad()
def settle(renderer: FlowWarp, pictures: Tensor) -> None:
    """Scale the weights of a new renderer by pictures [N, 3, S, S] in [-1, 1], N at least 8."""
    if len(pictures) < 8:
        raise ValueError(f"a spread needs at least 8 pictures, got {len(pictures)}")
    for module in renderer.generator.modules():
        flow = getattr(module, "flow", None)
        if flow is not None:
            flow.weight.mul_(_FLOW_SHARE)
    start = _settle_encoder(renderer.encoder, pictures)
    head = renderer.motion
    x = start
    for layer in head.leave_identity:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            _standardise(layer, x, 1.0)
        x = layer(x)
    for layer in head.chain:
        assert isinstance(layer, EqualLinear)
        _standardise(layer, x, 1.0)
        x = layer(x)


def _settle_encoder(encoder: ImageEncoder, pictures: Tensor) -> Tensor:
    """Scale what mixes into `start`; returns it."""
    seen: dict[int, Tensor] = {}
    for place, projection in enumerate(encoder.projections):
        projection.register_forward_pre_hook(_keep(seen, place))
    encoder(pictures)
    for place, projection in enumerate(encoder.projections):
        projection._forward_pre_hooks.clear()
        if isinstance(projection, EqualLinear):
            _standardise(projection, seen[place], _PARTS_SPREAD)
    encoder.exit.weight.mul_(_LAST_GAIN)
    encoder.mix[-1] = _LAST_LOGIT
    start: Tensor = encoder(pictures)[1]
    return start


def _keep(seen: dict[int, Tensor], place: int):  # type: ignore[no-untyped-def]
    def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
        seen[place] = inputs[0]

    return hook


def _standardise(layer: EqualLinear | nn.Linear, x: Tensor, spread: float) -> None:
    """Give the outputs of a linear layer for x [N, in] mean 0 and on average this spread."""
    out = layer(x)
    gain = spread / out.std(0).mean().clamp_min(1e-6)
    layer.weight.mul_(gain)
    layer.bias.sub_(out.mean(0)).mul_(gain)
