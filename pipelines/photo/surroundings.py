"""Pictures of what lies around the canvas, for the frames that show it: made once at enrolment.

The photo as taken, and the canvas with the photo's own background beside it, continued where the
photo ends. Both are kept as JPEG files; only the canvas moves, so that they are read when a face is
made ready for a size and never again.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipelines.identity import Arrays, IdentityFeatures
from pipelines.photo.beyond import outward, runs
from pipelines.photo.crop import Crop
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh, person_mask
from pipelines.photo.filling import blur, dilate, push_pull
from pipelines.photo.framing import FRAMES, PHOTO, STORED, WIDE, fits, wide_left, window
from pipelines.pipeline import Size

_QUALITY = 95
_EDGE = 16  # pixels by which a window may leave the stored picture, after rounding
_ARM = 0.18  # of the picture's height: how far a shoulder cut by the photo's edge goes on
_HEAD = 0.08  # the same of hair
_GAP = 0.2  # of the picture's height: what is cut above and below such a gap is one body
_COARSE = 2  # pixels of the picture in one of its continuation, which is soft
_HAIR = 6  # of those: strands that the person's mask may miss
_SOFT, _SHARP = 0.03, 0.08  # of its width: how soft it becomes, and how far from the edge
_OUTLINE = 3.0  # of those: how soft a person ends
_SEAM = 8  # pixels over which the photo takes over
_FEW = 50  # pixels that tell no colour


def surroundings(photo: Image8, face: FaceMesh, crop: Crop, canvas: Image8) -> Arrays:
    """What an identity keeps of a photo [H, W, 3] whose `canvas` [S, S, 3] is its `crop`.

    Arrays: surroundings float64 [2, 5], for each frame of `STORED` width and height of its picture
    and left, top and side of the canvas in it; around_0 and around_1 uint8 [bytes], those pictures.
    """
    middle = float(face.points[[10, 152], 0].mean())  # of forehead and chin
    pictures, places = [], []
    for picture, place in (_as_taken(photo, crop), widened(photo, crop, canvas, middle)):
        pictures.append(jpeg(picture))
        places.append((picture.shape[1], picture.shape[0], place.left, place.top, place.side))
    named = {f"around_{n}": picture for n, picture in enumerate(pictures)}
    return {"surroundings": np.array(places, np.float64), **named}


def around(identity: IdentityFeatures, size: Size) -> Image8:
    """What lies around the canvas in a picture of `size` of the identity's frame: uint8 [H, W, 3].

    Raises:
        ValueError: the identity has no picture for its frame.
    """
    left, top, right, bottom = window(identity, size)
    stored = identity.arrays[f"around_{STORED.index(identity.frame)}"]
    picture = np.asarray(Image.open(io.BytesIO(stored.tobytes())).convert("RGB"))
    wider = np.pad(picture, ((_EDGE, _EDGE), (_EDGE, _EDGE), (0, 0)), mode="edge")
    box = (left + _EDGE, top + _EDGE, right + _EDGE, bottom + _EDGE)
    return np.asarray(Image.fromarray(wider).resize(size, Image.Resampling.LANCZOS, box=box))


def _as_taken(photo: Image8, crop: Crop) -> tuple[Image8, Crop]:
    """The photo, no larger than its frame at the largest, and where the canvas lies in it."""
    height, width = photo.shape[:2]
    scale = fits(width, height, FRAMES[PHOTO].sizes[-1])
    across, down = max(2, round(width * scale)), max(2, round(height * scale))
    picture = Image.fromarray(photo).resize((across, down), Image.Resampling.LANCZOS)
    scale = down / height  # as rounded; the other side differs by a part of a pixel
    return np.asarray(picture), Crop(crop.left * scale, crop.top * scale, crop.side * scale)


def widened(photo: Image8, crop: Crop, canvas: Image8 | None, middle: float) -> tuple[Image8, Crop]:
    """The canvas and what is beside it, in the shape of 16:9, and where the canvas lies in it.

    canvas: where that is more than the photo's `crop`. middle: of the face, across the photo.
    """
    wide, tall = FRAMES[WIDE].sizes[-1]
    left = wide_left(middle, crop, photo.shape[1])
    step = crop.side / tall  # photo pixels per pixel
    place = Crop((crop.left - left) / step, 0.0, float(tall))
    picture, known = _seen(photo, (left, crop.top), step, (wide, tall))
    if canvas is not None:
        columns = slice(max(0, round(place.left)), min(wide, round(place.left) + tall))
        enlarged = np.asarray(
            Image.fromarray(canvas).resize((tall, tall), Image.Resampling.LANCZOS)
        )
        start = columns.start - round(place.left)
        part = enlarged[:, start : start + columns.stop - columns.start]
        unseen = ~known[:, columns]
        picture[:, columns][unseen] = part[
            unseen
        ]  # the canvas goes on beyond a tight photo's edges
        known[:, columns] = True
    if not known.all():
        picture = _continued_beside(picture, known.all(axis=0))
    return picture, place


def _seen(
    photo: Image8, corner: tuple[float, float], step: float, size: Size
) -> tuple[Image8, NDArray[np.bool_]]:
    """The photo in a window of `size` pixels, each as large as `step` of the photo's, its edges
    extended; and which of its pixels are the photo's."""
    parts, boxes = [], []
    for start, count, length in zip(corner, size, photo.shape[1::-1], strict=True):
        first = max(0, int(np.ceil(-start / step - 1e-6)))
        last = min(count, int(np.floor((length - start) / step + 1e-6)))
        parts.append(slice(first, max(last, first + 1)))
        boxes.append([min(max(start + n * step, 0.0), length) for n in (first, last)])
    (columns, rows), ((left, right), (top, bottom)) = parts, boxes
    whole = int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))
    part = Image.fromarray(photo[whole[1] : whole[3], whole[0] : whole[2]])
    box = (left - whole[0], top - whole[1], right - whole[0], bottom - whole[1])
    shown = (columns.stop - columns.start, rows.stop - rows.start)
    inside = np.asarray(part.resize(shown, Image.Resampling.LANCZOS, box=box))
    margins = [(p.start, n - p.stop) for p, n in zip((rows, columns), size[::-1], strict=True)]
    known = np.zeros(size[::-1], np.bool_)
    known[rows, columns] = True
    return np.pad(inside, (*margins, (0, 0)), mode="edge"), known


