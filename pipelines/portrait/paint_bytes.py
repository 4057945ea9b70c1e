"""Paints what shows through lips and lids on a CPU, as opaque bytes: RGBA uint8 [H, W, 4]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

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

_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def paint_mouth(baked: Baked, frame: Plan, patch: Patch) -> Bytes:
    """Teeth, tongue and cavity in the mouth's patch.

    Lit by tensors: what is open is small, and its light differs from pixel to pixel.
    """
    inside, shape = baked.inside, patch.cover.shape
    maps = inside_mouth.place_pictures(inside, baked.face, frame.values, frame.pose, patch)
    seen = [
        _seen(picture, affine, shape, cv2.BORDER_CONSTANT)
        for picture, affine in zip(inside.pictures.numpy(), maps, strict=True)
    ]
    pictures = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2) * (1.0 / 255.0)
    shown = inside_mouth.paint_mouth(inside, patch, pictures.contiguous())
    planes = shown.mul(255.0).add_(0.5).clamp_(0.0, 255.0).to(torch.uint8).numpy()
    return np.asarray(cv2.merge([*planes, np.full_like(planes[0], 255)]), np.uint8)


def paint_eye(baked: Baked, frame: Plan, index: int, patch: Patch) -> tuple[Bytes, Array]:
    """Eyeball and lid in the patch of the right (0) or left (1) eye, and the share of skin left."""
    rest, look = place_eye(baked, frame.values, frame.pose, index, patch)
    white, iris, light, lid = baked.eyeballs.numpy()[index::2]
    shape = patch.cover.shape

    def seen(picture: Pixels, affine: Affine) -> Tensor:
        found = _seen(picture, affine, shape, cv2.BORDER_REPLICATE)
        return torch.from_numpy(found).permute(2, 0, 1)

    ball = eyeball(*(seen(p, m) / 255.0 for p, m in ((white, rest), (iris, look), (light, rest))))
    cover, down = patch.cover, shut(frame.values, index)
    if down > 0.0:
        edge = seen(baked.lid_edges.numpy()[index], rest)
        ball, cover = lidded(baked, patch, ball, seen(lid, rest) / 255.0, edge, down)
    rgba = np.full((*shape, 4), 255, np.uint8)
    rgba[..., :3] = (ball * 255.0).round().clamp(0.0, 255.0).permute(1, 2, 0).numpy()
    return rgba, cover.numpy()


def _seen(picture: Pixels, affine: Affine, shape: Sequence[int], border: int) -> Pixels:
    """`picture` as a patch of `shape` sees it."""
    (height, width), (h, w) = shape[:2], picture.shape[:2]
    rows = [
        [a * n / width, b * n / height, (a / width - a + b / height - b + c + 1) * n / 2 - 0.5]
        for (a, b, c), n in zip(affine, (w, h), strict=True)
    ]
    seen = cv2.warpAffine(picture, single(rows), (width, height), flags=_INVERSE, borderMode=border)
    return np.asarray(seen, picture.dtype)
