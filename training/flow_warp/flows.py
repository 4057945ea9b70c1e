"""Where the portrait renderer looks: for each pixel of a frame, its place in the resting frame.

Known flow teaches a warp far faster than pictures alone, whose gradient sees a pixel or two around.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.warp import warp
from pipelines.photo.crop import Crop
from pipelines.portrait.bake import NODES, Baked
from pipelines.portrait.flow import refine_down
from pipelines.portrait.frame import Plan, plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.pose import head_pose
from pipelines.portrait.render import shape_weights

_ITERATIONS = 3  # of undoing what the resting face itself moves


@torch.inference_mode()
def rest_places(baked: Baked, motion: Tensor, square: Crop, size: int) -> Tensor:
    """Flows of frames with `motion` [N, D] in the crop: float16 [N, 2, size, size].

    Values are x and y in the crop of the resting frame (motion 0), [-1, 1] from edge to edge; NaN
    where something shows that the photo does not (teeth, eyeballs, what was behind the head).
    """
    rest = _photo_places(baked, torch.zeros_like(motion[0]))
    moved = (rest - _identity(baked.size)).nan_to_num()[None]
    line = (torch.arange(size) + 0.5) / size * square.side
    x = (line + square.left) * (2.0 / baked.size) - 1.0
    y = (line + square.top) * (2.0 / baked.size) - 1.0
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    flows = []
    for row in motion:
        photo = _photo_places(baked, row)[None]
        photo = F.grid_sample(photo, grid, mode="nearest", align_corners=False)
        place = photo
        for _ in range(_ITERATIONS):
            at = place.nan_to_num().permute(0, 2, 3, 1)
            place = photo - F.grid_sample(moved, at, padding_mode="border", align_corners=False)
        flows.append(place[0])
    offset = torch.tensor([square.left, square.top]).view(2, 1, 1)
    pixels = (torch.stack(flows) + 1.0) * (baked.size / 2)
    return ((pixels - offset) * (2.0 / square.side) - 1.0).half()


def _photo_places(baked: Baked, motion: Tensor) -> Tensor:
    """Canvas coordinates in the photo of every pixel of a frame, [2, S, S]; NaN if not there."""
    values = motion.tolist()
    pose = head_pose(values, baked.face, baked.person.device)
    frame = plan(baked, shape_weights(motion), pose, values)
    places = _identity(baked.size)
    skin = _skin(baked, frame)
    person = warp(baked.person, skin.permute(1, 2, 0)[None])[0, 3] > 0.5
    places[:, person] = skin[:, person]
    places[:, ~person & (baked.person[0, 3] > 0.5)] = float("nan")
    for patch, _ in frame.mouth_and_eyes:
        view = places[(slice(None), *patch.box)]
        view[:, patch.cover < 0.5] = float("nan")
    return places


def _skin(baked: Baked, frame: Plan) -> Tensor:
    """The same of the skin, whether something covers it or not."""
    each = baked.size // (NODES - 1)
    skin = refine_down(frame.flow.wide, each)[:2].clone()
    for patch in frame.patches:
        _put(skin, patch)
    return skin


def _put(skin: Tensor, patch: Patch) -> None:
    rows, columns = patch.box
    size = skin.shape[-1]
    r = slice(max(rows.start, 0), min(rows.stop, size))
    c = slice(max(columns.start, 0), min(columns.stop, size))
    there = (slice(r.start - rows.start, r.stop - rows.start),
             slice(c.start - columns.start, c.stop - columns.start))  # fmt: skip
    skin[:, r, c] = patch.source[(slice(None), *there)]


def _identity(size: int) -> Tensor:
    """Canvas coordinates of the pixels' own centres, [2, S, S]."""
    line = (torch.arange(size) + 0.5) * (2.0 / size) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))
