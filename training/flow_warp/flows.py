"""Where the portrait renderer looks: for each pixel of a frame, its place in the resting frame.

Known flow teaches a warp far faster than pictures alone, whose gradient sees a pixel or two around.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.crop import Crop
from pipelines.photo.placement import overlap
from pipelines.portrait.bake import Baked
from pipelines.portrait.draw_tensors import inside_of, person_at, whole_flow
from pipelines.portrait.eye_composite import shut
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.mouth_and_eyes import place_eye
from pipelines.portrait.paint_tensors import affine_grid
from pipelines.portrait.render import planned

_OPEN = 0.1  # of a lid's way down: what is painted from there on, the photo does not show
_ITERATIONS = 3  # of undoing what the resting face itself moves


@torch.inference_mode()
def rest_places(baked: Baked, motion: Tensor, square: Crop, size: int) -> Tensor:
    """Flows of frames with `motion` [N, D] in the crop: float16 [N, 2, size, size].

    Values are x and y in the crop of the resting frame (motion 0), [-1, 1] from edge to edge; NaN
    where something shows that the photo does not (teeth, a closed lid, what was behind the head),
    and beyond the canvas, where a face fills it.
    The frame is square, and the canvas all of it.
    """
    side = baked.placement.side
    rest = _photo_places(baked, torch.zeros_like(motion[0]))
    moved = (rest - _identity(side)).nan_to_num()[None]
    line = (torch.arange(size) + 0.5) / size * square.side
    x = (line + square.left) * (2.0 / side) - 1.0
    y = (line + square.top) * (2.0 / side) - 1.0
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    beyond = (grid.abs() > 1.0).any(-1)  # [1, size, size]
    flows = []
    for row in motion:
        photo = _photo_places(baked, row)[None]
        photo = F.grid_sample(photo, grid, mode="nearest", align_corners=False)
        place = photo
        for _ in range(_ITERATIONS):
            at = place.nan_to_num().permute(0, 2, 3, 1)
            place = photo - F.grid_sample(moved, at, padding_mode="border", align_corners=False)
        flows.append(place.masked_fill(beyond[:, None], float("nan"))[0])
    offset = torch.tensor([square.left, square.top]).view(2, 1, 1)
    pixels = (torch.stack(flows) + 1.0) * (side / 2)
    return ((pixels - offset) * (2.0 / square.side) - 1.0).half()


def _photo_places(baked: Baked, motion: Tensor) -> Tensor:
    """Canvas coordinates in the photo of every pixel of a frame, [2, S, S]; NaN if not there."""
    frame = planned(baked, motion)
    places = _identity(baked.placement.side)
    skin = whole_flow(baked, frame)[:2]
    person = person_at(baked, skin)[0, 3] > 0.5
    at_rest = person_at(baked, places)[0, 3] > 0.5
    places[:, person] = skin[:, person]
    places[:, ~person & at_rest] = float("nan")
    for index, patch in enumerate(frame.patches):
        shared = overlap(baked.visible, patch.box)
        if shared is not None:
            here, there = shared
            bare = torch.from_numpy(inside_of(baked, frame, index, patch)[1] < 0.5)
            found = torch.full((2, *bare.shape), float("nan"))
            if index and shut(frame.values, index - 1) < _OPEN:
                found = _eye_places(baked, frame, index - 1, patch)
            places[(slice(None), *here)][:, bare[there]] = found[:, *there][:, bare[there]]
    return places


def _eye_places(baked: Baked, frame: Plan, index: int, patch: Patch) -> Tensor:
    """Canvas coordinates in the photo of what an open eye shows, [2, H, W]: the iris turns."""
    white, iris = affine_grid(
        torch.tensor(place_eye(baked, frame.values, frame.pose, index, patch)), *patch.cover.shape
    )
    alpha = baked.eyeballs[2 + index, None, None, ..., 3].float() / 255.0
    turned = F.grid_sample(alpha, iris[None], align_corners=False)[0, 0] > 0.5
    found = torch.where(turned[..., None], iris, white)
    extent = torch.tensor(baked.eyeballs.shape[2:0:-1])  # of the pictures, across and down
    pixels = torch.tensor(baked.eye_corners[index]) + (found + 1.0) * extent / 2
    return (pixels * (2.0 / baked.placement.side) - 1.0).permute(2, 0, 1)


def _identity(size: int) -> Tensor:
    """Canvas coordinates of the pixels' own centres, [2, S, S]."""
    line = (torch.arange(size) + 0.5) * (2.0 / size) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))
