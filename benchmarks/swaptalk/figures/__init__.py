"""Figures of the paper's table, from clips alone: uint8 [T, H, W, 3], RGB, frames in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]  # [T, H, W, 3], RGB
Mask = NDArray[np.bool_]  # [H, W], or [T, H, W] where it moves


def check_pair(made: Clip, truth: Clip) -> None:
    """ValueError where these are not two clips of one shape with a frame at least."""
    check_clip(made)
    if made.shape != truth.shape:
        raise ValueError(f"clips of {list(made.shape)} and {list(truth.shape)}")


def check_clip(clip: Clip) -> None:
    """ValueError where this is not a clip with a frame at least."""
    if clip.ndim != 4 or clip.shape[3] != 3 or clip.dtype != np.uint8 or not len(clip):
        raise ValueError(f"expected uint8 [T, H, W, 3], got {clip.dtype} {list(clip.shape)}")
