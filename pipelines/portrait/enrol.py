"""One photo, and a video of the person if there is one, to identity features: what the `portrait`
renderer and its motion need, found once.

Features are small and size-free (canvas, matte, what lies behind, face mesh); `bake` turns them
into what a renderer of one frame size reads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.learnt import Learnt
from pipelines.photo.advice import advise, to_meta
from pipelines.photo.crop import choose_crop, to_canvas
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.photo.geometry import measure
from pipelines.photo.matte import refine_matte, separate
from pipelines.photo.surroundings import surroundings
from pipelines.photo.tight import person_on_canvas
from pipelines.photo.upright import read_portrait
from pipelines.pipeline import Material, Progress
from pipelines.portrait.eye_rims import find_eye_rims
from pipelines.portrait.lip_line import find_lip_line
from pipelines.weights import weights_digest


def enrol(photo: bytes, key: str) -> IdentityFeatures:
    """Turn a photo of one face, of any kind that `decode` takes, into identity features; raises
    `EnrolmentError`.

    Arrays: canvas uint8 [S, S, 3] (also the preview), matte uint8 [S, S], background uint8
    [S, S, 3], landmarks float32 [478, 3] (canvas coordinates, see `geometry`), eye_rims float32
    [2, 3, n], lip_line float32 [3, n] (both x, upper, lower in face units), and those of
    `surroundings`.
    """
    return describe(*read_portrait(photo), key)


def enrol_with_video(
    material: Material, weights: str, key: str, progress: Progress
) -> IdentityFeatures:
    """As `enrol`, of a video, or of what was learnt from it, with or without a photo beside it.

    Further arrays and strings: those of `pipelines.learnt.Learnt`, for the motion network of
    `weights`.
    """
    from pipelines.portrait.learn import learn  # and with it the motion network: not for photos

    if material.video is not None:
        learnt = learn(material.video, material.photo is None, weights, progress)
    else:
        assert material.learnt is not None
        learnt = Learnt.load(material.learnt)
        network = weights_digest(weights)
        learnt = replace(learnt, style=learnt.style_for(network), network=network)
    progress(0.95, "finding the face")
    photo = learnt.photo if material.photo is None else material.photo_bytes()
    assert photo is not None, "of the video, if none was given"
    found = enrol(photo, key)
    return replace(found, arrays=found.arrays | learnt.arrays(), meta=found.meta | learnt.meta())


def describe(photo: Image8, face: FaceMesh, key: str) -> IdentityFeatures:
    """Build the features of a photo whose face is known."""
    crop = choose_crop(face, photo.shape[1], photo.shape[0])
    canvas, mask = person_on_canvas(photo, face, crop)
    landmarks = to_canvas(face.points, crop)
    picture = torch.from_numpy(canvas.copy()).permute(2, 0, 1).float() / 255.0
    matte = refine_matte(torch.from_numpy(mask)[None], picture)
    matte, background = separate(matte, picture)
    measured = measure(landmarks)
    return IdentityFeatures(
        key=key,
        arrays={
            "canvas": canvas.copy(),
            "matte": _bytes(matte[0]),
            "background": _bytes(background.permute(1, 2, 0)),
            "landmarks": landmarks,
            "eye_rims": find_eye_rims(measured, picture).numpy(),
            "lip_line": find_lip_line(measured, picture).numpy(),
            **surroundings(photo, face, crop, canvas),
        },
        meta={"face_px": str(round(face.height))} | to_meta(advise(photo, face)),
    )


def _bytes(x: Tensor) -> Image8:
    return np.asarray((x * 255.0).round().clamp(0, 255).to(torch.uint8).contiguous().numpy())
