"""The skin above and below an opening as two layers, with a field each.

A field has four channels at a point: dx, dy (face units), how far the layer's edge advances (face
units; negative for a rolled lip), and shading (added to 1). What the two differ by is the opening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.photo.geometry import Array


@dataclass(frozen=True)
class Layered:
    """Fields of one shape at P points: the upper and the lower layer, each [4, P]."""

    upper: Array
    lower: Array


def summed(*parts: Layered) -> Layered:
    return Layered(
        np.sum([p.upper for p in parts], axis=0), np.sum([p.lower for p in parts], axis=0)
    )
