"""Moved squares back into their pictures: blended, with what is too fine to be drawn, as I420."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_paste as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton
from kernels.reference_paste import Behind

__all__ = ["Behind", "paste_back", "work"]


def paste_back(
    drawn: Tensor, rows: Tensor, behind: Behind, size: tuple[int, int], reach: int, out: Tensor
) -> None:
    """Draw the pictures of slots into `out`.

        picture = mask * (colours + share * detail, from where it moved) + fixed

    and the picture itself, to the bit, where the mask is 0.

    Args:
        drawn: float32 [n, 6, side, side]: colours in [0, 1], by how much further (x and y, in half
            squares) a pixel's detail is looked for, and its share. Its edges are extended by
            `reach` pixels all round, which then is the whole square.
        rows: int64 [n], whose pictures.
        behind: tables of all slots; of a slot that holds nothing the picture is anything.
        size: (width, height) of the pictures, even.
        reach: at least 0.
        out: uint8 [n, width * height * 3 / 2], its rows contiguous.

    Raises:
        ValueError: shapes that do not go together.
    """
    width, height = size
    pixels = width * height
    if drawn.dim() != 4 or drawn.shape[1] != 6 or drawn.shape[2] != drawn.shape[3]:
        raise ValueError(f"drawn squares are [n, 6, side, side], got {tuple(drawn.shape)}")
    if rows.shape != drawn.shape[:1] or out.shape != (len(rows), pixels * 3 // 2):
        raise ValueError(
            f"{len(drawn)} squares, rows {tuple(rows.shape)} and planes {tuple(out.shape)} do not "
            f"make pictures of {width} x {height}"
        )
    if width % 2 or height % 2 or pixels > behind.mask.shape[1]:
        raise ValueError(
            f"tables of {behind.mask.shape[1]} pixels hold no pictures of {width} x {height}"
        )
    if use_triton(drawn, out, *behind, as_they_lie=(rows, behind.detail, behind.places)):
        from kernels.paste_back_triton import paste_back as launch

        launch(drawn, rows, behind, size, reach, out)
    else:
        reference.paste_back(drawn, rows, behind, size, reach, out)


def work(faces: int, size: tuple[int, int], side: int, changed: float = 0.4) -> Work:
    """Of squares drawn with `side` pixels, where the share `changed` of each picture is not masked.

    A byte of mask for each pixel, 1.5 of it read and written; where it changes, three of `fixed`
    and six of detail besides, the drawn squares once. About 150 operations for a changed pixel: two
    bilinear samples of nine channels, blending, and the colours.
    """
    pixels = size[0] * size[1]
    touched = int(pixels * changed)
    moved = pixels * 4 + touched * (3 + 6) + side * side * 6 * 4
    return Work(bytes=faces * moved, flops=faces * touched * 150)
