"""Where a training begins: weights scaled on real pictures, so that motion is felt from the start.

Drawn at random, the renderer looks up its source in wild places, and codes of different pictures
hardly differ. Here flows begin small and the finest level begins with the colours of the source, so
that the first pictures are the source's; appearance and motion codes begin with mean 0 and spread 1
over a batch of pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipelines.anitalker.encoder import ImageEncoder
from pipelines.anitalker.layers import EqualLinear
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp, Level

_SMALL = 0.05  # share of what coarse colours begin with
_FLOW = 0.005  # and flows: under half a pixel of 128
_SEEN = 2.0  # logit of the masks: mostly source
_CONSTANT = 0.7  # spread of the biases of the first features
_RIDGE = 1e-5
_PARTS_SPREAD = 2.0  # of the averages that mix into the appearance code, about seven of them
_LAST_LOGIT = 2.0  # of the mix: the last part alone still knows where in the picture things are
_LAST_GAIN = 3.0
_THIN = 37  # one in so many pixels is enough to fit colours


@torch.no_grad()
def settle(renderer: FlowWarp, to_code: MotionToCode, pictures: Tensor, motion: Tensor) -> None:
    """Scale new weights by pictures [N, 3, S, S] in [-1, 1] and motion [M, MOTION_DIM].

    Raises:
        ValueError: fewer than 8 pictures or vectors of motion.
    """
    if min(len(pictures), len(motion)) < 8:
        raise ValueError(f"a spread needs at least 8 of each, got {len(pictures)}, {len(motion)}")
    for level in renderer.generator.levels:
        assert isinstance(level, Level)
        level.flow.weight.mul_(_FLOW)
    coarsest = renderer.generator.levels[0]
    assert isinstance(coarsest, Level)
    coarsest.flow.bias[2] = _SEEN  # levels add up
    _copy_colours(renderer, pictures)
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

    x = motion / to_code.scale
    for layer in to_code.layers:
        if isinstance(layer, nn.Linear):
            _standardise(layer, x, 1.0)
        x = layer(x)


def _copy_colours(renderer: FlowWarp, pictures: Tensor) -> None:
    """Let the finest level draw the source, black where its mask is 0, and the others little.

    What a photo does not show (the inside of a mouth) is mostly dark. Biases of the first features
    let them hold a constant, without which black and the source could not both be drawn.
    """
    nn.init.normal_(renderer.encoder.entry.bias, std=_CONSTANT)
    for level in renderer.generator.levels:
        assert isinstance(level, Level)
        level.rgb.colours.weight.mul_(_SMALL)
    finest = renderer.generator.levels[-1]
    assert isinstance(finest, Level)
    features = renderer.encoder.entry(pictures) * torch.tensor(_SEEN).sigmoid()
    known = features.permute(0, 2, 3, 1).flatten(0, 2)[::_THIN]
    wanted = (pictures.permute(0, 2, 3, 1).flatten(0, 2)[::_THIN] + 1.0) / math.sqrt(2.0)
    width = known.shape[1]
    ridge = _RIDGE * len(known) * torch.eye(width)
    found = torch.linalg.solve(known.T @ known + ridge, known.T @ wanted)
    finest.rgb.colours.weight.copy_(found.T[..., None, None] * math.sqrt(width))
    finest.rgb.bias.fill_(-1.0)
    if finest.paint is not None:
        finest.paint.colours.weight.mul_(_SMALL)


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
