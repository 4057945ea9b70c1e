"""Completes the person where a tight photo ends: crown, neck and shoulders beyond its edges.

A crown goes on where the head was cut, as wide as it was there; neck and shoulders have a plain
shape. Colours go on from the person's own pixels; clothes that the photo does not show are dark
and plain.
"""

from __future__ import annotations

import numpy as np
import torch

from pipelines.photo.continuation import continued
from pipelines.photo.decode import Image8
from pipelines.photo.filling import blur, dilate
from pipelines.photo.geometry import BROW, Array, Face, Mask, measure, single, smoothstep

_CROWN = 0.24  # face heights from the forehead to the top of the hair
_NECK, _SHOULDERS = 0.66, 1.75  # half widths over that of the face
_CLOTHES = 0.34  # brightness of clothes that the photo does not show, over that of the photo


def complete_person(
    canvas: Image8, known: Mask, person: Array, landmarks: Array
) -> tuple[Image8, Array]:
    """Return `canvas` [S, S, 3] and the share of `person` [S, S] in it, both made up where not
    `known` [S, S]; `landmarks` [478, 3] in canvas coordinates."""
    size = len(canvas)
    face = measure(landmarks)
    line = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    at = face.to_face(single(np.stack(np.meshgrid(line, line), axis=-1)))
    x, y = at[..., 0], at[..., 1]
    picture = torch.from_numpy(canvas.copy()).permute(2, 0, 1).float() / 255.0
    body = _body(face, x, y)
    shape = np.where(known, person, np.maximum(body, _gone_on(known, person, face, y)))
    soft = blur(torch.from_numpy(single(shape))[None], 2.5)[0].numpy()
    shape = np.where(known, person, soft)
    eyes = y < float(face.points[1, 1]) - 0.02
    inner = (np.abs(x) < np.where(eyes, 0.40, 0.28)) & (
        y > float(face.points[list(BROW["Left"]), 1].min()) - 0.04
    )
    inner &= y < face.chin - 0.06  # features do not come back as a mirror image
    skin = torch.from_numpy(single(known & (person > 0.9) & ~inner))[None]
    around = torch.from_numpy(single(known))[None] * (
        1.0 - dilate(torch.from_numpy(single(person > 0.1))[None], 6)
    )
    front = continued(picture, skin) if skin.sum() > 50 else picture
    front = _haired(front, picture, known & (person > 0.9), face, x, y)
    front = _dressed(front, picture, known, person, face, x, y)
    behind = (
        continued(picture, around) if around.sum() > 50 else 0.5 * picture.mean() + 0.0 * picture
    )
    made = torch.lerp(behind, front, torch.from_numpy(single(shape))[None])
    seam = torch.from_numpy(single(known))[None]
    seam = seam * (1.0 - blur(1.0 - seam, 1.5))
    result = torch.lerp(made, picture, seam)
    pixels = (result * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy()), single(shape)


def _body(face: Face, x: Array, y: Array) -> Array:
    """Head, neck and shoulders of a plain shape: [S, S] of 0 and 1."""
    middle, half, top = _head(face)
    tall = (face.chin - top) / 2
    across = np.abs(x - middle)
    head = (across / (1.06 * half)) ** 2 + ((y - top - tall) / tall) ** 2 < 1.0
    neck = (across < _NECK * half + 0.10 * smoothstep(0.1, 0.5, y - face.chin)) & (y > 0.0)
    out = np.clip((across - _NECK * half) / (_SHOULDERS * half), 0.0, None)
    shoulder = face.chin + 0.20 + 0.16 * out + 0.30 * out**4
    return single(head | neck | (y > shoulder))


def _head(face: Face) -> tuple[float, float, float]:
    """x of the head's middle, half its width, and y of the crown."""
    middle = float(face.points[10, 0] + face.points[152, 0]) / 2
    half = abs(float(face.points[454, 0] - face.points[234, 0])) / 2
    return middle, half, float(face.points[10, 1]) - _CROWN


