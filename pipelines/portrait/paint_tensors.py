"""Paints what shows through lips and lids of pictures sampled by tensors: RGB float32 [3, H, W]."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array
from pipelines.portrait import inside_mouth
from pipelines.portrait.bake import Baked
from pipelines.portrait.eye_composite import eyeball, lidded, shut
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.mouth_and_eyes import place_eye
from pipelines.portrait.window import Affine


def paint_mouth(baked: Baked, frame: Plan, patch: Patch) -> Array:
    """Teeth, tongue and cavity in the mouth's patch."""
    inside = baked.inside
    maps = inside_mouth.place_pictures(inside, baked.face, frame.values, frame.pose, patch)
    seen = _sampled(inside.pictures.float() / 255.0, maps, patch, "zeros")
    return inside_mouth.paint_mouth(inside, patch, seen)


def paint_eye(baked: Baked, frame: Plan, index: int, patch: Patch) -> tuple[Array, Array]:
    """Eyeball and lid in the patch of the right (0) or left (1) eye, and the share of skin left."""
    rest, look = place_eye(baked, frame.values, frame.pose, index, patch)
    floats = baked.eyeballs[index::2].float() / 255.0
    white, iris, light, lid = _sampled(floats, [rest, look, rest, rest], patch, "border")
    ball, down = eyeball(white, iris, light), shut(frame.values, index)
    if down == 0.0:
        return ball, patch.cover
    edge = _sampled(baked.lid_edges[index : index + 1], [rest], patch, "border")[0]
    return lidded(baked, patch, ball, lid, edge, down)


def _sampled(pictures: Tensor, maps: list[Affine], patch: Patch, border: str) -> Array:
    """`pictures` float32 [N, h, w, 4] as the patch sees them: [N, 4, H, W]."""
    grid = affine_grid(torch.tensor(maps, device=pictures.device), *patch.cover.shape)
    planes = pictures.permute(0, 3, 1, 2)
    seen = F.grid_sample(planes, grid, padding_mode=border, align_corners=False)
    return np.asarray(seen.cpu().numpy(), np.float32)


def affine_grid(maps: Tensor, height: int, width: int) -> Tensor:
    """Where `maps` [N, 2, 3] put the pixels of a window (-1..1 edge to edge): [N, H, W, 2]."""
    x = (2 * torch.arange(width, dtype=maps.dtype, device=maps.device) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=maps.dtype, device=maps.device) + 1) / height - 1
    across = maps[:, :, 0, None] * x  # [N, 2, W]
    down = torch.addcmul(maps[:, :, 2, None], maps[:, :, 1, None], y)  # [N, 2, H]
    return (across[:, :, None] + down[..., None]).permute(0, 2, 3, 1)
