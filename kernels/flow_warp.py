"""A source's features and colours where a flow points, blended with what is drawn there."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_flow_warp as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def warp_blend(
    x: Tensor,
    grid: Tensor,
    mask: Tensor,
    table: Tensor,
    slots: Tensor,
    then: Tensor | None = None,
) -> Tensor:
    """Warped features of the source where the mask is 1, and `x` where it is 0.

        (mask * table at grid + (1 - mask) * x) * then

    They are read from all slots' table at once, and nothing is copied to batch them.

    Args:
        x: float32, float16 or bfloat16 [n, C, s, s], best with its channels last in memory.
        grid: float32 [n, 2, s, s], x and y as `grid_sample` takes them; zeros are outside.
        mask: float32 [n, 1, s, s] in [0, 1].
        table: as x, [slots * s * s, C], features pixel by pixel.
        slots: int64 [n].
        then: float32 [n, C], the style of the layer that comes next, if one does.

    Returns:
        As `x`, computed in float32 and rounded once.

    Raises:
        ValueError: shapes that do not go together.
    """
    n, channels, size, _ = x.shape
    _check(n, size, grid, mask, slots)
    if table.shape[1:] != (channels,) or table.shape[0] % size**2 or table.dtype != x.dtype:
        raise ValueError(
            f"a table {tuple(table.shape)} of {table.dtype} for features {tuple(x.shape)} of "
            f"{x.dtype}"
        )
    if then is not None and then.shape != (n, channels):
        raise ValueError(f"then is {tuple(then.shape)} for features {tuple(x.shape)}")
    if use_triton(x, grid, mask, as_they_lie=(table, slots)):
        from kernels.flow_warp_triton import warp_blend as launch

        return launch(x, grid, mask, table, slots, then)
    return reference.warp_blend(x, grid, mask, table, slots, then)


def warp_colours(
    colours: Tensor,
    grid: Tensor,
    mask: Tensor,
    slots: Tensor,
    biases: Tensor,
    painted: Tensor | None = None,
    last: Tensor | None = None,
) -> Tensor:
    """The picture of a level: warped colours, paint where they are hidden, the level below.

        sqrt(2) * leaky(mask * colours at grid + inner) + outer
            + (1 - mask) * (painted + paint) + twice as large the last

    Args:
        colours: float32 [slots, 3, s, s].
        grid, mask, slots: as for `warp_blend`.
        biases: float32 [3, 3], of inner, outer and paint the three colours'.
        painted: [n, 3, s, s] of any precision, if there is paint.
        last: float32 [n, 3, s / 2, s / 2], if there is a level below.

    Returns:
        float32 [n, 3, s, s].

    Raises:
        ValueError: shapes that do not go together.
    """
    n, size = len(slots), colours.shape[-1]
    _check(n, size, grid, mask, slots)
    if colours.shape[1:] != (3, size, size) or biases.shape != (3, 3):
        raise ValueError(f"colours {tuple(colours.shape)} with biases {tuple(biases.shape)}")
    for name, held, side in (("painted", painted, size), ("last", last, size // 2)):
        if held is not None and held.shape != (n, 3, side, side):
            raise ValueError(f"{name} is {tuple(held.shape)} for {n} pictures of {size} px")
    if use_triton(grid, mask, as_they_lie=(colours, slots, biases)):
        from kernels.flow_warp_triton import warp_colours as launch

        return launch(colours, grid, mask, slots, biases, painted, last)
    return reference.warp_colours(colours, grid, mask, slots, biases, painted, last)


def _check(n: int, size: int, grid: Tensor, mask: Tensor, slots: Tensor) -> None:
    shapes = (n, 2, size, size), (n, 1, size, size), (n,)
    found = tuple(tuple(held.shape) for held in (grid, mask, slots))
    if found != shapes:
        raise ValueError(f"grid, mask and slots are {found}, not {shapes}")


def blend_work(faces: int, channels: int, size: int, value_bytes: int) -> Work:
    """Of `warp_blend`: features, table and result once, and 12 bytes of flow for each pixel; 11
    operations a value."""
    values = faces * channels * size * size
    moved = 3 * values * value_bytes + faces * size * size * 12
    return Work(bytes=moved, flops=values * 11)


def colours_work(faces: int, size: int, paint_bytes: int = 0, *, first: bool = False) -> Work:
    """Of `warp_colours`: flow, colours and picture, paint of so many bytes a value if there is any,
    and a quarter as many values of the level below; 25 operations a value."""
    values = 3 * faces * size * size
    moved = values * (4 + 4 + 4 + paint_bytes) + (0 if first else values)
    return Work(bytes=moved, flops=values * 25)
