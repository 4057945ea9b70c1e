"""Paints what shows through lips and lids on a CPU, as opaque bytes: RGBA uint8 [H, W, 4]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from pipelines.photo.geometry import Array, single
from pipelines.portrait import inside_mouth
from pipelines.portrait.bake import Baked
from pipelines.portrait.eye_composite import eyeball, lidded, shut
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.mouth_and_eyes import place_eye
from pipelines.portrait.picture_bytes import Bytes
from pipelines.portrait.window import Affine

Pixels = TypeVar("Pixels", Bytes, Array)

_STEPS = (255.0, 255.0, 255.0, 255.0)  # of a byte in 1, for each of four channels
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def paint_mouth(baked: Baked, frame: Plan, patch: Patch) -> Bytes:
    """Teeth, tongue and cavity in the mouth's patch."""
    inside, shape = baked.inside, patch.cover.shape
    maps = inside_mouth.place_pictures(inside, baked.face, frame.values, frame.pose, patch)
    seen = [
        _seen(picture, affine, shape, cv2.BORDER_CONSTANT)
        for picture, affine in zip(inside.pictures.numpy(), maps, strict=True)
    ]
    return _opaque(inside_mouth.paint_mouth(inside, patch, _planes(seen)))


def paint_eye(baked: Baked, frame: Plan, index: int, patch: Patch) -> tuple[Bytes, Array]:
    """Eyeball and lid in the patch of the right (0) or left (1) eye, and the share of skin left."""
    rest, look = place_eye(baked, frame.values, frame.pose, index, patch)
    down, shape = shut(frame.values, index), patch.cover.shape
    pictures = baked.eyeballs.numpy()[index::2][: 4 if down > 0.0 else 3]
    seen = [
        _seen(picture, affine, shape, cv2.BORDER_REPLICATE)
        for picture, affine in zip(pictures, (rest, look, rest, rest), strict=False)
    ]
    white, iris, light, *lid = _planes(seen)
    ball, cover = eyeball(white, iris, light), patch.cover
    if lid:
        edge = _seen(baked.lid_edges.numpy()[index], rest, shape, cv2.BORDER_REPLICATE)
        ball, cover = lidded(baked, patch, ball, lid[0], np.stack(cv2.split(edge)), down)
    return _opaque(ball), cover


def _planes(pictures: Sequence[Bytes]) -> Array:
    """N pictures [H, W, 4] as float32 [N, 4, H, W] in [0, 1]."""
    return np.asarray(cv2.dnn.blobFromImages(pictures, 1.0 / 255.0), np.float32)


def _opaque(rgb: Array) -> Bytes:
    """RGB float32 [3, H, W] in about [0, 1] as bytes RGBA [H, W, 4]."""
    rgba = cv2.cvtColor(cv2.merge([*rgb]), cv2.COLOR_RGB2RGBA)
    steps: Any = _STEPS  # OpenCV's own stubs know no scalar here
    return np.asarray(cv2.multiply(rgba, steps, dtype=cv2.CV_8U), np.uint8)


def _seen(picture: Pixels, affine: Affine, shape: Sequence[int], border: int) -> Pixels:
    """`picture` as a patch of `shape` sees it."""
    (height, width), (h, w) = shape[:2], picture.shape[:2]
    rows = [
        [a * n / width, b * n / height, (a / width - a + b / height - b + c + 1) * n / 2 - 0.5]
        for (a, b, c), n in zip(affine, (w, h), strict=True)
    ]
    seen = cv2.warpAffine(picture, single(rows), (width, height), flags=_INVERSE, borderMode=border)
    return np.asarray(seen, picture.dtype)
