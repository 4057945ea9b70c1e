"""Frames of the `portrait` system, drawn for a whole batch in one pass over the output."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_portrait
from kernels.bounds import Work
from kernels.dispatch import use_triton
from kernels.portrait_layout import Faces, Placed, tensors_of


def portrait_frame(
    faces: Faces, placed: Placed, rows: Tensor, size: tuple[int, int], planes: Tensor
) -> None:
    """Draw n frames of `size` (width, height) into `planes`, I420 uint8 [n, width * height * 3 / 2]
    (BT.601), the i-th of the face `rows`[i] (int64 [n]).

    The person is sampled once where the flow points, bilinearly, lit, and put over what lies
    behind; where skin parts, pictures of mouth and eyes show through.

    Raises:
        ValueError: shapes that do not belong together, or an odd side.
    """
    width, height = size
    if width % 2 or height % 2:
        raise ValueError(f"I420 needs an even width and height, got {width} x {height}")
    n = len(rows)
    if planes.shape != (n, width * height * 3 // 2) or len(placed.base) != n:
        raise ValueError(
            f"{n} frames of {width} x {height} go into planes [{n}, {width * height * 3 // 2}], "
            f"got {tuple(planes.shape)}, and {len(placed.base)} places"
        )
    if faces.behind.shape[1] != width * height:
        raise ValueError(
            f"faces of frames of {faces.behind.shape[1]} pixels cannot be drawn at {width} x "
            f"{height}"
        )
    if not all(
        held.is_contiguous() for held in (rows, planes, *tensors_of(faces), *tensors_of(placed))
    ):
        raise ValueError("tables, places and planes must be contiguous")
    if use_triton(rows, planes, *tensors_of(faces), *tensors_of(placed)):
        from kernels.portrait_frame_triton import portrait_frame as launch

        launch(faces, placed, rows, size, planes)
    else:
        reference_portrait.portrait_frame(faces, placed, rows, size, planes)


def work(faces: int, size: tuple[int, int], opened: float = 0.05) -> Work:
    """Of one launch that draws so many faces, `opened` the share of the frame that patches take.

    Read are four bytes of the person and three of what lies behind for each pixel, and in patches
    twelve bytes of a mouth or 32 of an eye, say 24; written one byte and a half. Nodes are few.
    """
    pixels = faces * size[0] * size[1]
    moved = pixels * 8.5 + opened * pixels * 24
    return Work(round(moved), round(pixels * (90 + opened * 400)))
