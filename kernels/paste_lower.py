"""Drawn lower faces back into frames that are kept as they are encoded: blended in their planes."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_paste_lower as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton
from kernels.reference_paste_lower import Clips

__all__ = ["Clips", "paste_lower", "work"]


def paste_lower(
    lower: Tensor, colours: Tensor, rows: Tensor, clips: Clips, size: tuple[int, int], out: Tensor
) -> None:
    """Draw frames of clips into `out`, with other lower faces.

        frame = mask * I420(drawn + correction) + (1 - mask) * frame

    and the frame itself, to the bit, where the mask is 0.

    Args:
        lower: float32 [n, 3, h, w] in [0, 1], lower halves of faces' squares.
        colours: float32 [n, 3 (constant, across, down), 3 (RGB)], the correction: a plane over the
            lower half from -1 to 1.
        rows: int64 [n], which frames.
        clips: tables of all frames.
        size: (width, height) of the frames, even.
        out: uint8 [n, width * height * 3 / 2], its rows contiguous.

    Raises:
        ValueError: shapes that do not go together.
    """
    n, width, height = len(rows), *size
    planes = width * height * 3 // 2
    if lower.dim() != 4 or lower.shape[:2] != (n, 3) or colours.shape != (n, 3, 3):
        raise ValueError(
            f"{n} rows, lower halves {tuple(lower.shape)} and colours {tuple(colours.shape)}"
        )
    if width % 2 or height % 2 or out.shape != (n, planes):
        raise ValueError(
            f"planes {tuple(out.shape)} do not hold {n} pictures of {width} x {height}"
        )
    if planes > clips.planes.shape[1]:
        raise ValueError(
            f"clips of {clips.planes.shape[1]} bytes a frame have none of {width} x {height}"
        )
    if use_triton(
        lower, colours, out, *clips, as_they_lie=(rows, clips.masks, clips.places, clips.boxes)
    ):
        from kernels.paste_lower_triton import paste_lower as launch

        launch(lower, colours, rows, clips, size, out)
    else:
        reference.paste_lower(lower, colours, rows, clips, size, out)


def work(faces: int, size: tuple[int, int], lower: tuple[int, int], changed: float = 0.12) -> Work:
    """Of lower halves of (width, height) pixels, of which the share `changed` of a frame is made.

    1.5 bytes read and written for each pixel, the lower half once. About 90 operations for a pixel
    that changes: four bilinear samples, the correction, the colours, the blend.
    """
    pixels = size[0] * size[1]
    moved = pixels * 3 + lower[0] * lower[1] * 3 * 4
    return Work(bytes=faces * moved, flops=int(faces * pixels * changed) * 90)
