"""A whole portrait, from back to front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.training.faces.anatomy import measure
from pipelines.training.faces.body import backdrop, paint_ears, paint_neck
from pipelines.training.faces.clothes import paint_clothes
from pipelines.training.faces.eyes import paint_brow, paint_eye
from pipelines.training.faces.hair import paint_hair
from pipelines.training.faces.hair_styles import COMBED, Fitter
from pipelines.training.faces.light import Studio
from pipelines.training.faces.mouth import paint_mouth, paint_nose
from pipelines.training.faces.params import FaceParams
from pipelines.training.faces.raster import Canvas, Raster
from pipelines.training.faces.skin import paint_head


def paint_portrait(params: FaceParams, size: int) -> Canvas:
    """Everything that `params` describe, on a canvas of `size` x `size` pixels."""
    raster = Raster(size)
    at = measure(params)
    studio = Studio.of(params)
    canvas = Canvas(raster, backdrop(raster, params))
    back, front = COMBED[params.hair](Fitter(params, at)) if params.hair in COMBED else ([], [])
    if back:
        paint_hair(canvas, params, back, studio, dim=0.55, shadow=0.0)
    paint_neck(canvas, params, at, studio)
    paint_clothes(canvas, params, at, studio)
    paint_ears(canvas, params, at, studio)
    paint_head(canvas, params, at, studio, shadow=raster.zeros())
    paint_nose(canvas, params, at)
    paint_mouth(canvas, params, at)
    for index, eye in enumerate(at.eyes):
        paint_eye(canvas, params, eye)
        paint_brow(canvas, params, at, index)
    if front:
        paint_hair(canvas, params, front, studio)
    return canvas


def draw_portrait(params: FaceParams, size: int = 768) -> NDArray[np.uint8]:
    """The portrait as sRGB, uint8 [size, size, 3]. The same params give the same bytes."""
    rgb = paint_portrait(params, size).rgb
    return np.asarray(np.clip(rgb * 255.0 + 0.5, 0, 255), np.uint8)


def person_matte(params: FaceParams, size: int = 768) -> NDArray[np.float32]:
    """How much of each pixel is person rather than background, in [0, 1], [size, size]."""
    return np.clip(paint_portrait(params, size).person, 0.0, 1.0)
