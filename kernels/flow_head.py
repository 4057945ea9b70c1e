"""Features to a flow, added to that of the level below; where that looks, and how much it shows."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_flow_warp as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def flow_head(
    x: Tensor, weight: Tensor, style: Tensor, bias: Tensor, base: Tensor, last: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Three channels of flow by a modulated 1 x 1 convolution, and twice as large the last.

    Args:
        x: float32, float16 or bfloat16 [n, C, s, s], best with its channels last in memory.
        weight: float32 [3, C].
        style: float32 [n, C], of each picture's channels.
        bias: float32 [3].
        base: float32 [1, 2, s, s], where pixels look without flow.
        last: float32 [n, 3, s / 2, s / 2], the flow of the level below, if there is one.

    Returns:
        float32: the raw flow [n, 3, s, s]; where each pixel looks, [n, 2, s, s], `base` and the
        flow's tanh; and its mask [n, 1, s, s], the third channel's sigmoid.

    Raises:
        ValueError: shapes that do not go together.
    """
    n, channels, size, _ = x.shape
    if weight.shape != (3, channels) or style.shape != (n, channels) or bias.shape != (3,):
        raise ValueError(
            f"weight {tuple(weight.shape)}, style {tuple(style.shape)} and bias "
            f"{tuple(bias.shape)} for features {tuple(x.shape)}"
        )
    if base.shape != (1, 2, size, size):
        raise ValueError(f"base is {tuple(base.shape)} for features {tuple(x.shape)}")
    if last is not None and last.shape != (n, 3, size // 2, size // 2):
        raise ValueError(f"last is {tuple(last.shape)} for {n} flows of {size} px")
    if use_triton(x, weight, style, base, as_they_lie=(bias,)):
        from kernels.flow_head_triton import flow_head as launch

        return launch(x, weight, style, bias, base, last)
    return reference.flow_head(x, weight, style, bias, base, last)


def work(faces: int, channels: int, size: int, value_bytes: int, *, first: bool = False) -> Work:
    """Of one level: features read, six values written for each pixel, and three a quarter as often
    of the level below; nine operations for each value, and 60 for each pixel."""
    pixels = faces * size * size
    moved = pixels * (channels * value_bytes + 24 + (0 if first else 3))
    return Work(bytes=moved, flops=pixels * (channels * 9 + 60))