def _gone_on(known: Mask, person: Array, face: Face, y: Array) -> Array:
    """What touches an edge of the photo goes on there: [S, S] of 0 and 1.

    Upward it closes to a dome, downward it goes straight on, sideways it closes where the head is.
    """
    size = len(known)
    rows, columns = np.nonzero(known.any(axis=1))[0], np.nonzero(known.any(axis=0))[0]
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    unit = face.unit * size / 2
    down, across = np.mgrid[:size, :size]
    result = np.zeros(known.shape, np.float32)
    cut = np.nonzero(person[top] > 0.5)[0]
    cut = cut[(cut >= left) & (cut <= right)]
    if top > 0 and len(cut) > 4:
        crown = _head(face)[2]
        row = int(np.abs(y[:, size // 2] - crown).argmin())
        tall = max(top - row, 0.12 * unit)
        middle, half = (cut[0] + cut[-1]) / 2, (cut[-1] - cut[0]) / 2 + 1
        dome = ((across - middle) / half) ** 2 + ((top - down) / tall) ** 2 < 1.0
        result = np.maximum(result, dome & (down <= top))
    if bottom < size - 1:
        result = np.maximum(result, (person[bottom] > 0.5)[None, :] & (down > bottom))
    for column, beyond in ((left, across < left), (right, across > right)):
        if 0 < column < size - 1:
            result = np.maximum(
                result, _sideways(person[:, column] > 0.5, column, beyond, face, y, unit)
            )
    return single(result)


def _sideways(touched: Mask, column: int, beyond: Mask, face: Face, y: Array, unit: float) -> Array:
    """Go on beyond a side edge, which the person touches in rows `touched`."""
    down, across = np.mgrid[: len(y), : len(y)]
    below = y[:, column] > face.chin
    result = beyond & (touched & below)[:, None]
    head = np.nonzero(touched & ~below)[0]
    if len(head) > 4:
        middle, half = (head[0] + head[-1]) / 2, (head[-1] - head[0]) / 2 + 1
        bulge = ((down - middle) / half) ** 2 + ((across - column) / (0.12 * unit)) ** 2 < 1.0
        result = result | (bulge & beyond)
    return single(result)


def _haired(
    front: torch.Tensor, picture: torch.Tensor, seen: Mask, face: Face, x: Array, y: Array
) -> torch.Tensor:
    """Hair above the hairline, in the colour of what hair the photo shows beside the face."""
    middle, half, _ = _head(face)
    forehead = float(face.points[10, 1])
    tall = (face.chin - forehead) / 2
    oval = ((x - middle) / (1.02 * half)) ** 2 + ((y - forehead - tall) / (1.03 * tall)) ** 2
    nose = float(face.points[1, 1])
    cheeks = seen & (oval < 0.5) & (np.abs(y - nose) < 0.1)
    skin = np.median(picture.numpy()[:, cheeks], axis=1) if cheeks.any() else np.zeros(3)
    unlike = np.abs(picture.numpy() - skin[:, None, None]).max(axis=0)
    hair = seen & (oval > 1.05) & (y < nose) & (unlike > 0.15)
    if hair.mean() < 0.004:
        return front
    colour = picture[:, torch.from_numpy(hair)].median(dim=1).values[:, None, None]
    line = single(forehead + 0.01 + 0.5 * (x - middle) ** 2 - y)
    strands = 1.0 + 0.10 * np.sin(150.0 * x + 9.0 * np.sin(7.0 * y)) * np.sin(61.0 * x + 2.0)
    shade = single(strands * (0.80 + 0.20 * smoothstep(0.0, 0.12, line)))
    crown = colour * torch.from_numpy(shade)[None]
    return torch.lerp(front, crown, torch.from_numpy(smoothstep(0.0, 0.05, line))[None])


def _dressed(
    front: torch.Tensor,
    picture: torch.Tensor,
    known: Mask,
    person: Array,
    face: Face,
    x: Array,
    y: Array,
) -> torch.Tensor:
    """Clothes and the chin's shadow on a body of skin, if the photo ends above the clothes."""
    middle, half, _ = _head(face)
    below = y - face.chin
    seen = known & (person > 0.5) & (below > 0.25)
    shadow = single(0.30 * np.exp(-((np.maximum(below, 0.0) / 0.16) ** 2)) * (below > 0))
    front = front * (1.0 - torch.from_numpy(shadow * ~known)[None])
    if seen.mean() > 0.01:
        return front
    colour = _CLOTHES * picture[:, torch.from_numpy(known)].mean(dim=1)
    out = (x - middle) / (1.25 * half)
    collar = smoothstep(-0.02, 0.02, single(below - 0.44 + 0.24 * out**2))
    fold = 1.0 - 0.25 * np.clip(np.abs(out) - 0.5, 0.0, 1.0)
    cloth = colour[:, None, None] * torch.from_numpy(single(fold))
    return torch.lerp(front, cloth, torch.from_numpy(single(collar))[None])
