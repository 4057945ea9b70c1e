"""One photo to the identity features of the `anitalker` pipeline, found and computed once."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from pipelines.anitalker import lips
from pipelines.anitalker.batched import BAKED, BatchedNetwork
from pipelines.anitalker.crop import in_photo, scaled, square_on_canvas, surroundings
from pipelines.identity import Arrays, IdentityFeatures
from pipelines.photo.advice import advise, to_meta
from pipelines.photo.crop import CANVAS, Crop, choose_crop, cut, to_canvas
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.photo.filling import blur, dilate
from pipelines.photo.geometry import Array, measure, single, smoothstep
from pipelines.photo.surroundings import surroundings as around_canvas
from pipelines.photo.tight import person_on_canvas
from pipelines.photo.upright import read_portrait

_GROW, _SOFT = 0.09, 0.035  # the head's share of the picture beyond the person, face heights
_OVAL = (0.4, 0.56)  # half width and height of a face, which is person whatever else is
_NECK = (0.10, 0.30)  # below the chin, face heights: where the photo takes over
_SHOULDER = (0.0, 0.12)  # the same beside the neck,
_BESIDE = (0.36, 0.48)  # which is this far from the face's middle
_EDGE = (0.005, 0.06)  # from the edge of the square's surroundings, of their side


def enrol(photo: bytes, renderer: BatchedNetwork, key: str) -> IdentityFeatures:
    """Turn a photo of one face, of any kind that `decode` takes, into identity features; raises
    `EnrolmentError`.

    Arrays: those of `photo.surroundings`, canvas uint8 [S, S, 3] with closed lips (as the photo has
    it in preview, if its lips part), mask uint8 [CANVAS, CANVAS] and square int64 [3] (left, top,
    side; pixels of the mask) of what is drawn; seen and rest float16 [3, R, R], look [2, R, R] and
    shown [1, R, R]: that square as the renderer sees and draws it, where its pixels look and how
    much of that they show; code [motion_dim] of its rest, start [latent_dim] of the photo, and what
    `renderer` caches, whose slot 0 is used.
    """
    return describe(*read_portrait(photo), renderer, key)


def describe(photo: Image8, face: FaceMesh, renderer: BatchedNetwork, key: str) -> IdentityFeatures:
    """Build the features of a photo whose face is known."""
    crop = choose_crop(face, photo.shape[1], photo.shape[0])
    canvas, person = person_on_canvas(photo, face, crop)
    landmarks = to_canvas(face.points, crop)
    square = square_on_canvas(landmarks)
    size = renderer.config.size
    seen, _ = person_on_canvas(photo, face, in_photo(square, crop), size)
    taken: Arrays = {}
    if lips.part(face):
        taken = {"preview": canvas.copy()}
        canvas = lips.closed(photo, face, key)
        seen = cut(canvas, scaled(square, len(canvas) / CANVAS), size)
    picture = torch.from_numpy(seen.copy()).permute(2, 0, 1).float() / 127.5 - 1.0
    held = renderer.bake(picture)
    renderer.set(0, held)
    rest = renderer.draw(held["code"][None], [0])
    tensors = {
        "seen": picture.half(),
        "rest": rest.pictures[0].half(),
        "look": rest.looks[0],
        "shown": rest.masks[0],
        "code": held["code"],
        "start": held["start"],
    }
    tensors |= {BAKED + name: held[name] for name in held if name not in ("code", "start")}
    arrays: Arrays = {
        "canvas": canvas.copy(),
        "mask": changing(person, landmarks, square),
        "square": np.array([square.left, square.top, square.side], np.int64),
        **around_canvas(photo, face, crop, canvas),
        **taken,
    }
    arrays |= {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return IdentityFeatures(key, arrays, meta=to_meta(advise(photo, face)))


def changing(share: Array, landmarks: Array, square: Crop) -> Image8:
    """Where the renderer may change the photo, of whose canvas `share` [S, S] is person: head and
    neck, softly; uint8 [CANVAS, CANVAS]."""
    share = np.asarray(Image.fromarray(share).resize((CANVAS, CANVAS), Image.Resampling.BOX))
    face = measure(landmarks)
    unit = face.unit * CANVAS / 2  # pixels per face height
    line = (np.arange(CANVAS, dtype=np.float32) + 0.5) / CANVAS * 2.0 - 1.0
    x, y = np.meshgrid(line, line)
    across, down = np.moveaxis(face.to_face(np.stack([x, y], -1)), -1, 0)
    below = single(down - face.chin)
    oval = (across / _OVAL[0]) ** 2 + ((below + 0.5) / _OVAL[1]) ** 2 < 1.0
    person = torch.from_numpy((share > 0.4) | oval).float()[None]
    head = blur(dilate(person, round(_GROW * unit)), _SOFT * unit)[0].numpy()
    head = head * (1.0 - smoothstep(*_NECK, below))
    head = head * (1.0 - smoothstep(*_SHOULDER, below) * smoothstep(*_BESIDE, np.abs(across)))
    wide = surroundings(square)
    for along, start in ((x, wide.left), (y, wide.top)):
        pixels = (along + 1.0) * (CANVAS / 2) - start
        near = np.minimum(pixels, wide.side - pixels) / wide.side
        head = head * smoothstep(*_EDGE, single(near))
    return np.asarray((head * 255.0).round().clip(0, 255).astype(np.uint8))
