"""Identity features to what a renderer of one frame size reads: pictures and fields.

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

from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.photo.beyond import beyond_edges
from pipelines.photo.framing import SQUARE, moving, place
from pipelines.photo.geometry import Array, Face, measure, single
from pipelines.photo.placement import Box, Placement
from pipelines.photo.surroundings import around
from pipelines.pipeline import Size
from pipelines.portrait.basis import basis, lids_of, lips_of
from pipelines.portrait.erase_mouth_and_eyes import (
    corners_shut,
    lips_only,
    without_mouth_and_eyes,
)
from pipelines.portrait.eyeball import Eyeballs, paint_eyeballs
from pipelines.portrait.inside_mouth import InsideMouth, inside_mouth, lip_line
from pipelines.portrait.lips_and_lids import LipsOrLids
from pipelines.portrait.picture_bytes import rgb_to_i420
from pipelines.portrait.pose import pose_fields
from pipelines.portrait.rules import MARGIN, NODES

T = TypeVar("T")

_CELLS = (NODES - 1) / 2  # of it in a canvas unit
_STILL = 3e-5  # cells, or of the light: nothing


@dataclass(frozen=True)
class Baked:
    """One identity, ready to render at one size. Never written to, so sessions share it."""

    size: Size  # of the frame
    placement: Placement  # of the canvas in it
    visible: Box  # of the frame: what the canvas covers
    face: Face
    person: Tensor  # uint8 [side + 2 * margin, same, 4] premultiplied: the canvas and around it
    margin: int  # pixels
    behind: Tensor  # uint8 [H, W, 3]: the frame without the person, and all that never moves
    behind_i420: Tensor  # uint8 [H * 3 / 2, W]: the same
    nodes: Array  # [2, 1, h, w] the frame's lattice over its visible part, in the canvas's cells
    present: Array  # [1, NODES, NODES]: above 0 where the person is, or near
    moved: Box  # of the canvas's lattice: beyond it, nothing moves but by the pose
    fields: Array  # [K, 3 * h * w] in that box: dx, dy in cells, shade
    pose: Array  # [4, NODES * NODES] of the cells' displacement
    mouth: LipsOrLids
    eyes: LipsOrLids
    eyeballs: Tensor  # uint8 [8, h, w, 4] as `Eyeballs.pictures`
    lid_edges: Tensor  # float32 [2, h, w, 4] as `Eyeballs.edges`
    lashes: tuple[float, float, float]  # as `Eyeballs.lashes`
    eye_corners: tuple[tuple[int, int], ...]  # as `Eyeballs.corners`
    inside: InsideMouth


def bake(
    identity: IdentityFeatures, size: Size, placement: Placement, beyond: Tensor | None = None
) -> Baked:
    """Build everything that depends on the identity, the frame's size and the canvas's place in it.

    beyond: what the frame shows beside the canvas, uint8 [H, W, 3]; nothing moves at edges that it
        goes on from. None goes on from them with the canvas's last pixels.

    Raises:
        ValueError: the canvas lies outside of the frame.
    """
    visible, side = placement.visible(size), placement.side
    margin = max(1, round(MARGIN * side))
    face = measure(*(identity.arrays[n] for n in ("landmarks", "eye_rims", "lip_line")))
    blur_px = face.unit * len(identity.arrays["canvas"]) / 2 / float(identity.meta["face_px"])
    shown = face
    face = lips_only(face, blur_px)
    picture = _picture(identity.tensors["canvas"])
    matte = identity.tensors["matte"].float()[None, None] / 255.0
    behind = _picture(identity.tensors["background"])
    skin = without_mouth_and_eyes(face, picture[0])[None]
    face = corners_shut(face)
    person = (skin - (1 - matte) * behind).clamp(min=0.0).minimum(matte.expand_as(picture))
    line = lip_line(face, skin[0])
    x, y = _nodes(face)
    shapes = basis(face, x, y, "auto", "auto")
    vectors = face.vectors(np.stack([shapes[:, 0], shapes[:, 1]], axis=-1))
    shapes = np.stack([_CELLS * vectors[..., 0], _CELLS * vectors[..., 1], shapes[:, 3]], axis=1)
    share = moving(size, placement, NODES, beyond is not None)
    moved, fields = _boxed(shapes * share)
    eyeballs = paint_eyeballs(face, _resized(picture, side)[0])
    tint = _tint(face, picture[0], eyeballs)
    still = _still(_bytes(_resized(behind, side))[0], size, placement, beyond)
    return Baked(
        size=size,
        placement=placement,
        visible=visible,
        face=face,
        person=_bytes(_beyond(torch.cat([person, matte], dim=1), side, margin))[0],
        margin=margin,
        behind=still,
        behind_i420=torch.from_numpy(rgb_to_i420(still.numpy())),
        nodes=_frame_nodes(visible, placement),
        present=_present(matte),
        moved=moved,
        fields=fields,
        pose=single(_CELLS * share * pose_fields(face, x, y)),
        mouth=lips_of(face, side, line),
        eyes=lids_of(face, side),
        eyeballs=_bytes(eyeballs.pictures),
        lid_edges=eyeballs.edges.permute(0, 2, 3, 1).contiguous(),
        lashes=eyeballs.lashes,
        eye_corners=eyeballs.corners,
        inside=inside_mouth(face, skin[0], tint, side, blur_px, line, (shown, picture[0])),
    )


def _beyond(person: Tensor, side: int, margin: int) -> Tensor:
    """A person [1, 4, S, S] at `side` pixels, with `margin` around them."""
    return beyond_edges(_resized(person, side)[0], margin)[None]


def _present(matte: Tensor) -> Array:
    """Spread the matte [1, 1, S, S] to the nodes around each of its pixels."""
    cells = F.adaptive_max_pool2d(matte, NODES - 1)
    return single(F.max_pool2d(F.pad(cells, (2, 2, 2, 2)), 4, stride=1)[0].numpy())


def _still(behind: Tensor, size: Size, placement: Placement, beyond: Tensor | None) -> Tensor:
    """What never moves, uint8 [H, W, 3]: `behind` [side, side, 3] in its place in `beyond`, or with
    its edges extended."""
    width, height = size
    line = [
        (torch.arange(count) - start).clamp(0, placement.side - 1)
        for count, start in ((height, placement.top), (width, placement.left))
    ]
    still = behind[line[0]][:, line[1]].contiguous()
    if beyond is None:
        return still
    box = placement.visible(size)
    whole = beyond.clone()
    whole[box] = still[box]
    return whole


def _boxed(shapes: Array) -> tuple[Box, Array]:
    """See `Baked.moved` and `Baked.fields`; `shapes` is [K, 3, NODES * NODES]."""
    lattice = shapes.reshape(len(shapes), 3, NODES, NODES)
    moves = np.abs(lattice).max(axis=(0, 1)) > _STILL
    rows, columns = (np.flatnonzero(moves.any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return box, single(lattice[:, :, box[0], box[1]].reshape(len(shapes), -1))


def _frame_nodes(visible: Box, placement: Placement) -> Array:
    """See `Baked.nodes`: `placement.step` pixels apart, from the first visible pixel's edge on."""
    rows, columns = (
        np.arange(-(-(part.stop - part.start) // placement.step) + 1) * placement.step
        + (part.start - corner)
        for part, corner in zip(visible, (placement.top, placement.left), strict=True)
    )
    return single(np.stack(np.meshgrid(columns, rows))[:, None] * ((NODES - 1) / placement.side))


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


def _picture(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1)[None].float().contiguous() / 255.0


def _resized(picture: Tensor, size: int) -> Tensor:
    """[1, C, S, S] to [1, C, size, size], premultiplied colours staying below their alpha."""
    if picture.shape[-1] == size:
        return picture.contiguous()
    if picture.shape[-1] > size:
        return F.interpolate(picture, (size, size), mode="area")
    larger = F.interpolate(picture, (size, size), mode="bicubic", align_corners=False)
    larger = larger.clamp(0.0, 1.0)
    return larger if larger.shape[1] == 3 else larger.minimum(larger[:, 3:])


def _bytes(picture: Tensor) -> Tensor:
    """[N, C, H, W] in [0, 1] to uint8 [N, H, W, C]."""
    rounded = (picture * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous()


def placed(part: T, device: torch.device) -> T:
    """A dataclass of tensors (and of such dataclasses) with all tensors on `device`."""
    changes: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = value.to(device)
        elif isinstance(value, InsideMouth):
            changes[field.name] = placed(value, device)
    return replace(part, **changes)  # type: ignore[type-var]


def _bake(identity: IdentityFeatures, size: Size, device: torch.device) -> Baked:
    beyond = None if identity.frame == SQUARE else torch.tensor(around(identity, size))
    with torch.inference_mode():
        return placed(bake(identity, size, place(identity, size), beyond), device)


CACHE = BakedCache(_bake)
