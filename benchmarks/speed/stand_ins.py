"""Networks of the published sizes with random numbers, for want of the published ones.

They cost what the published ones cost. What they draw and say means nothing.
"""

from __future__ import annotations

import torch

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.network import FlowWarp
from pipelines.diffusion.config import PRESETS, GeneratorConfig
from pipelines.diffusion.generator import MotionGenerator

PUBLISHED = PRESETS["mfcc_pose_only"]
NOISE = 0.01  # scale for `random_generator`: with more, its codes run into the clamp


def random_renderer(config: RendererConfig) -> FlowWarp:
    """A renderer with gentle flows and colours, always the same."""
    torch.manual_seed(0)
    model = FlowWarp(config).eval()
    for name, value in model.named_parameters():
        if name.endswith(("flow.weight", "colours.weight")):
            value.data.mul_(0.2)
    return model.requires_grad_(False)


def random_generator(config: GeneratorConfig = PUBLISHED) -> MotionGenerator:
    """A motion generator in whose output sound counts as much as the number of the step."""
    torch.manual_seed(0)
    model = MotionGenerator(config).eval()
    model.t_encoder[0].weight.data.mul_(1e-3)  # the step goes up to 999
    model.out_proj.weight.data.mul_(NOISE)
    return model.requires_grad_(False)
