"""Vectors to the nearest of a codebook, held on to so that they do not flicker."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_codes as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def nearest_codes(
    cells: Tensor, book: Tensor, last: Tensor | None = None, margin: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Look up cells in a codebook of one or more parts.

    Args:
        cells: float32, float16 or bfloat16 [n, parts * dim, m], m cells of each map.
        book: float32 [parts, codes, dim].
        last: codes of the frame before, int64 [n, m, parts], -1 where there is none. A cell keeps
            its code unless another's squared distance is smaller by more than the share `margin`.
        margin: in [0, 1).

    Returns:
        The codes' vectors, as `cells`; and which they are, int64 [n, m, parts], numbered from part
        to part. Of codes as near as each other any is taken.

    Raises:
        ValueError: shapes that do not go together.
    """
    if cells.dim() != 3 or book.dim() != 3 or cells.shape[1] != book.shape[0] * book.shape[2]:
        raise ValueError(f"cells {tuple(cells.shape)} have no codes in a book {tuple(book.shape)}")
    if last is not None and last.shape != (cells.shape[0], cells.shape[2], book.shape[0]):
        raise ValueError(f"codes {tuple(last.shape)} before are not those of {tuple(cells.shape)}")
    if use_triton(cells, book):
        from kernels.nearest_codes_triton import nearest_codes as launch

        return launch(cells, book, last, margin)
    return reference.nearest_codes(cells, book, last, margin)


def work(faces: int, cells: int, parts: int, codes: int, dim: int) -> Work:
    """Vectors and codes in and out, the book once; two operations for each number of each code, and
    three for its distance."""
    moved = faces * cells * parts * (2 * dim * 4 + 2 * 8) + parts * codes * dim * 4
    return Work(bytes=moved, flops=faces * cells * parts * codes * (2 * dim + 3))
