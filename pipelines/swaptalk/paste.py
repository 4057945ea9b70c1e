"""The drawn lower face back into the whole frame: soft, of its colours, and nowhere else.

    frame = mask * (drawn + correction) + (1 - mask) * frame

in the planes that the video is kept in, so that what the mask does not reach is the video to the
bit. The correction brings the drawn colours to the frame's where the mask is half: there both show
the same skin, or what differs much is left out of account. It is a plane over the square, for light
falls from one side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kernels.i420 import rgb_to_i420
from kernels.reference import mean_of_four
from pipelines.swaptalk.mask import HEIGHT, WIDTH

FIRM = 1e-3  # added to the fit, so that a mask without a rim asks for nothing
RIM = 0.5  # of the weight of a mask that is half: from here on a cell has a say in the median
UNLIKE = 0.06  # of full scale from the usual difference: another thing is seen there
MOST = 0.15  # of full scale, that colours are corrected by


class Face(NamedTuple):
    """Where a drawn lower half goes, and what is there.

    place: float64 [2, 3], the square in pixels of the frame. mask: float32 [HEIGHT, WIDTH] in
    [0, 1]. around: float32 [3, HEIGHT, WIDTH] in [0, 1], what the frame shows there (`small`).
    """

    place: NDArray[np.float64]
    mask: Tensor
    around: Tensor


class _Box(NamedTuple):
    top: int
    left: int
    bottom: int
    right: int


def small(lower: Tensor) -> Tensor:
    """A lower half [3, h, w] in the cells of a mask, [3, HEIGHT, WIDTH]."""
    return F.adaptive_avg_pool2d(lower[None], (HEIGHT, WIDTH))[0]


def correction(drawn: Tensor, face: Face) -> Tensor:
    """What must be added to the drawn colours [3, HEIGHT, WIDTH]: a plane, float32 [3 (constant,
    across, down), 3 (RGB)] over the lower half from -1 to 1."""
    wrong = (face.around - drawn).flatten(1)  # [3, cells]
    rim = (4.0 * face.mask * (1.0 - face.mask)).flatten()
    if not bool((rim > RIM).any()):
        return wrong.new_zeros(3, 3)
    usual = wrong[:, rim > RIM].median(1, keepdim=True).values
    unlike = (wrong - usual).abs().mean(0) / UNLIKE
    basis = basis_of_cells(wrong.device)
    weighted = basis * (rim * torch.exp(-(unlike**2)))
    matrix = weighted @ basis.T + FIRM * torch.eye(3, device=wrong.device)
    plane: Tensor = torch.linalg.solve(matrix, weighted @ wrong.T)
    return plane.clamp(-MOST, MOST)


def basis_of_cells(device: torch.device) -> Tensor:
    """1, across and down in the cells of a mask: [3, HEIGHT * WIDTH]."""
    across = (torch.arange(WIDTH, device=device) + 0.5) * (2.0 / WIDTH) - 1.0
    down = (torch.arange(HEIGHT, device=device) + 0.5) * (2.0 / HEIGHT) - 1.0
    down, across = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([torch.ones_like(across), across, down]).flatten(1)


def paste(lower: Tensor, face: Face, planes: Tensor) -> None:
    """Draw the lower half [3, h, w] in [0, 1] into a frame, I420 `planes` uint8 [H * 3 / 2, W]."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    box = box_of(face.place, width, height)
    if box is None:
        return
    grid = _grid(face.place, box).to(lower.device)
    plane = correction(small(lower), face)
    drawn = _sampled(_reduced(lower, face.place), grid, "border")
    colours = plane[0, :, None, None] + plane[1, :, None, None] * grid[0, :, :, 0]
    colours = colours + plane[2, :, None, None] * grid[0, :, :, 1]
    mask = _sampled(face.mask[None], grid, "zeros")[0]
    _blend((drawn + colours).clamp(0.0, 1.0), mask, box, planes, height)


def _blend(drawn: Tensor, mask: Tensor, box: _Box, planes: Tensor, height: int) -> None:
    width = planes.shape[1]
    rows, columns = mask.shape
    made = rgb_to_i420(drawn[None])[0].float()
    _mix(planes[box.top : box.bottom, box.left : box.right], made[:rows], mask)
    chroma = planes[height:].view(2, height // 2, width // 2)
    held = chroma[:, box.top // 2 : box.bottom // 2, box.left // 2 : box.right // 2]
    _mix(held, made[rows:].reshape(2, rows // 2, columns // 2), mean_of_four(mask[None, None])[0])


def _mix(held: Tensor, made: Tensor, mask: Tensor) -> None:
    """In place, uint8; unchanged where the mask is 0."""
    before = held.float()
    held.copy_((before + mask * (made - before) + 0.5).floor())


def box_of(place: NDArray[np.float64], width: int, height: int) -> _Box | None:
    """The pixels that the lower half of a square touches, even; None if it is outside."""
    ends = np.array([(-1, 0, 1), (1, 0, 1), (1, 1, 1), (-1, 1, 1)], np.float64) @ place.T
    low, high = np.floor(ends.min(0) / 2) * 2, np.ceil(ends.max(0) / 2) * 2
    left, top = (int(max(v, 0)) for v in low)
    right, bottom = int(min(high[0], width)), int(min(high[1], height))
    return None if right <= left or bottom <= top else _Box(top, left, bottom, right)


def _grid(place: NDArray[np.float64], box: _Box) -> Tensor:
    """Where the box's pixels lie in the lower half, as `grid_sample` takes it: [1, h, w, 2]."""
    back = np.linalg.inv(place[:, :2])
    x = np.arange(box.left, box.right) + 0.5 - place[0, 2]
    y = np.arange(box.top, box.bottom)[:, None] + 0.5 - place[1, 2]
    u = back[0, 0] * x + back[0, 1] * y
    v = back[1, 0] * x + back[1, 1] * y
    return torch.from_numpy(np.stack([u, 2.0 * v - 1.0], -1).astype(np.float32))[None]


def _reduced(lower: Tensor, place: NDArray[np.float64]) -> Tensor:
    """So far that a pixel of it is no smaller than one of the frame."""
    step = lower.shape[2] / (2.0 * float(np.hypot(*place[:, 0])))
    return F.avg_pool2d(lower, int(step)) if step >= 2.0 else lower


def _sampled(picture: Tensor, grid: Tensor, beyond: str) -> Tensor:
    """[C, h, w] at a grid [1, H, W, 2] -> [C, H, W]."""
    return F.grid_sample(picture[None], grid, padding_mode=beyond, align_corners=False)[0]
