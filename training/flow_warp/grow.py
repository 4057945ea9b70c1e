"""A renderer of twice the pixels, from one that is trained: it begins by drawing what that draws.

All that the smaller one knows of faces and their motion is kept: its levels, codes and the map from
motion. New are the finest maps of the encoder and the finest level of the generator. The encoder's
new block hands on what the smaller one's first layer made of the picture at half the size; the new
level begins with the flow of the level below and adds little to its picture. What the smaller one
painted where it showed nothing of the source is lost, and learnt anew at the finer level.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.anitalker.encoder import ResBlock
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp, Level
from pipelines.anitalker.pair import config_of
from pipelines.anitalker.weights import map_of

_PART = "renderer."  # of a training run's tensors
_FLOW = 0.005  # of new flows: under half a pixel of 128
_COLOUR = 0.05  # share of what new colours begin with
_UNMIXED = -8.0  # logit of what the new maps add to the appearance code
_LEAK = 0.2


def take_up(renderer: FlowWarp, to_code: MotionToCode, path: Path) -> None:
    """Give `renderer` and its map the weights of a run's model.safetensors, of its size or half.

    Raises:
        ValueError: another network's.
    """
    held = load_file(path)
    its_map = map_of(held, str(path))
    named = {k.removeprefix(_PART): v for k, v in held.items() if k.startswith(_PART)}
    found = FlowWarp(config_of({key: value.shape for key, value in named.items()}, str(path)))
    found.load_state_dict(named)
    if found.config.size == renderer.config.size:
        renderer.load_state_dict(named)
        to_code.load_state_dict(its_map.state_dict())
    else:
        grow(renderer, to_code, found, its_map)


@torch.no_grad()
def grow(renderer: FlowWarp, to_code: MotionToCode, small: FlowWarp, its_map: MotionToCode) -> None:
    """Give `renderer` and its map what `small`, of half its size, and its map have learnt.

    Raises:
        ValueError: the two do not differ by one level alone.
    """
    wide, narrow = renderer.config, small.config
    same = wide.widths[1:] == narrow.widths and wide.latent_dim == narrow.latent_dim
    if not same or wide.size != 2 * narrow.size or wide.motion_dim != narrow.motion_dim:
        raise ValueError(f"{narrow} is not {wide} without its finest level")
    to_code.load_state_dict(its_map.state_dict())
    renderer.motion.load_state_dict(small.motion.state_dict())
    _grow_encoder(renderer, small)
    _grow_generator(renderer, small)


def _grow_encoder(renderer: FlowWarp, small: FlowWarp) -> None:
    """The first layer parts colours by sign, so that the block after it can join them exactly."""
    new, old = renderer.encoder, small.encoder
    colours = torch.eye(3)
    new.entry.weight[:6] = torch.cat([colours, -colours])[:, :, None, None] * math.sqrt(3.0)
    new.entry.bias[:6] = 0.0
    first = new.blocks[0]
    assert isinstance(first, ResBlock)
    fan_in = first.conv.weight[0].numel()
    first.conv.weight[:6] = 0.0
    for i in range(6):
        first.conv.weight[i, i, 1, 1] = math.sqrt(fan_in / 2.0)
    # twice through the leaky ReLU, a colour and its opposite differ by (1 + leak^2) sqrt 2 of it
    joined = old.entry.scaled()[:, :, 0, 0] * math.sqrt(2.0) / (math.sqrt(2.0) * (1 + _LEAK**2))
    first.down.weight.zero_()
    first.down.weight[:, :6, 1, 1] = torch.cat([joined, -joined], 1) * math.sqrt(fan_in)
    first.down.bias.copy_(old.entry.bias * math.sqrt(2.0))
    first.skip.weight.zero_()
    _copy(list(new.blocks)[1:], list(old.blocks))
    _copy(list(new.projections)[1:], list(old.projections))
    new.exit.load_state_dict(old.exit.state_dict())
    new.mix[0] = _UNMIXED
    new.mix[1:] = old.mix


def _grow_generator(renderer: FlowWarp, small: FlowWarp) -> None:
    new, old = renderer.generator, small.generator
    new.directions.copy_(old.directions)
    new.constant.copy_(old.constant)
    new.first.load_state_dict(old.first.state_dict())
    for level, trained in zip(list(new.levels)[:-1], old.levels, strict=True):
        assert isinstance(level, Level)
        level.load_state_dict(
            {k: v for k, v in trained.state_dict().items() if not k.startswith("paint.")}
        )
    finest = new.levels[-1]
    assert isinstance(finest, Level)
    finest.flow.weight.mul_(_FLOW)
    finest.rgb.colours.weight.mul_(_COLOUR)
    if finest.paint is not None:
        finest.paint.colours.weight.mul_(_COLOUR)


def _copy(new: list[nn.Module], old: list[nn.Module]) -> None:
    for module, trained in zip(new, old, strict=True):
        module.load_state_dict(trained.state_dict())
