"""How sharp pictures are, without a truth to compare with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, sobel
from skimage.feature import canny

from benchmarks.swaptalk.figures import Clip, Mask, check_clip

Array = NDArray[np.float64]

_BLOCK = 64  # pixels along a side
_EDGY = 0.002  # share of a block's pixels on edges, above which the block is looked at
_SIGMA, _HIGH, _LOW = np.sqrt(2.0), 0.7, 0.4  # of Canny: quantile of gradients, share of the same
_DIM, _DIM_WIDTH, _WIDTH = 50, 5, 3  # an edge so wide is just noticed to be blurred; contrast <= 50


def cpbd(clip: Clip) -> float:
    """Cumulative probability of blur detection, mean over frames: in [0, 1], higher is sharper.

    Narvekar and Karam 2011: the share of edges whose blur is seen with a probability of 1 - 1 / e
    or less, so (the probability being 1 - exp(-(w / w_jnb)^3.6)) the share of those no wider than
    what is just noticed. In blocks of 64 x 64 with edges (Canny, with the thresholds of MATLAB)
    those count that run upright (Sobel). A frame without edges counts 0. A frame's size changes it:
    compare pictures of one size.

    Raises:
        ValueError: smaller than a block.
    """
    check_clip(clip)
    if min(clip.shape[1:3]) < _BLOCK:
        raise ValueError(f"cpbd needs pictures of {_BLOCK} px, got {list(clip.shape)}")
    return float(np.mean([_sharp(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in clip]))


def _sharp(grey: NDArray[np.uint8]) -> float:
    """The share of edges that look sharp in a picture [H, W]."""
    values = grey.astype(np.float64)
    edges, widths = _edges(values), edge_widths(values)
    sharp = total = 0
    for y in range(0, grey.shape[0] - _BLOCK + 1, _BLOCK):
        for x in range(0, grey.shape[1] - _BLOCK + 1, _BLOCK):
            block = np.s_[y : y + _BLOCK, x : x + _BLOCK]
            if edges[block].mean() > _EDGY:
                dim = int(grey[block].max()) - int(grey[block].min()) <= _DIM
                found = widths[block][widths[block] > 0]
                sharp += int((found <= (_DIM_WIDTH if dim else _WIDTH)).sum())
                total += len(found)
    return sharp / total if total else 0.0


def _edges(values: Array) -> Mask:
    """Canny's, of a picture [H, W]: relative to its own gradients, so that a soft one has some."""
    soft = gaussian_filter(values, _SIGMA)
    high = float(np.quantile(np.hypot(sobel(soft, 0), sobel(soft, 1)), _HIGH))
    found: Mask = canny(values, _SIGMA, _LOW * high, max(high, 1e-6))
    return found


def edge_widths(values: Array) -> NDArray[np.int64]:
    """How wide the edge is that a pixel lies on, in pixels, 0 where on none that runs upright.

    values: [H, W]. An edge is as wide as values go on rising or falling across it (Marziliano et
    al. 2002).
    """
    down, across = np.gradient(values)
    upright = np.abs(down) < np.tan(np.pi / 8) * np.abs(across)
    widths = np.zeros(values.shape, np.int64)
    for sign in (1.0, -1.0):  # edges that rise to the right, and those that fall
        going = sign * np.diff(values, axis=1) > 0.0  # from a pixel to the next
        here = _sobel_edges(values) & upright & (sign * across > 0.0)
        here[:, :2] = here[:, -2:] = False
        before = _runs(going)[:, :-1]  # that end before a pixel's left neighbour, from column 2 on
        after = _runs(going[:, ::-1])[:, ::-1][
            :, 1:
        ]  # that begin at its right neighbour, from 0 on
        sides = np.zeros(values.shape, np.int64)
        sides[:, 2:] += before + 1
        sides[:, :-2] += after + 1
        widths[here] = sides[here]
    return widths


def _runs(marks: Mask) -> NDArray[np.int64]:
    """How many marks in a row end at each place, along rows [H, W]."""
    places = np.arange(marks.shape[1])
    last = np.maximum.accumulate(np.where(marks, -1, places), axis=1)
    runs: NDArray[np.int64] = places - last
    return runs


def _sobel_edges(values: Array) -> Mask:
    """Thinned to a pixel, over twice the root of the mean squared gradient, as MATLAB's: [H, W]."""
    down, across = sobel(values, 0), sobel(values, 1)
    power = down**2 + across**2
    around = np.pad(power, 1, constant_values=np.inf)
    ridge_x = (power > around[1:-1, :-2]) & (power >= around[1:-1, 2:])
    ridge_y = (power > around[:-2, 1:-1]) & (power >= around[2:, 1:-1])
    steeper = np.abs(across) >= np.abs(down)
    found: Mask = (power > 4.0 * power.mean()) & np.where(steeper, ridge_x, ridge_y)
    return found
