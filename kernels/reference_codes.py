"""Vectors to the nearest of a codebook, in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference import wide


def nearest_codes(
    cells: Tensor, book: Tensor, last: Tensor | None, margin: float
) -> tuple[Tensor, Tensor]:
    """See `kernels.nearest_codes.nearest_codes`."""
    parts, codes, dim = book.shape
    away = distances(cells, book)
    nearest = away.argmin(3)
    first = torch.arange(parts, device=cells.device) * codes
    if last is not None:
        before = (last - first).clamp_min(0)
        held = away.gather(3, before[..., None])[..., 0]
        found = away.gather(3, nearest[..., None])[..., 0]
        nearest = torch.where((last < 0) | (found < (1.0 - margin) * held), nearest, before)
    indices = nearest + first
    values = F.embedding(indices, book.reshape(-1, dim)).flatten(2).mT
    return values.to(cells.dtype), indices


def distances(cells: Tensor, book: Tensor) -> Tensor:
    """Squared distances of cells [n, parts * dim, m] from all codes of their parts, [n, m,
    parts, codes]."""
    parts, _, dim = book.shape
    n, _, m = cells.shape
    x = cells.to(wide(cells)).mT.reshape(n, m, parts, dim)
    book = book.to(x.dtype)
    square = x.square().sum(3, keepdim=True) + book.square().sum(2)
    products: Tensor = torch.einsum("nmpd,pkd->nmpk", x, book)
    return square - 2.0 * products
