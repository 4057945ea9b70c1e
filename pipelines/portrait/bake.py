"""Identity features to what a renderer of one frame size reads: pictures and fields, as tensors.

All fields of all shapes are evaluated once here, on coarse lattices, in canvas units. A frame then
needs one small matrix product per lattice to combine them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES
from pipelines.portrait.eyeball import Eyeball, paint_eyeball
from pipelines.portrait.geometry import SIDES, Array, Face, measure
from pipelines.portrait.lids import brow_shapes, lid_shapes
from pipelines.portrait.mouth import SHAPES, mouth_space, rest_closure
from pipelines.portrait.pose import depth, pose_fields
from pipelines.portrait.teeth import MILLIMETRE, lower_teeth, tongue, upper_teeth

BASE = 96  # lattice of the whole picture: BASE x BASE cells
_MOUTH_STEP = 3.0  # pixels at 512 between lattice points
_EYE_STEP = 2.0

Box = tuple[float, float, float, float]  # left, top, right, bottom in canvas coordinates


@dataclass(frozen=True)
class Region:
    """An opening with a layer above and one below: lips or lids."""

    fields: Tensor  # [K + 1, 2 * 4 * h * w]: upper, lower; dx, dy, distance (px), shade
    pose: Tensor  # [4, h * w]
    rows: int
    columns: int
    box: Box  # what the lattice covers, in the photo
    anchor: Tensor  # [4] pose fields in the middle
    centre: tuple[float, float]  # canvas coordinates of the middle
    width: int  # window in the frame, pixels
    height: int


@dataclass(frozen=True)
class Baked:
    """One identity, ready to render at one size."""

    size: int
    face: Face
    person: Tensor  # [1, 4, S, S] premultiplied
    behind: Tensor  # [1, 3, S, S]
    fields: Tensor  # [K + 1, 3 * BASE * BASE]: dx, dy, shade
    pose: Tensor  # [4, BASE * BASE]
    mouth: Region
    eyes: tuple[Region, Region]
    eyeballs: tuple[Eyeball, Eyeball]
    upper_teeth: Tensor
    lower_teeth: Tensor
    tongue: Tensor
    cavity: Tensor  # [3] colour of the dark behind


def bake(identity: IdentityFeatures, size: int) -> Baked:
    """Build everything that depends on the identity and the frame size."""
    face = measure(identity.tensors["landmarks"].numpy())
    picture = _picture(identity.tensors["canvas"])
    matte = identity.tensors["matte"].float()[None, None] / 255.0
    behind = _picture(identity.tensors["background"])
    person = (picture - (1 - matte) * behind).clamp(min=0.0).minimum(matte.expand_as(picture))
    layer = _resized(torch.cat([person, matte], dim=1), size)
    lattice = _lattice((-1.0, -1.0, 1.0, 1.0), BASE, BASE)
    x, y = _flat(face, lattice)
    fields = basis(face, x, y, "auto", "auto")[:, [0, 1, 3]]
    scale = size / face.unit
    tint = _tint(face, picture[0])
    return Baked(
        size=size,
        face=face,
        person=layer,
        behind=_resized(behind, size),
        fields=_tensor(_in_canvas(face, fields)).reshape(len(fields), -1),
        pose=_tensor(pose_fields(face, x, y, depth(face, x, y))),
        mouth=_mouth_region(face, size),
        eyes=(_eye_region(face, "Right", size), _eye_region(face, "Left", size)),
        eyeballs=(
            paint_eyeball(face, "Right", _resized(picture, size)[0]),
            paint_eyeball(face, "Left", _resized(picture, size)[0]),
        ),
        upper_teeth=upper_teeth(_teeth_scale(face, size), tint)[None],
        lower_teeth=lower_teeth(_teeth_scale(face, size), tint)[None],
        tongue=tongue(_teeth_scale(face, size), tint)[None],
        cavity=torch.tensor([0.16, 0.055, 0.055]) * float(tint.mean()) + 0 * scale,
    )


def _teeth_scale(face: Face, size: int) -> float:
    """Pixels per millimetre: a little finer than the frame."""
    return float(np.clip(1.3 * MILLIMETRE * face.unit * size / 2, 0.8, 5.0))


def _tint(face: Face, picture: Tensor) -> Array:
    """The light on the face, from its cheeks: [3], about 1 for an evenly lit photo."""
    size = picture.shape[-1]
    points = face.to_canvas(face.points[[50, 280, 117, 346, 1, 4], :2])
    pixels = np.clip((points + 1) / 2 * size, 2, size - 3).astype(int)
    colours = np.stack([picture[:, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2)) for x, y in pixels])
    skin = np.median(colours, axis=0)
    level = float(np.clip(0.55 + 0.6 * skin.max(), 0.5, 1.08))
    cast = skin / np.array([0.86, 0.68, 0.60])
    cast = (cast / cast.mean()) ** 0.35
    return (level * cast).astype(np.float32)


def basis(face: Face, x: Array, y: Array, mouth: str, lids: str) -> Array:
    """Fields of every blendshape, then of the resting face: [K + 1, 4, P], face units.

    `mouth` and `lids` choose the layer: "upper", "lower", or "auto" by where the point lies.
    """
    space = mouth_space(face, x, y)
    rim = face.mouth
    above = _choose(mouth, y < (rim.upper_at(x) + rim.lower_at(x)) / 2)
    rows = {}
    for name, shape in SHAPES.items():
        layered = shape(space)
        rows[name] = np.where(above, layered.upper, layered.lower)
    rows.update(brow_shapes(face, x, y))
    for side in SIDES:
        eye = face.eyes[side]
        over = _choose(lids, y < (eye.upper_at(x) + eye.lower_at(x)) / 2)
        for name, layered in lid_shapes(face, side, x, y).items():
            rows[name] = np.where(over, layered.upper, layered.lower)
    zero = np.zeros((4, x.size), dtype=np.float32)
    closed = rest_closure(space)
    rest = np.where(above, closed.upper, closed.lower)
    return np.stack([rows.get(n, zero) for n in BLENDSHAPES] + [rest]).astype(np.float32)


def _choose(layer: str, above: Array) -> Array:
    if layer == "auto":
        return above
    return np.full(above.shape, layer == "upper")


def _mouth_region(face: Face, size: int) -> Region:
    rim = face.mouth
    half = 1.22 * rim.half_width + 0.02
    box = (rim.middle - half, -0.13, rim.middle + half, 0.33)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, name, "auto")
        edge = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        field[-1, 2] = edge
        return field

    return _region(face, box, layer, _MOUTH_STEP, size)


def _eye_region(face: Face, side: str, size: int) -> Region:
    rim = face.eyes[side]  # type: ignore[index]
    half = 1.35 * rim.half_width
    top, bottom = float(rim.upper.min()), float(rim.lower.max())
    room = 1.1 * (bottom - top) + 0.012
    box = (rim.middle - half, top - room, rim.middle + half, bottom + room)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, "auto", name)
        edge = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        field[-1, 2] = edge
        return field

    return _region(face, box, layer, _EYE_STEP, size)


def _region(face: Face, box: Box, layer, step: float, size: int) -> Region:  # type: ignore[no-untyped-def]
    corners = np.array([[box[i], box[j]] for i in (0, 2) for j in (1, 3)], dtype=np.float32)
    canvas = face.to_canvas(corners)
    low, high = canvas.min(axis=0), canvas.max(axis=0)
    middle = (low + high) / 2
    width, height = (2 * int(np.ceil(v * size / 4)) for v in (high - low))
    margin = 10.0 / 256
    lattice_box = (low[0] - margin, low[1] - margin, high[0] + margin, high[1] + margin)
    columns = int(np.ceil((lattice_box[2] - lattice_box[0]) * 256 / step))
    rows = int(np.ceil((lattice_box[3] - lattice_box[1]) * 256 / step))
    x, y = _flat(face, _lattice(lattice_box, columns, rows))
    both = []
    for name in ("upper", "lower"):
        field = _in_canvas(face, layer(name, x, y))
        field[:, 2] *= face.unit * size / 2  # pixels
        both.append(field)
    fields = np.stack(both, axis=1)  # [K + 1, 2, 4, P]
    at = face.to_face(middle[None].astype(np.float32))
    ax, ay = at[:, 0], at[:, 1]
    return Region(
        fields=_tensor(fields).reshape(len(fields), -1),
        pose=_tensor(pose_fields(face, x, y, depth(face, x, y))),
        rows=rows,
        columns=columns,
        box=tuple(float(v) for v in lattice_box),  # type: ignore[arg-type]
        anchor=_tensor(pose_fields(face, ax, ay, depth(face, ax, ay)))[:, 0],
        centre=(float(middle[0]), float(middle[1])),
        width=min(width, size),
        height=min(height, size),
    )


def _in_canvas(face: Face, fields: Array) -> Array:
    """Turn the displacement channels of [K, C, P] from face to canvas units."""
    result = fields.copy()
    moved = face.vectors(np.stack([fields[:, 0], fields[:, 1]], axis=-1))
    result[:, 0], result[:, 1] = moved[..., 0], moved[..., 1]
    return result


def _lattice(box: Box, columns: int, rows: int) -> Array:
    """Centres of the cells that tile `box`: [rows, columns, 2] canvas coordinates."""
    x = box[0] + (np.arange(columns) + 0.5) * (box[2] - box[0]) / columns
    y = box[1] + (np.arange(rows) + 0.5) * (box[3] - box[1]) / rows
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)


def _flat(face: Face, lattice: Array) -> tuple[Array, Array]:
    points = face.to_face(lattice).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _picture(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1)[None].float().contiguous() / 255.0


def _resized(picture: Tensor, size: int) -> Tensor:
    if picture.shape[-1] == size:
        return picture.contiguous()
    return F.interpolate(picture, (size, size), mode="area")


class BakeCache:
    """The identities baked most recently, shared by renderers and threads."""

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._held: OrderedDict[tuple[str, int], Baked] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, identity: IdentityFeatures, size: int) -> Baked:
        """Return `identity` baked for `size`, from memory if it is there."""
        with self._lock:
            held = self._held.get((identity.key, size))
            if held is not None:
                self._held.move_to_end((identity.key, size))
                return held
        baked = bake(identity, size)
        with self._lock:
            self._held[(identity.key, size)] = baked
            while len(self._held) > self.most:
                self._held.popitem(last=False)
        return baked


CACHE = BakeCache()


def prepare(identity: IdentityFeatures, size: int) -> None:
    """Bake `identity` for `size` ahead, from any thread, so that `set_identity` is instant."""
    CACHE.get(identity, size)
