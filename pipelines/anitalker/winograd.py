"""3x3 convolutions with a quarter of the multiplications.

A tile of 4x4 results is a product of polynomials, so 36 of their values stand for its 144 products
(Lavin and Gray, arXiv 1509.09308). The values are taken at 0, 1, -1, 2, -1/2 and infinity, which
keeps float32 as exact as the plain way does; half precisions would lose too much.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

TILE = 4  # results per tile and axis
_WINDOW = TILE + 2  # inputs they depend on
_POINTS = np.array([0.0, 1.0, -1.0, 2.0, -0.5])


def _values(degree: int) -> NDArray[np.float64]:
    """Coefficients -> values at the points, [window, degree]; the last row is infinity's."""
    at_points = np.vander(_POINTS, degree, increasing=True)
    return np.vstack([at_points, np.eye(1, degree, degree - 1)])


def _square(matrix: NDArray[np.float64]) -> Tensor:
    """The map of one axis, for both axes of a flattened tile."""
    return torch.from_numpy(np.kron(matrix, matrix))


class Winograd:
    """Convolution by one kernel [out, in, 3, 3], float32; sizes must be multiples of `TILE`."""

    def __init__(self, kernel: Tensor) -> None:
        values = torch.from_numpy(_values(3)).to(kernel.device)
        out, inside = kernel.shape[:2]
        spread = torch.einsum("ai,ocij,bj->abco", values, kernel.double(), values)
        self._kernel = spread.reshape(_WINDOW**2, inside, out).to(kernel.dtype).contiguous()
        self._enter = _square(np.linalg.inv(_values(_WINDOW)).T).to(kernel)
        self._leave = _square(_values(TILE).T).to(kernel)

    def __call__(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W], in channels-last order."""
        batch, inside, height, width = x.shape
        rows, columns = height // TILE, width // TILE
        padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        tiles = padded.unfold(1, _WINDOW, TILE).unfold(2, _WINDOW, TILE)  # [B, r, c, in, 6, 6]
        entries = tiles.permute(4, 5, 0, 1, 2, 3).reshape(_WINDOW**2, -1)
        values = (self._enter @ entries).view(_WINDOW**2, -1, inside)
        products = torch.bmm(values, self._kernel)  # [36, B r c, out]
        results = self._leave @ products.view(_WINDOW**2, -1)
        spread = results.view(TILE, TILE, batch, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
        return spread.reshape(batch, height, width, -1).permute(0, 3, 1, 2)
