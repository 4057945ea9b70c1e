"""The square of a face in the frames of a store: it goes with the head, as on a followed clip.

At run time the square is that of the resting mesh in the head's pose (`pipelines.swaptalk.square`),
so speech never moves it. Here the same is read from the known flows: what the pixels between brows
and nose, which speech moves least, say of how the head has turned, shifted and grown.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.swaptalk.vqgan.crop import face_square
from training.flow_warp.store import Face

_FLOW = 128  # pixels along a side of the stored flows
_WIDE, _ABOVE, _BELOW = 0.62, 0.25, 0.55  # of eye to mouth: the part of the face that is fitted
_FEWEST = 60  # known pixels there


def square_at(face: Face, frame: int) -> tuple[Tensor, Tensor]:
    """Of the face in a frame, float32 [1, 2, 3], see `face_square`; and mouth and eyes in it, as
    regions [1, 3, 3]. Where no flow is known both are those of the frame's own mouth and eyes."""
    pose = _pose(face.flow(frame, _FLOW), face.regions[0])
    at_rest = face.regions[:1] if pose else face.regions[frame : frame + 1]
    square = face_square(at_rest[..., :2])
    regions = inside(at_rest, square)
    if pose:
        turn, shift = pose
        square = torch.cat([turn @ square[..., :2], turn @ square[..., 2:] + shift[:, None]], 2)
    return square, regions


def inside(regions: Tensor, square: Tensor) -> Tensor:
    """Regions [1, 3, 3] of a picture as places in a square of it, [1, 2 or 3, 3]."""
    axes, centre = square[..., :2, :2], square[..., :2, 2]
    places = torch.linalg.solve(axes, (regions[..., :2] - centre[:, None]).mT).mT
    half = regions[..., 2] / axes[..., 1].norm(dim=1, keepdim=True)
    return torch.cat([places, half[..., None]], 2)


def _pose(flow: Tensor, regions: Tensor) -> tuple[Tensor, Tensor] | None:
    """From places at rest to places in the frame: turn and scale [2, 2], shift [2].

    flow: [2, F, F], where the frame's pixels were at rest. Least squares, as complex numbers.
    None where too little of it is known.
    """
    side = flow.shape[-1]
    line = (torch.arange(side) + 0.5) * (2.0 / side) - 1.0
    seen = torch.stack(torch.meshgrid(line, line, indexing="xy")).flatten(1)
    rest = flow.flatten(1)
    mouth, right, left = regions[:, :2]
    eyes, across = (right + left) / 2.0, (left - right) / (left - right).norm()
    down = torch.stack([-across[1], across[0]])
    fall = ((mouth - eyes) * down).sum()
    x, y = across @ (rest - eyes[:, None]) / fall, down @ (rest - eyes[:, None]) / fall
    known = (x.abs() < _WIDE) & (y > -_ABOVE) & (y < _BELOW)  # never where it is NaN
    if int(known.sum()) < _FEWEST:
        return None
    p, q = (torch.complex(part[0][known], part[1][known]) for part in (rest, seen))
    from_p, from_q = p - p.mean(), q - q.mean()
    factor = (from_p.conj() * from_q).sum() / from_p.abs().square().sum()
    turn = torch.stack([factor.real, -factor.imag, factor.imag, factor.real]).view(2, 2)
    middle = q.mean() - factor * p.mean()
    return turn, torch.stack([middle.real, middle.imag])
