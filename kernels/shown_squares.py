"""What of drawn squares is shown in their photos: colours, where detail goes, and its share."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_squares as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def shown_squares(
    pictures: Tensor,
    looks: Tensor,
    masks: Tensor,
    resting: Tensor,
    rows: Tensor | None,
    fade: Tensor,
    share: float,
) -> Tensor:
    """Compare squares with how they are drawn at rest, and correct their colours.

    Detail is lost where a square looks unlike what was at rest where its pixels look, where what it
    shows is bent, both as a mean over 3 x 3 pixels, and where it shows less of it.

    Args:
        pictures: float32 [n, 3, R, R] in [-1, 1].
        looks: float32 [n, 2, R, R], where pixels look, x and y in [-1, 1].
        masks: float32 [n, 1, R, R], how much they show of what they see there.
        resting: float32 [slots, 9, R, R]: looks, pictures and masks of squares at rest, and what is
            to be added to their colours in [0, 1].
        rows: int64 [n], which of them; None: one for each square.
        fade: float32 [1, 1, R, R], how much of a square is shown.
        share: of the side that shifts are to be in, that of a square.

    Returns:
        float32 [n, 6, R, R]: colours in [0, 1] as they are shown, by how much further (x, y) detail
        is looked for, and its share in [0, 1].

    Raises:
        ValueError: shapes that do not go together, or squares of a single pixel.
    """
    n, side = len(pictures), pictures.shape[-1]
    wanted = [(n, channels, side, side) for channels in (3, 2, 1)]
    found = [tuple(each.shape) for each in (pictures, looks, masks)]
    if found != wanted or side < 2:
        raise ValueError(f"squares are {found}, not {wanted} of at least 2 pixels")
    if resting.shape[1:] != (9, side, side) or fade.shape != (1, 1, side, side):
        raise ValueError(f"{tuple(resting.shape)} at rest and a fade of {tuple(fade.shape)}")
    if (len(resting) if rows is None else len(rows)) != n:
        raise ValueError(f"{n} squares are not compared with as many at rest")
    if rows is not None and use_triton(pictures, looks, masks, as_they_lie=(resting, rows, fade)):
        from kernels.shown_squares_triton import shown_squares as launch

        return launch(pictures, looks, masks, resting, rows, fade, share)
    return reference.shown_squares(pictures, looks, masks, resting, rows, fade, share)


def work(faces: int, side: int) -> Work:
    """Six values of a square, nine at rest and six of the result for each pixel, each once; about
    730 operations, for each compares the nine around it."""
    pixels = faces * side * side
    return Work(bytes=pixels * (6 + 9 + 6) * 4, flops=pixels * 730)
