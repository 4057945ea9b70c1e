"""The generator's layers as `BatchedNetwork` runs them, with the features of all slots.

Each computes what its counterpart in `pipelines.anitalker.layers` and `renderer` computes, from
constants made once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.demodulate import demodulate, smooth_demodulate
from kernels.flow_head import flow_head
from kernels.flow_warp import warp_blend, warp_colours
from pipelines.anitalker.layers import StyledConv, base_grid, smoothing
from pipelines.anitalker.network import Level
from pipelines.anitalker.winograd import TILE, Winograd

_WINOGRAD_WIDTH = 192  # channels from which it is faster than the processor's own convolution


class PreparedConv:
    """A `StyledConv` for pictures of `size` pixels."""

    def __init__(self, layer: StyledConv, dtype: torch.dtype, size: int) -> None:
        kernel = layer.scaled()
        self._energy = kernel.square().sum((2, 3)).T.contiguous()  # [in, out]
        self._bias = layer.bias * math.sqrt(2.0)
        self._smooth: Tensor | None = None
        if layer.up:  # zeros between the samples, then smoothing
            out = kernel.shape[0]
            self._smooth = (4.0 * smoothing(kernel)).to(dtype).expand(out, 1, 4, 4).contiguous()
            held = kernel.transpose(0, 1).to(dtype, memory_format=torch.channels_last)
            self._run: Callable[[Tensor], Tensor] = partial(
                F.conv_transpose2d, weight=held, stride=2
            )
        else:
            self._run = _plain(kernel, dtype, size)

    def __call__(self, x: Tensor, style: Tensor, then: Tensor | None = None) -> Tensor:
        """x [n, in, H, W], times its style already, and style float32 [n, in] -> [n, out, H, W] or
        twice that size, times what comes next if that is given, float32 [n, out]."""
        y, power = self._run(x), style.square() @ self._energy
        if self._smooth is None:
            return demodulate(y, power, self._bias, then)
        return smooth_demodulate(y, self._smooth, power, self._bias, then)


class PreparedLevel:
    """A `Level`, and what it needs of every slot's identity.

    colours: float32 [slots, 3, s, s], the source's features as the RGB head sees them; being a 1x1
    convolution, it may as well come before the warp. table: [slots * s * s, C], the features
    themselves, pixel by pixel; none at the last level, from which only colours go on.
    """

    def __init__(
        self, level: Level, dtype: torch.dtype, size: int, slots: int, *, last: bool
    ) -> None:
        self._up = PreparedConv(level.up, dtype, size)
        self._plain = PreparedConv(level.plain, dtype, size)
        self._flow, self._flow_bias = level.flow.scaled(), level.flow.bias
        self._rgb = level.rgb.colours.scaled()  # [3, C, 1, 1]
        biases = [level.rgb.colours.bias, level.rgb.bias, torch.zeros_like(level.rgb.bias)]
        self._paint: Tensor | None = None
        if level.paint is not None:
            self._paint = level.paint.colours.scaled().to(dtype)  # [3, C, 1, 1]
            biases[2] = level.paint.bias
        self._biases = torch.stack(biases)
        self._grid = base_grid(size, self._flow)
        self._size = size
        self.colours = self._flow.new_zeros(slots, 3, size, size)
        self.table: Tensor | None = None
        if not last:
            width = self._flow.shape[1]
            self.table = self._flow.new_zeros(slots * size**2, width, dtype=dtype)

    def bake(self, features: Tensor) -> dict[str, Tensor]:
        """What one identity puts here, of its features [1, C, s, s]."""
        baked = {"colours": F.conv2d(features, self._rgb)[0]}
        if self.table is not None:
            baked["map"] = features[0].flatten(1).T
        return baked

    def held(self, slot: int) -> dict[str, Tensor]:
        """Views of where a slot's identity lies, by the names of `bake`."""
        held = {"colours": self.colours[slot]}
        if self.table is not None:
            pixels = self._size**2
            held["map"] = self.table[slot * pixels : (slot + 1) * pixels]
        return held

    def features(
        self, x: Tensor, last: Tensor | None, styles: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x [n, in, s/2, s/2] of the level below, times the first of the three layers' styles, and
        that level's flow.

        Returns:
            Features [n, C, s, s], not mixed with the source's yet, and raw flow [n, 3, s, s]; where
            each pixel looks, [n, 2, s, s] in [-2, 2], and its mask [n, 1, s, s].
        """
        up, plain, flow_style = styles
        x = self._plain(self._up(x, up, plain), plain)
        return x, *flow_head(x, self._flow, flow_style, self._flow_bias, self._grid, last)

    def picture(
        self, x: Tensor, grid: Tensor, mask: Tensor, slots: Tensor, last: Tensor | None
    ) -> Tensor:
        """Warped colours and paint, added to the picture of the level below: [n, 3, s, s]."""
        painted = None if self._paint is None else F.conv2d(x, self._paint)
        return warp_colours(self.colours, grid, mask, slots, self._biases, painted, last)

    def mix(self, x: Tensor, grid: Tensor, mask: Tensor, slots: Tensor, then: Tensor) -> Tensor:
        """Warped features of the source where the mask is 1, and x [n, C, s, s] where it is 0,
        times what comes next, float32 [n, C]."""
        assert self.table is not None
        return warp_blend(x, grid, mask, self.table, slots, then)


def _plain(kernel: Tensor, dtype: torch.dtype, size: int) -> Callable[[Tensor], Tensor]:
    """Convolution that keeps the size."""
    large = kernel.shape[0] >= _WINOGRAD_WIDTH and size >= 4 * TILE
    if large and dtype is torch.float32 and kernel.device.type == "cpu":
        return Winograd(kernel)
    held = kernel.to(dtype, memory_format=torch.channels_last)
    return lambda x: F.conv2d(x, held, padding=1)
