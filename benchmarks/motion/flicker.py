"""What of a picture moves that should not: changes of its regions from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.identity import IdentityFeatures
from pipelines.photo.detect import person_mask
from pipelines.photo.filling import dilate
from pipelines.photo.geometry import measure

Mask = NDArray[np.bool_]

# In face heights, forehead to chin.
_CLEAR = 0.15  # between the person and what counts as background
_SHOULDERS = 0.32  # below the chin: beyond what a turning neck pulls along
_EDGE = 0.03  # half width of the outline of hair and ears,
_ABOVE = 0.5  # which ends so far above the chin: a jaw moves in speech
_FACE = (0.30, -0.85, -0.40)  # half width, top and bottom above the chin: forehead, eyes and nose


def regions(face: IdentityFeatures, size: int) -> dict[str, Mask]:
    """Parts of the frame of a face enrolled for `portrait`, by name, bool [size, size]."""
    canvas = face.arrays["canvas"]
    side = len(canvas)  # of a large photo more than of a small one
    shape = measure(face.arrays["landmarks"])
    person = torch.from_numpy((person_mask(canvas) > 0.5).astype(np.float32))[None]
    unit = shape.unit * side / 2  # pixels
    line = (np.arange(side, dtype=np.float32) + 0.5) / side * 2.0 - 1.0
    place = shape.to_face(np.stack(np.meshgrid(line, line), -1))
    across, below = place[..., 0], place[..., 1] - shape.chin

    def grown(mask: torch.Tensor, by: float) -> Mask:
        return dilate(mask, round(by * unit))[0].numpy() > 0.5

    inside, outside = grown(person, _EDGE), grown(1.0 - person, _EDGE)
    half, top, bottom = _FACE
    found = {
        "background": ~grown(person, _CLEAR),
        "shoulders": ~outside & (below > _SHOULDERS),
        "hair edge": inside & outside & (below < -_ABOVE),
        "upper face": (np.abs(across) < half) & (below > top) & (below < bottom),
    }
    seen = np.arange(size) * side // size
    return {name: mask[np.ix_(seen, seen)] for name, mask in found.items()}


class Flicker:
    """Luma of regions through a video; frames come in order."""

    def __init__(self, parts: Mapping[str, Mask]) -> None:
        self.names = list(parts)
        masks = np.stack([mask.reshape(-1) for mask in parts.values()]).astype(np.float32)
        self._weights = masks / masks.sum(1, keepdims=True)
        self._last: list[NDArray[np.float32]] = []
        self._rows: list[NDArray[np.float32]] = []

    def add(self, i420: NDArray[np.uint8]) -> None:
        """The next frame, planes [size * 3 // 2, size]."""
        size = i420.shape[1]
        luma = i420[:size].reshape(-1).astype(np.float32)
        if len(self._last) == 2:
            before, middle = self._last
            change, jitter = luma - middle, middle - 0.5 * (before + luma)
            self._rows.append(np.stack([self._weights @ np.abs(x) for x in (change, jitter)]))
        self._last = [*self._last[-1:], luma]

    def figures(self, where: Mask) -> dict[str, dict[str, float]]:
        """Of the frames marked in bool [frames], by region, in grey levels of 255.

        change: mean difference from the frame before, and in the worst frame in a hundred. jitter:
        mean distance of a frame from the middle of its neighbours, small where motion is smooth.
        """
        rows = np.array(self._rows)[where[2:]]  # [n, 2, regions]
        change, jitter = rows[:, 0], rows[:, 1]
        worst = np.percentile(change, 99, axis=0)
        return {
            name: {
                "change": round(float(change[:, n].mean()), 3),
                "worst": round(float(worst[n]), 3),
                "jitter": round(float(jitter[:, n].mean()), 3),
            }
            for n, name in enumerate(self.names)
        }
