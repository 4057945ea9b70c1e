"""A whole portrait, from back to front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.faces.accessories import (
    paint_earrings,
    paint_glasses,
    paint_headscarf,
    paint_scarf_inside,
)
from training.faces.anatomy import Anatomy, measure
from training.faces.beard import paint_beard
from training.faces.body import backdrop, paint_ears, paint_neck
from training.faces.clothes import paint_clothes
from training.faces.curls import paint_buzz, paint_cloud
from training.faces.eyes import paint_brow, paint_eye
from training.faces.hair import paint_hair, paint_parting
from training.faces.hair_styles import COMBED, Fitter, Style
from training.faces.light import Studio
from training.faces.mouth import paint_mouth, paint_nose
from training.faces.params import FaceParams
from training.faces.raster import Canvas, Raster
from training.faces.skin import paint_head

EARS_COVERED = frozenset({"bob", "long_straight", "long_wavy", "curly", "headscarf"})


def paint_portrait(params: FaceParams, size: int) -> Canvas:
    """Everything that `params` describe, on a canvas of `size` x `size` pixels."""
    raster = Raster(size)
    at = measure(params)
    studio = Studio.of(params)
    canvas = Canvas(raster, backdrop(raster, params))
    style = COMBED[params.hair](Fitter(params, at)) if params.hair in COMBED else Style()
    if style.behind:
        paint_hair(canvas, params, style.behind, studio, dim=0.55, shadow=0.0)
    if params.hair == "curly":
        paint_cloud(canvas, params, at, studio, over=False)
    paint_neck(canvas, params, at, studio)
    paint_clothes(canvas, params, at, studio)
    if params.hair not in EARS_COVERED:
        paint_ears(canvas, params, at, studio)
    if params.hair == "headscarf":
        paint_scarf_inside(canvas, params, at)
    _paint_face(canvas, params, at, studio)
    if params.hair not in EARS_COVERED:
        paint_earrings(canvas, params, at)
    _paint_front_hair(canvas, params, at, studio, style)
    paint_glasses(canvas, params, at)
    _grade(canvas)
    return canvas


def _grade(canvas: Canvas) -> None:
    """A last touch of contrast and saturation, as on a finished illustration."""
    rgb = canvas.rgb
    grey = rgb @ np.asarray((0.30, 0.59, 0.11), np.float32)
    rgb += 0.10 * (rgb - grey[..., None])
    canvas.rgb = rgb + 0.16 * (rgb - 0.5) * np.clip(rgb, 0, 1) * (1 - np.clip(rgb, 0, 1)) * 4


def _paint_face(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    paint_head(canvas, params, at, studio, shadow=canvas.raster.zeros())
    paint_nose(canvas, params, at)
    paint_mouth(canvas, params, at)
    paint_beard(canvas, params, at, studio)
    for index, eye in enumerate(at.eyes):
        paint_eye(canvas, params, eye)
        paint_brow(canvas, params, at, index)


def _paint_front_hair(
    canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio, style: Style
) -> None:
    if style.under:
        paint_hair(
            canvas, params, style.under, studio, depth=style.under_depth, shine=0.5 * style.shine
        )
    if style.over:
        paint_hair(canvas, params, style.over, studio, shine=style.shine)
    if style.parting is not None:
        paint_parting(canvas, params, style.parting)
    if params.hair in ("afro", "curly"):
        paint_cloud(canvas, params, at, studio, over=True)
    elif params.hair in ("buzz", "balding"):
        paint_buzz(canvas, params, at)
    elif params.hair == "headscarf":
        paint_headscarf(canvas, params, at, studio)


def draw_portrait(params: FaceParams, size: int = 768) -> NDArray[np.uint8]:
    """The portrait as sRGB, uint8 [size, size, 3]. The same params give the same bytes."""
    rgb = paint_portrait(params, size).rgb
    return np.asarray(np.clip(rgb * 255.0 + 0.5, 0, 255), np.uint8)


def person_matte(params: FaceParams, size: int = 768) -> NDArray[np.float32]:
    """How much of each pixel is person rather than background, in [0, 1], [size, size]."""
    return np.clip(paint_portrait(params, size).person, 0.0, 1.0)
