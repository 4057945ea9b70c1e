"""Contact sheets of what a renderer draws, to be looked at."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.flow_warp.batches import Sampler
from training.flow_warp.learner import Learner

_BATCHES = 4


def draw_sheet(learner: Learner, sampler: Sampler, device: torch.device) -> Image.Image:
    """A row per driving frame, two side by side.

    Source, whose motion, wanted, drawn from that picture, drawn from its known motion.
    """
    rows = []
    for step in range(_BATCHES):
        batch = sampler.draw(step).to(device)
        each = len(batch.driving) // len(batch.sources)
        sources = batch.sources.repeat_interleave(each, 0)
        drivers = batch.driving[batch.drivers]
        maps, start, _ = learner.renderer.encode(sources)
        made = learner.renderer.generator(maps, start, learner.renderer.encode(drivers).code)
        code = learner.to_code.drawn(batch.motion[len(batch.sources) :].nan_to_num())
        moved = learner.renderer.generator(maps, start, code)
        rows.append(torch.cat([sources, drivers, batch.driving, made, moved], dim=3))
    tall = torch.cat(rows)  # [N, 3, S, 5 S]
    half = len(tall) // 2
    columns = [torch.cat(list(part), 1) for part in (tall[:half], tall[half:])]
    return to_image(torch.cat(columns, 2))


def to_image(picture: Tensor) -> Image.Image:
    """A picture [3, H, W] in [-1, 1] as an image."""
    pixels = ((picture.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