def _continued_beside(picture: Image8, columns: NDArray[np.bool_]) -> Image8:
    """Let a picture [H, W, 3] go on left and right of the `columns` [W] that are known.

    The background goes on as its mirror image, softer the further it is from the edge. A person
    whom the edge cuts goes on as the outline goes, and ends in a rounded shoulder. All that at
    half the picture's size.

    Not by a mirror image that keeps its texture and fades to one colour: seen beside this
    on six photos, a sky went flat, and clouds, strands and carvings came back in outline far from
    the face, where softness reads as depth.
    """
    tall, wide = (length // _COARSE for length in picture.shape[:2])
    small = np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.BOX))
    shown = np.flatnonzero(columns)[[0, -1]] // _COARSE
    first, last = int(shown[0]) + 1, int(shown[1])  # not those that are known in part
    inside = np.ascontiguousarray(small[:, first:last])
    person = person_mask(inside)
    away = dilate(torch.from_numpy(person > 0.1)[None].float(), _HAIR)[0].numpy() < 0.5
    pixels = torch.from_numpy(inside.copy()).permute(2, 0, 1).float() / 255.0
    plates = [_filled(pixels, known) for known in (away, person > 0.9)]
    behind, front = (_mirrored(plate, first, wide - last) for plate in plates)
    line = np.arange(wide)
    beyond = np.maximum(np.maximum(first - line, line - last + 1), 0) / wide
    softer = _ramp(beyond / _SHARP)
    behind, front = (torch.lerp(p, blur(p, wide * _SOFT), softer) for p in (behind, front))
    shape = np.concatenate(
        [
            _ended(person[:, ::-1], first)[:, ::-1],  # as if it went on to the right
            person,
            _ended(person, wide - last),
        ],
        axis=1,
    )
    made = torch.lerp(behind, front, blur(torch.from_numpy(shape)[None], _OUTLINE))
    made = F.interpolate(made[None], picture.shape[:2], mode="bilinear", align_corners=False)[0]
    whole = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255.0
    unknown = np.flatnonzero(~columns)
    inward = np.abs(np.arange(len(columns))[:, None] - unknown).min(axis=1)
    result = torch.lerp(made, whole, _ramp(inward / _SEAM))
    return np.asarray((result * 255.0).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


def _filled(picture: Tensor, known: NDArray[np.bool_]) -> Tensor:
    """Fill `picture` [3, H, W] where it is not `known` [H, W], smoothly from all around."""
    if known.sum() < _FEW:
        return picture
    return push_pull(picture, torch.from_numpy(known)[None].float())


def _mirrored(picture: Tensor, left: int, right: int) -> Tensor:
    """Add so many columns to [3, H, W] on either side, as mirror images."""
    return torch.from_numpy(np.pad(picture.numpy(), ((0, 0), (0, 0), (left, right)), "symmetric"))


def _ramp(along: NDArray[np.floating[Any]]) -> Tensor:
    """Smoothly from 0 at 0 to 1 at 1."""
    t = np.clip(along, 0.0, 1.0).astype(np.float32)
    return torch.from_numpy(t * t * (3.0 - 2.0 * t))


def _ended(person: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """How a person [H, W] goes on for `count` columns beyond the right edge: outlines keep their
    direction, and end within a rounded shoulder. What stands on the picture's lower edge ends as a
    quarter of an ellipse, all else as a half."""
    tall, wide = person.shape
    far = min(count, wide - 1)
    if far < 1:
        return np.zeros((tall, count), np.float32)
    strip = torch.from_numpy(np.ascontiguousarray(person[:, : -far - 2 : -1]))[None]
    shape = np.pad(outward(strip)[0].numpy(), ((0, 0), (0, count - far)))
    inside = np.zeros(shape.shape, np.bool_)
    for begin, end in _joined(person[:, -1] > 0.5, round(_GAP * tall)):
        stands = end >= tall - 2
        middle = tall if stands else (begin + end) / 2
        high = max(middle - begin, 1.0)
        reach = _ARM * tall if stands else min(_HEAD * tall, high)
        down = (np.arange(tall) + 0.5 - middle) / high
        along = (np.arange(count) + 1) / reach
        inside |= along[None, :] ** 2 + down[:, None] ** 2 < 1.0
    return np.where(inside, shape, 0.0).astype(np.float32)


def _joined(marked: NDArray[np.bool_], gap: int) -> list[tuple[int, int]]:
    """Begin and end of what is True, in one piece across gaps of up to `gap`."""
    joined: list[tuple[int, int]] = []
    for begin, end in runs(marked):
        if joined and begin - joined[-1][1] <= gap:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return joined


def jpeg(picture: Image8) -> NDArray[np.uint8]:
    """A picture [H, W, 3] as identity features keep it, uint8 [bytes]."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return np.frombuffer(file.getvalue(), np.uint8).copy()
