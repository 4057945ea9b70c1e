"""Identities of the `swaptalk` pipeline out of nothing but numbers: no face is looked for."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from pipelines.identity import IdentityFeatures
from pipelines.photo.video.kept import keep, to_rgb
from pipelines.swaptalk.faces import ROWS, Faces
from pipelines.swaptalk.loop import make_loop
from pipelines.swaptalk.mask import face_masks
from pipelines.swaptalk.paste import small
from pipelines.swaptalk.template import Template, squares_of, to_i420


def tiny_identity(
    faces: Faces,
    frames: int = 9,
    size: tuple[int, int] = (192, 160),
    side: float = 80.0,
    seed: int = 0,
) -> IdentityFeatures:
    """A clip of `frames` smooth pictures of `size`, with a square of about `side` pixels that moves
    and turns; who shows it listens in a few frames in its middle."""
    chance = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width] / height
    waves = chance.uniform(2.0, 9.0, (3, 2))
    pictures = []
    for n in range(frames):
        turn = n / frames + np.arange(3)
        light = [np.sin(a * x + b * y + t) for (a, b), t in zip(waves, turn, strict=True)]
        pictures.append(((np.stack(light, -1) * 0.4 + 0.5) * 255.0).astype(np.uint8))
    clip = keep((to_i420(picture, size) for picture in pictures), size)
    angle = 0.1 * np.sin(np.arange(frames) + seed)
    half = side / 2.0 * (1.0 + 0.03 * np.cos(np.arange(frames)))
    across, down = half * np.cos(angle), half * np.sin(angle)
    middle_x = width / 2 + 4.0 * np.sin(np.arange(frames) * 0.7)
    middle_y = np.full(frames, height * 0.4)
    places = np.stack(
        [np.stack([across, -down, middle_x], 1), np.stack([down, across, middle_y], 1)], 1
    )
    at = np.linspace(0.0, np.pi, 21)
    jaw = np.stack([-0.6 * np.cos(at), 0.05 + 0.65 * np.sin(at)], -1)
    loop = make_loop(slice(3, frames - 2), np.full((frames, frames), 9.0))
    template = Template(
        clip=clip,
        places=places,
        masks=face_masks(np.repeat(jaw[None], frames, 0)),
        gap=np.zeros(frames, np.float32),
        surroundings=np.array([[width, height, (width - height) / 2, 0, height]] * 2, np.float64),
        loop=loop,
    )
    squares = torch.stack(list(squares_of(template, faces.side)))
    maps = faces.encode(squares)
    rows = faces.prepare(maps, maps[:1], squares)
    halves = [small(square[:, faces.side // 2 :] * 0.5 + 0.5) for square in squares]
    around = (torch.stack(halves) * 255.0).round().clamp(0.0, 255.0).byte().numpy()
    preview = to_rgb(clip.stretch(0)[0])
    kept = {ROWS + name: held.numpy() for name, held in rows.items()}
    own = {"around": around, "preview": preview, "clip": clip.data.copy()}
    arrays = template.arrays() | own | kept
    # What was made ready of an identity is kept by its key, all over a process.
    key = hashlib.sha256(b"".join(held.tobytes() for held in arrays.values())).hexdigest()
    return IdentityFeatures(key, arrays, {})
