"""Goes on with a person and a background where a tight photo ends, calmly: soft colours in a plain
shape, and nothing that is to be looked at.

Hair, ears, collars and strands that are invented look wrong sooner or later; what is out of focus
does not. So the photo loses its focus toward an edge within the canvas, the edge's colours go on
for a little, and then smooth means of the person's and of the background's own; the head ends in an
ellipse through the places where the edge cuts it, the neck goes straight down.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pipelines.photo.crop import Crop, canvas_side, cut, inside, to_canvas
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh, person_mask
from pipelines.photo.filling import blur, dilate, push_pull
from pipelines.photo.geometry import BROW, Array, Face, Mask, measure, single, smoothstep

# All lengths are in face heights.
_BAND = 0.05  # of the photo, along an edge, over which it loses its focus
_NEAR = 0.16  # beyond it: so far the edge's own colours go on
_SOFT = 0.03  # how soft the colours are beyond,
_OUTLINE = 0.025  # and the person's outline
_EARS = -0.42  # y of a head's widest place; above it, an ellipse up to the crown,
_CROWN = 0.26  # which is so far above the forehead
_HAIR = 0.07  # a head goes on so far beyond an edge that cuts it at its widest, at least
_HALF = 1.2  # half widths of the face in the half width of a head with its hair
_SHOULDER = 0.16  # below the chin: what an edge cuts there is no head
_SLOPE = 0.35  # of a shoulder that goes on
_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_FEW = 50  # pixels that tell no colour
_PLAIN = 0.55  # brightness of a background that the photo does not show, over that of the photo


def person_on_canvas(
    photo: Image8, face: FaceMesh, crop: Crop, size: int | None = None
) -> tuple[Image8, Array]:
    """The `crop` of a photo [H, W, 3] as a canvas uint8 [S, S, 3], and the share of the person in
    it, float32 [S, S]; both made up where the photo does not reach. S is `size`, or else what
    holds all that the photo shows."""
    height, width = photo.shape[:2]
    canvas = cut(photo, crop, canvas_side(crop) if size is None else size)
    known = inside(crop, width, height, len(canvas))
    if known.all():
        return canvas, person_mask(canvas)
    return complete_person(canvas, known, to_canvas(face.points, crop))


def complete_person(canvas: Image8, known: Mask, landmarks: Array) -> tuple[Image8, Array]:
    """Return `canvas` [S, S, 3] and the share of person [S, S] in it, both made up where not
    `known`, bool [S, S], which is one rectangle; `landmarks` [478, 3] in canvas coordinates."""
    size = len(canvas)
    face = measure(landmarks)
    line = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    at = face.to_face(single(np.stack(np.meshgrid(line, line), axis=-1)))
    x, y = at[..., 0], at[..., 1]
    unit = face.unit * size / 2  # pixels
    picture = torch.from_numpy(canvas.copy()).permute(2, 0, 1).float() / 255.0
    person = _person(canvas, known, landmarks)
    shape = blur(_mask(_shape(known, person > 0.5, face, x, y)), _OUTLINE * unit)[0].numpy()
    shape = np.where(known, person, shape)
    front = _smooth(picture, known & (person > 0.9) & ~_features(face, x, y), _SOFT * unit)
    away = dilate(_mask(person > 0.1), max(1, round(0.02 * unit)))[0].numpy() < 0.5
    plain = torch.full_like(picture, _PLAIN * float(picture[:, torch.from_numpy(known)].mean()))
    behind = _smooth(picture, known & away, _SOFT * unit, plain)
    made = torch.lerp(behind, front, _mask(shape))
    near = _near(known, _NEAR * unit)  # where the photo's edge, spread out, meets it without a step
    made = torch.lerp(made, blur(picture, _SOFT * unit), near)
    result = _out_of_focus(picture, made, known, unit)
    pixels = (result * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy()), single(shape)


def _person(canvas: Image8, known: Mask, landmarks: Array) -> Array:
    """The share of person where `known`, 0 elsewhere; a face is person whatever else is."""
    rows, columns = _span(known)
    person = np.zeros(known.shape, np.float32)
    person[rows, columns] = person_mask(np.ascontiguousarray(canvas[rows, columns]))
    oval = Image.new("L", (known.shape[1], known.shape[0]))
    outline = (landmarks[list(_OVAL), :2] + 1.0) * (len(canvas) / 2)
    ImageDraw.Draw(oval).polygon([(float(px), float(py)) for px, py in outline], fill=255)
    return single(np.maximum(person, np.asarray(oval, np.float32) / 255.0) * known)


def _features(face: Face, x: Array, y: Array) -> Mask:
    """What must not lend its colour to what goes on: brows, eyes, nose and mouth."""
    eyes = y < float(face.points[1, 1]) - 0.02
    inner = np.abs(x) < np.where(eyes, 0.36, 0.26)
    inner &= y > float(face.points[list(BROW["Left"]), 1].min()) - 0.04
    return np.asarray(inner & (y < face.chin - 0.06))


def _shape(known: Mask, person: Mask, face: Face, x: Array, y: Array) -> Array:
    """Where the person goes on beyond the rectangle of what is `known`: [S, S] of 0 and 1."""
    size = len(known)
    rows, columns = _span(known)
    middle = float(face.points[[10, 152], 0].mean())
    across = np.abs(x - middle)
    shape = _neck(face, across, y)
    for column, side in ((columns.start, x < middle), (columns.stop - 1, x >= middle)):
        if 0 < column < size - 1:
            edge = slice(rows.start, rows.stop), column
            beyond = side & ~known
            beyond[:, columns] &= y[:, columns] < y[rows.start, size // 2]  # above, not below
            shape |= beyond & _side(person[edge], across[edge], y[edge], face, across, y)
    if rows.start > 0:
        cut = np.flatnonzero(person[rows.start])
        if len(cut):
            left, right = x[rows.start, [cut[0], cut[-1]]]
            top = float(y[rows.start, cut].mean())
            tall = max(top - _crown(face), _HAIR)
            half = (right - left) / 2 + 1e-3
            dome = ((x - (left + right) / 2) / half) ** 2 + ((top - y) / tall) ** 2 < 1.0
            shape |= dome & (y <= top)
    if rows.stop < size:
        below = np.zeros_like(known)
        below[rows.stop :] = person[rows.stop - 1]
        shape |= below
    return single(shape)


def _side(cut: Mask, reach: Array, height: Array, face: Face, across: Array, y: Array) -> Mask:
    """What goes on beyond a side edge, whose pixels lie `reach` from the face's middle and `height`
    down, and which cuts the person where `cut`: bool [S, S], on both sides of the edge."""
    none = np.zeros(across.shape, np.bool_)
    shoulder = height > face.chin + _SHOULDER
    head, torso = np.flatnonzero(cut & ~shoulder), np.flatnonzero(cut & shoulder)
    if len(torso):
        first = torso[0]
        none |= y > height[first] + _SLOPE * (across - reach[first])
    if not len(head):
        return none
    first, last = head[0], head[-1]
    high, low = float(height[first]), float(height[last])
    away = float(reach[head].max())
    half = max(_HALF * _half(face), away + _HAIR)
    middle = min(max(_EARS, high), low)
    steep = float(np.sqrt(1.0 - (away / half) ** 2))
    up, down = (middle - high) / steep, (low - middle) / steep
    if first == 0:
        up = max(up, middle - _crown(face))
    above = (across / half) ** 2 + ((y - middle) / max(up, 1e-3)) ** 2 < 1.0
    under = across < half
    if last < len(cut) - 1:
        under = (across / half) ** 2 + ((y - middle) / max(down, 1e-3)) ** 2 < 1.0
    return np.asarray(none | np.where(y < middle, above, under))


def _half(face: Face) -> float:
    return abs(float(face.points[454, 0] - face.points[234, 0])) / 2


def _crown(face: Face) -> float:
    """y of the top of the hair."""
    return float(face.points[10, 1]) - _CROWN


def _neck(face: Face, across: Array, y: Array) -> Mask:
    """A neck and shoulders of a plain shape."""
    neck = 0.66 * _half(face)
    out = np.clip((across - neck) / _half(face), 0.0, None)
    shoulder = face.chin + 0.22 + 0.12 * out
    return np.asarray(((across < neck) & (y > face.chin - 0.1)) | (y > shoulder))


def _smooth(picture: Tensor, known: Mask, sigma: float, plain: Tensor | None = None) -> Tensor:
    """The colours of `picture` [3, H, W] where `known`, going on smoothly everywhere else; where
    nothing is known, those of `plain`."""
    if known.sum() < _FEW:
        return picture if plain is None else plain
    return blur(push_pull(picture, _mask(known)), sigma)


def _out_of_focus(picture: Tensor, made: Tensor, known: Mask, unit: float) -> Tensor:
    """`picture` where `known`, losing its focus toward what is `made`, in which there is none."""
    rows, columns = _span(known)
    down, across = (_inward(part, len(known)) for part in (rows, columns))
    inward = np.minimum(down[:, None], across) / (_BAND * unit)
    sharp = torch.from_numpy(smoothstep(0.0, 1.0, inward))[None]
    whole = torch.lerp(made, picture, _mask(known))
    return torch.lerp(blur(whole, _SOFT / 2 * unit), picture, sharp)


def _near(known: Mask, reach: float) -> Tensor:
    """1 at the edges of the rectangle that is `known`, 0 `reach` pixels beyond: [1, S, S]."""
    rows, columns = _span(known)
    down, across = (np.minimum(_inward(part, len(known)), 0.0) for part in (rows, columns))
    away = np.hypot(down[:, None], across) / reach
    return torch.from_numpy(1.0 - smoothstep(0.0, 1.0, single(away)))[None]


def _inward(part: slice, size: int) -> Array:
    """How far each of `size` pixels lies inside of `part`, whose ends at 0 and `size` are far."""
    line = np.arange(size, dtype=np.float32)
    far = np.full(size, 4.0 * size, np.float32)
    first = line - part.start + 0.5 if part.start > 0 else far
    last = part.stop - line - 0.5 if part.stop < size else far
    return single(np.minimum(first, last))


def _span(known: Mask) -> tuple[slice, slice]:
    """Rows and columns of the rectangle that is known."""
    rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _mask(marked: Mask | Array) -> Tensor:
    return torch.from_numpy(single(marked))[None]
