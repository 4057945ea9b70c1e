"""Identities with known motion: drawn people, enrolled and moved by the portrait renderer.

Everything about an identity follows from its number. Identities come in groups of `GROUP` that
share one bank of motion, so that for any two of a group each picture of one with the motion of the
other is known exactly.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pipelines.anitalker.crop import choose_square
from pipelines.identity import IdentityFeatures
from pipelines.photo.crop import Crop, cut
from pipelines.photo.detect import FaceMesh, find_face
from pipelines.photo.geometry import SIDES, measure
from pipelines.portrait.bake import CACHE, Baked
from pipelines.portrait.enrol import describe
from pipelines.portrait.render import draw_rgb
from training.faces import draw_portrait, random_params
from training.flow_warp.flows import rest_places
from training.flow_warp.motions import Motion, motion_bank
from training.flow_warp.store import Clip

GROUP = 8  # identities that share their motion
HELD_OUT = 1_000_000  # numbers from here on are never trained on
_DRAWN = 512  # pixels
_RENDERED = 256
_BACKDROP_SHARE = 0.5  # of identities before something busier than a drawn wall


def drawn_clip(number: int, count: int, size: int) -> Clip:
    """Draw, enrol and move identity `number`: `count` frames of `size` pixels, the first at rest.

    Raises:
        EnrolmentError: no face was found in the drawing.
    """
    group = number // GROUP
    photo = draw_portrait(random_params(number), _DRAWN)
    face = find_face(photo)
    identity = describe(photo, face, hashlib.sha256(f"drawn {number}".encode()).hexdigest())
    chance = np.random.default_rng((number, 0xBAC))
    if chance.random() < _BACKDROP_SHARE:
        identity = _before(identity, _backdrop(chance, _DRAWN))
    return moved_clip(identity, motion_bank(group, count), str(group), size)


def moved_clip(identity: IdentityFeatures, motion: Motion, group: str, size: int) -> Clip:
    """Move an enrolled identity: a frame of `size` pixels for each row of motion, and its flow."""
    frames = _rendered(identity, motion, size)
    regions = np.broadcast_to(_regions(identity), (len(motion), 3, 3)).copy()
    return Clip(frames, regions, motion, group, _flows(identity, motion, size // 2))


def _rendered(identity: IdentityFeatures, motion: Motion, size: int) -> NDArray[np.uint8]:
    baked, square = _baked(identity), _square(identity, _RENDERED)
    frames = (draw_rgb(baked, row).numpy() for row in torch.from_numpy(motion))
    return np.stack([cut(frame, square, size) for frame in frames])


def _baked(identity: IdentityFeatures) -> Baked:
    return CACHE.get(identity, (_RENDERED, _RENDERED), torch.device("cpu"))


def _flows(identity: IdentityFeatures, motion: Motion, size: int) -> torch.Tensor:
    square = _square(identity, _RENDERED)
    return rest_places(_baked(identity), torch.from_numpy(motion), square, size)


def _square(identity: IdentityFeatures, pixels: int) -> Crop:
    """The face crop of an enrolled identity in its rendered frame."""
    points = identity.arrays["landmarks"]
    in_pixels = (points + np.array([1.0, 1.0, 0.0], np.float32)) * (pixels / 2)
    return choose_square(FaceMesh(in_pixels.astype(np.float32)))


def _regions(identity: IdentityFeatures) -> NDArray[np.float32]:
    """Mouth, right and left eye: x, y and half width in crop coordinates, [3, 3]."""
    square = _square(identity, 2)
    face = measure(*(identity.arrays[n] for n in ("landmarks", "eye_rims", "lip_line")))
    rims = [face.lips, *(face.eyes[side] for side in SIDES)]
    rows = []
    for rim in rims:
        middle = (float(rim.upper.min()) + float(rim.lower.max())) / 2
        x, y = face.to_canvas(np.array([rim.middle, middle], np.float32)) + 1.0
        half = rim.half_width * face.unit
        rows.append([float(x) - square.left, float(y) - square.top, half])
    return np.array(rows, np.float32) * 2.0 / square.side - np.array([1, 1, 0], np.float32)


def _before(identity: IdentityFeatures, backdrop: torch.Tensor) -> IdentityFeatures:
    """The same person in front of `backdrop`, float32 [S, S, 3] in [0, 255]."""
    tensors = dict(identity.tensors)
    away = 1.0 - tensors["matte"].float()[..., None] / 255.0
    canvas = tensors["canvas"].float() + away * (backdrop - tensors["background"].float())
    tensors["canvas"] = canvas.round().clamp(0, 255).to(torch.uint8)
    tensors["background"] = backdrop.round().to(torch.uint8)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return IdentityFeatures(identity.key, arrays, identity.meta)


def _backdrop(chance: np.random.Generator, size: int) -> torch.Tensor:
    """Blurred patches of colour with straight edges among them: a room, out of focus or not."""
    picture = torch.zeros(1, 3, size, size)
    for cells in (3, 8, 24):
        noise = torch.from_numpy(chance.normal(size=(1, 3, cells, cells)).astype(np.float32))
        grey = noise.mean(1, keepdim=True)
        mode = "nearest" if chance.random() < 0.15 else "bicubic"
        layer = F.interpolate(0.3 * noise + grey, (size, size), mode=mode)
        picture += layer * float(chance.uniform(0.1, 1.0)) * (3.0 / cells) ** 0.3
    picture = 127.0 + 60.0 * picture / picture.std() * float(chance.uniform(0.3, 1.0))
    picture += float(chance.uniform(-60, 60))
    return picture[0].permute(1, 2, 0).clamp(0, 255).contiguous()
