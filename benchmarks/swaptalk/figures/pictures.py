"""What pictures say against the truth, and from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from benchmarks.swaptalk.figures import Clip, Mask, check_clip, check_pair


def ssim(made: Clip, truth: Clip) -> float:
    """Structural similarity of brightness, mean over frames; 1 where they are equal.

    Wang et al. 2004, with its Gaussian window of 1.5 pixels (11 x 11). No unit.

    Raises:
        ValueError: not two clips of one shape.
    """
    check_pair(made, truth)
    found = [
        structural_similarity(
            cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), cv2.cvtColor(b, cv2.COLOR_RGB2GRAY),
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
        )
        for a, b in zip(made, truth, strict=True)
    ]  # fmt: skip
    return float(np.mean(found))


def outside_change(made: Clip, truth: Clip, mask: Mask) -> float:
    """Mean absolute difference where the mask is false, in grey levels (of 255).

    mask: true where the system may draw. Under 1.0 is what the system promises.

    Raises:
        ValueError: not two clips of one shape, or the mask leaves nothing out.
    """
    check_pair(made, truth)
    outside = ~_over_time(mask, made)
    if not outside.any():
        raise ValueError("nothing is outside the mask")
    pairs = zip(made, truth, outside, strict=True)
    total = sum(int(cv2.absdiff(a, b)[part].sum(dtype=np.int64)) for a, b, part in pairs)
    return total / float(3 * outside.sum())


@dataclass(frozen=True)
class Flicker:
    """Mean absolute second difference in time, grey levels (of 255), by part of the picture."""

    inside: float
    outside: float


def flicker(clip: Clip, mask: Mask) -> Flicker:
    """How pictures tremble: x[t - 1] - 2 x[t] + x[t + 1], mean of its size over pixels and frames.

    What moves evenly counts little, what jumps there and back counts four times its size. The
    measure is ours. mask: true in the mouth; one that moves counts as it lies at t.

    Raises:
        ValueError: fewer than three frames, or the mask is true everywhere or nowhere.
    """
    check_clip(clip)
    if len(clip) < 3:
        raise ValueError(f"flicker needs three frames, got {len(clip)}")
    within = _over_time(mask, clip)[1:-1]
    if within.all() or not within.any():
        raise ValueError("flicker needs a mask with pixels inside and outside")
    sums = np.zeros(2)
    for before, now, after, part in zip(clip, clip[1:], clip[2:], within, strict=False):
        size = np.abs(before.astype(np.int32) - 2 * now.astype(np.int32) + after)
        sums += size[part].sum(), size[~part].sum()
    inside, outside = sums / (3 * np.array([within.sum(), (~within).sum()]))
    return Flicker(float(inside), float(outside))


def _over_time(mask: Mask, clip: Clip) -> NDArray[np.bool_]:
    """The mask of each frame, [T, H, W].

    Raises:
        ValueError: of another shape than the frames.
    """
    if mask.dtype != np.bool_ or mask.shape not in (clip.shape[:3], clip.shape[1:3]):
        raise ValueError(
            f"expected a mask bool {list(clip.shape[1:3])}, got {mask.dtype} {list(mask.shape)}"
        )
    return np.broadcast_to(mask, clip.shape[:3])
