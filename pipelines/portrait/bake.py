"""Identity features to what a renderer of one frame size reads: pictures and fields, as tensors.

All fields of all shapes are evaluated once here, on coarse lattices, in canvas units. A frame then
needs one small matrix product per lattice to combine them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import rgb_to_i420
from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.photo.geometry import Array, Face, measure, single
from pipelines.pipeline import Size
from pipelines.portrait.basis import basis, lids_of, lips_of
from pipelines.portrait.erase_mouth_and_eyes import lips_only, without_mouth_and_eyes
from pipelines.portrait.eyeball import Eyeballs, paint_eyeballs
from pipelines.portrait.lips_and_lids import LipsOrLids
from pipelines.portrait.pose import pose_fields
from pipelines.portrait.teeth import MILLIMETRE, lower_teeth, tongue, upper_teeth

T = TypeVar("T")

NODES = 65  # lattice of the whole picture: NODES x NODES points, edge to edge
_MOUTH_BACK = 0.05  # how far the teeth lie behind the lips, face units


@dataclass(frozen=True)
class Baked:
    """One identity, ready to render at one size. Never written to, so sessions share it."""

    size: int
    face: Face
    person: Tensor  # [1, 4, S, S] premultiplied
    behind: Tensor  # [1, 3, S, S]
    behind_i420: Tensor  # uint8 [S * 3 / 2, S]: the same
    present: Tensor  # [1, 1, NODES, NODES] above 0 where the person is, or near
    fields: Tensor  # [K + 1, 3 * NODES * NODES]: dx, dy in canvas units, shade
    pose: Tensor  # [4, NODES * NODES]
    mouth: LipsOrLids
    eyes: LipsOrLids
    eyeballs: Eyeballs
    teeth: Tensor  # [3, 4, h, w] tongue, lower and upper teeth, premultiplied
    teeth_anchor: tuple[float, ...]  # pose fields of the teeth
    lit: tuple[slice, slice]  # rows and columns around the face, where shading can change
    cavity: Tensor  # [3, 1, 1] colour of the dark behind


def bake(identity: IdentityFeatures, size: int) -> Baked:
    """Build everything that depends on the identity and the frame size."""
    face = measure(identity.arrays["landmarks"], identity.arrays["eye_rims"])
    blur_px = face.unit * len(identity.arrays["canvas"]) / 2 / float(identity.meta["face_px"])
    face = lips_only(face, blur_px)
    picture = _picture(identity.tensors["canvas"])
    matte = identity.tensors["matte"].float()[None, None] / 255.0
    behind = _picture(identity.tensors["background"])
    skin = without_mouth_and_eyes(face, picture[0])[None]
    person = (skin - (1 - matte) * behind).clamp(min=0.0).minimum(matte.expand_as(picture))
    x, y = _nodes(face)
    shapes = basis(face, x, y, "auto", "auto")
    moved = face.vectors(np.stack([shapes[:, 0], shapes[:, 1]], axis=-1))
    shapes = np.stack([moved[..., 0], moved[..., 1], shapes[:, 3]], axis=1)
    scale = float(np.clip(1.3 * MILLIMETRE * face.unit * size / 2, 0.8, 5.0))  # pixels per mm
    eyeballs = paint_eyeballs(face, _resized(picture, size)[0])
    tint = _tint(face, picture[0], eyeballs)
    parts = [tongue(scale, tint), lower_teeth(scale, tint), upper_teeth(scale, tint)]
    zero = np.zeros(1, dtype=np.float32)
    anchor = pose_fields(face, zero, zero, _MOUTH_BACK)[:, 0]
    return Baked(
        size=size,
        face=face,
        person=_resized(torch.cat([person, matte], dim=1), size),
        behind=_resized(behind, size),
        behind_i420=rgb_to_i420(_resized(behind, size))[0],
        present=_present(matte),
        fields=_tensor(shapes).reshape(len(shapes), -1),
        pose=_tensor(pose_fields(face, x, y)),
        mouth=lips_of(face, size),
        eyes=lids_of(face, size),
        eyeballs=eyeballs,
        teeth=torch.stack(parts),
        lit=_around(face, size),
        teeth_anchor=tuple(float(v) for v in anchor),
        cavity=torch.tensor([0.16, 0.055, 0.055]).view(3, 1, 1) * float(tint.mean()),
    )


def _present(matte: Tensor) -> Tensor:
    """Spread the matte [1, 1, S, S] to the nodes around each of its pixels."""
    cells = F.adaptive_max_pool2d(matte, NODES - 1)
    return F.max_pool2d(F.pad(cells, (2, 2, 2, 2)), 4, stride=1)


def _around(face: Face, size: int) -> tuple[slice, slice]:
    """Rows and columns of the frame that hold the face in any pose."""
    corners = face.to_canvas(np.array([[-0.62, -1.0], [0.62, 0.62]], dtype=np.float32))
    (left, top), (right, bottom) = np.clip((np.sort(corners, axis=0) + 1) / 2, 0, 1) * size
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _tint(face: Face, picture: Tensor, eyes: Eyeballs) -> Array:
    """The light on the face, from its cheeks and the whites of its eyes: [3], about 1 if bright."""
    size = picture.shape[-1]
    points = face.to_canvas(face.points[[50, 280, 117, 346, 1, 4], :2])
    pixels = np.clip((points + 1) / 2 * size, 2, size - 3).astype(int)
    colours = np.stack([picture[:, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2)) for x, y in pixels])
    skin = np.median(colours, axis=0)
    level = float(np.clip(0.18 + 1.03 * skin.max(), 0.2, 1.08))
    cast = skin / np.array([0.86, 0.68, 0.60])
    cast = (cast / cast.mean()) ** 0.35
    whites = eyes.pictures[:2, :3].flatten(2).quantile(0.7, dim=-1).numpy()  # [2, 3]
    white = np.clip(whites[int(np.argmax(whites.sum(axis=1)))] * 1.22, 0.15, 1.08)
    return single(0.4 * level * cast + 0.6 * white)


def _nodes(face: Face) -> tuple[Array, Array]:
    line = np.linspace(-1.0, 1.0, NODES, dtype=np.float32)
    points = face.to_face(np.stack(np.meshgrid(line, line), axis=-1)).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _picture(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1)[None].float().contiguous() / 255.0


def _resized(picture: Tensor, size: int) -> Tensor:
    if picture.shape[-1] == size:
        return picture.contiguous()
    return F.interpolate(picture, (size, size), mode="area")


def placed(part: T, device: torch.device) -> T:
    """A dataclass of tensors (and of such dataclasses) with all tensors on `device`."""
    changes: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = value.to(device)
        elif isinstance(value, LipsOrLids | Eyeballs):
            changes[field.name] = placed(value, device)
    return replace(part, **changes)  # type: ignore[type-var]


def _bake(identity: IdentityFeatures, size: Size, device: torch.device) -> Baked:
    width, height = size
    if width != height or width % (NODES - 1):
        raise ValueError(
            f"portraits are square, in steps of {NODES - 1} pixels, not {width} x {height}"
        )
    with torch.inference_mode():
        return placed(bake(identity, width), device)


CACHE = BakedCache(_bake)
