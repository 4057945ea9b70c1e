"""Write a VRM 1.0 model of our own: a stylised head and shoulders with ARKit's blendshapes.

    python model.py site/avatar.vrm

Needs numpy. Features (mouth, eyes, brows) are flat shapes laid on the head; a blendshape is what
its weight adds to their outlines. Axes are glTF's: y up, the face looks along +z, metres; left is
the subject's, on +x.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from face import (
    BLENDSHAPES,
    HAIR,
    HEAD_MIDDLE,
    RADIUS,
    SHIRT,
    SKIN,
    TOGETHER,
    Ask,
    Points,
    features,
    on_head,
)
from vrm_file import Gltf


def ellipsoid(
    radius: Points, middle: Points, part: Callable[[Points], Points]
) -> tuple[Points, Points]:
    """Corners and triangles; `part` may move unit-sphere corners."""
    rows, columns = 24, 32
    theta, phi = np.meshgrid(
        np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij"
    )
    unit = np.stack(
        [np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], axis=-1
    ).reshape(-1, 3)
    a = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    b, c, d = a + 1, a + columns + 1, a + columns + 2
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return part(unit) * radius + middle, triangles


def strip(count: int) -> Points:
    """Triangles between two rows of `count` corners, the first above the second."""
    a = np.arange(count - 1)
    b, c, d = a + 1, a + count, a + count + 1
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def fan(count: int) -> Points:
    """Triangles of a disc: its middle, then its rim."""
    a = np.arange(count)
    return np.stack([np.zeros_like(a), 1 + a, 1 + (a + 1) % count], axis=1)


def build() -> Gltf:
    """The whole model."""
    model = Gltf()
    model.bones()

    def skull(unit: Points) -> Points:
        jaw = np.clip(-unit[:, 1], 0, 1)
        return unit * np.stack([1 - 0.22 * jaw**2, 1 + 0 * jaw, 1 - 0.06 * jaw], axis=1)

    corners, triangles = ellipsoid(RADIUS, HEAD_MIDDLE, skull)
    chin = np.clip(HEAD_MIDDLE[1] - 0.03 - corners[:, 1], 0, 0.09) * (corners[:, 2] > 0)
    drop = np.stack([0 * chin, -0.28 * chin, -0.05 * chin], axis=1)
    model.mesh("head", "head", corners, triangles, SKIN, True, {"jawOpen": drop})
    for sign in (1, -1):
        place = HEAD_MIDDLE + np.array([sign * 0.097, 0.0, -0.01])
        ear = ellipsoid(np.array([0.012, 0.026, 0.018]), place, lambda unit: unit)
        model.mesh(f"ear{sign}", "head", *ear, SKIN, True, {})

    def cap(unit: Points) -> Points:
        front = np.clip(unit[:, 2], 0, 1)
        edge = -0.35 + 0.95 * front**0.7  # where hair ends: low behind, high over the forehead
        low = unit[:, 1] < edge
        return np.where(low[:, None], unit * 0.93, unit)

    hair = ellipsoid(RADIUS * 1.09, HEAD_MIDDLE + np.array([0, 0.008, -0.01]), cap)
    model.mesh("hair", "head", *hair, HAIR, True, {})
    neck = ellipsoid(np.array([0.045, 0.09, 0.045]), np.array([0, 0.03, 0]), lambda unit: unit)
    model.mesh("throat", "neck", *neck, SKIN, True, {})
    bust = ellipsoid(np.array([0.2, 0.24, 0.11]), np.array([0, -0.02, -0.01]), lambda unit: unit)
    model.mesh("bust", "chest", *bust, SHIRT, True, {})

    for name, colour, above, shape, disc in features():
        rest = on_head(shape(Ask()), above)
        targets = {}
        for key in BLENDSHAPES:
            beside = TOGETHER.get(key, {})
            moved = on_head(shape(Ask({**beside, key: 1.0})), above)
            moved -= on_head(shape(Ask(beside)), above)
            if np.abs(moved).max() > 1e-6:
                targets[key] = moved
        triangles = fan(len(rest) - 1) if disc else strip(len(rest) // 2)
        model.mesh(name, "head", rest, triangles, colour, colour == SKIN, targets)
    return model


if __name__ == "__main__":
    build().write(Path(sys.argv[1]))
