"""Rendering many avatars at once, with all that does not change from frame to frame done before.

The pictures are those of `FlowWarpGenerator`; what is done otherwise:

- Every layer's modulation is linear in the latent, which is an avatar's start plus the basis times
  the code. So an avatar caches the modulation of its start, and one small product adds the code's.
- Colours come from warped features by a 1x1 convolution, which may as well come before the warp: an
  avatar caches three channels for it. The last level needs no other features.
- The warp reads four rows of a table and adds them with weights that hold the mask as well. All
  avatars lie in one table, so nothing is copied to batch them.
- Channels come last in memory, and large float32 convolutions on a CPU are done by `Winograd`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.anitalker.config import Precision
from pipelines.anitalker.layers import StyledConv, base_grid, blur, double, leaky, warp
from pipelines.anitalker.renderer import FlowWarp, Level
from pipelines.anitalker.winograd import TILE, Winograd

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WINOGRAD_WIDTH = 192  # channels from which it is faster than the processor's own convolution


class CachedRenderer:
    """Slots that hold an identity each; any of them render together.

    model: is moved to `device`; its generator is not needed afterwards. precision: of features and
    convolutions; flows and colours are float32 always.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: FlowWarp,
        slots: int,
        *,
        precision: Precision = "float32",
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = model.config
        self.slots = slots
        self._device = torch.device(device)
        self._dtype = _DTYPES[precision]
        model = model.to(self._device)
        self._encoder, self._motion, generator = model.encoder, model.motion, model.generator
        levels: list[Level] = list(generator.levels)  # type: ignore[arg-type]
        styled = [generator.first, *[part for x in levels for part in (x.up, x.plain, x.flow)]]
        self._modulation = torch.cat([part.modulation.scaled() for part in styled])
        self._modulation_bias = torch.cat([part.modulation.bias for part in styled])
        self._style_widths = [part.modulation.bias.numel() for part in styled]
        self._directions = (self._modulation @ generator.basis()).T.contiguous()
        self._constant = self._cast(generator.constant[None])
        self._first = _Conv(generator.first, self._dtype, size=4)
        sizes = self.config.level_sizes
        pairs = zip(levels, sizes, strict=True)
        self._levels = [_Level(level, self._dtype, size) for level, size in pairs]
        self._styles = torch.zeros(slots, len(self._modulation), device=self._device)
        self._tables = [
            torch.zeros(slots * size**2, width, dtype=self._dtype, device=self._device)
            for size, width in zip(sizes[:-1], self.config.level_widths, strict=False)
        ]
        self._colours = [torch.zeros(slots, 3, size, size, device=self._device) for size in sizes]

    @torch.inference_mode()
    def bake(self, picture: Tensor) -> dict[str, Tensor]:
        """What an identity caches, from its picture float32 [3, size, size] in [-1, 1].

        Returns:
            float32, on the CPU: `start` [latent] and `code` [motion] for motion models; `styles`;
            `maps.0` and on, [n * n, C], and `colours.0` and on, [3, n, n], 8 px first.

        Raises:
            ValueError: a picture of another size.
        """
        maps, start = self._encoder(picture[None].to(self._device))
        baked = {"start": start[0], "code": self._motion(start)[0]}
        baked["styles"] = start[0] @ self._modulation.T + self._modulation_bias
        for i, (level, features) in enumerate(zip(self._levels, maps, strict=True)):
            baked[f"colours.{i}"] = F.conv2d(features, level.colours)[0]
            if i < len(self._tables):
                baked[f"maps.{i}"] = features[0].flatten(1).T
        return {name: value.cpu().contiguous() for name, value in baked.items()}

    @torch.inference_mode()
    def set(self, slot: int, baked: dict[str, Tensor]) -> None:
        """Give a slot an identity; the next frame shows it.

        Raises:
            ValueError: no such slot, or tensors of another model.
        """
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} of {self.slots}")
        held = {"styles": self._styles[slot]}
        for i, table in enumerate(self._tables):
            held[f"maps.{i}"] = table.view(self.slots, -1, table.shape[1])[slot]
        for i, colours in enumerate(self._colours):
            held[f"colours.{i}"] = colours[slot]
        for name, target in held.items():
            if name not in baked or baked[name].shape != target.shape:
                found = list(baked[name].shape) if name in baked else "nothing"
                raise ValueError(f"{name}: expected {list(target.shape)}, found {found}")
        for name, target in held.items():
            target.copy_(baked[name])

    @torch.inference_mode()
    def render(self, codes: Tensor, slots: list[int]) -> Tensor:
        """Pictures of some slots, each in its own motion.

        codes float32 [n, motion]; returns float32 [n, 3, size, size] in [-1, 1].

        Raises:
            ValueError: no such slot, or not one code for each.
        """
        if codes.shape != (len(slots), self.config.motion_dim):
            raise ValueError(f"codes are {list(codes.shape)} for {len(slots)} slots")
        if not all(0 <= slot < self.slots for slot in slots):
            raise ValueError(f"slots {slots} of {self.slots}")
        chosen = torch.tensor(slots, device=self._device)
        styles = self._styles[chosen] + codes.to(self._device) @ self._directions
        first, *rest = torch.split(styles, self._style_widths, dim=1)
        x = self._first(self._constant, first)
        flow: Tensor | None = None
        image: Tensor | None = None
        for i, level in enumerate(self._levels):
            x, flow = level.features(x, flow, tuple(rest[3 * i : 3 * i + 3]))
            image = level.picture(self._colours[i][chosen], flow, image)
            if i < len(self._tables):
                x = _mix(x, self._tables[i], flow, chosen)
        assert image is not None
        return image.clamp(-1.0, 1.0)

    def _cast(self, x: Tensor) -> Tensor:
        """In the precision and memory order of the convolutions."""
        return x.to(self._dtype, memory_format=torch.channels_last)


class _Level:
    """A `Level`, prepared."""

    def __init__(self, level: Level, dtype: torch.dtype, size: int) -> None:
        self._up = _Conv(level.up, dtype, size)
        self._plain = _Conv(level.plain, dtype, size)
        self._flow, self._flow_bias = level.flow.scaled(), level.flow.bias[:, None, None]
        self.colours = level.rgb.colours.scaled()  # [3, C, 1, 1]
        self._colour_bias, self._bias = level.rgb.colours.bias, level.rgb.bias[:, None, None]

    def features(
        self, x: Tensor, last: Tensor | None, styles: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Features of the level below [n, in, s/2, s/2] -> [n, out, s, s], and the flow there."""
        up, plain, flow_style = styles
        x = self._plain(self._up(x, up), plain)
        matrix = (self._flow * flow_style[:, None]).transpose(1, 2)  # [n, out, 3]
        count, _, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, -1)
        flow = (pixels @ matrix.to(x.dtype)).float().transpose(1, 2)
        flow = flow.reshape(count, 3, height, width) + self._flow_bias
        return x, flow if last is None else flow + double(last)

    def picture(self, colours: Tensor, flow: Tensor, last: Tensor | None) -> Tensor:
        """Warp what the colours of the source are made of, and add the picture of the level below.

        colours and flow [n, 3, s, s], last [n, 3, s/2, s/2].
        """
        picture = leaky(warp(colours, flow), self._colour_bias) + self._bias
        return picture if last is None else picture + double(last)


class _Conv:
    """A `StyledConv`, prepared for pictures of `size` pixels."""

    def __init__(self, layer: StyledConv, dtype: torch.dtype, size: int) -> None:
        kernel = layer.scaled()
        self._energy = kernel.square().sum((2, 3)).T.contiguous()  # [in, out]
        self._bias = (layer.bias * math.sqrt(2.0))[:, None, None].to(dtype)
        self._run = _doubling(kernel, dtype) if layer.up else _plain(kernel, dtype, size)
        self._dtype = dtype

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:
        """x [n, in, H, W] and style float32 [n, in] -> [n, out, ...]."""
        gain = torch.rsqrt(style.square() @ self._energy + 1e-8) * math.sqrt(2.0)
        y = self._run(x * style.to(self._dtype)[:, :, None, None])
        y = torch.addcmul(self._bias, y, gain.to(self._dtype)[:, :, None, None])
        return F.leaky_relu_(y, 0.2)


def _plain(kernel: Tensor, dtype: torch.dtype, size: int) -> Callable[[Tensor], Tensor]:
    """Convolution that keeps the size."""
    large = kernel.shape[0] >= _WINOGRAD_WIDTH and size >= 4 * TILE
    if large and dtype is torch.float32 and kernel.device.type == "cpu":
        return Winograd(kernel)
    held = kernel.to(dtype, memory_format=torch.channels_last)
    return lambda x: F.conv2d(x, held, padding=1)


def _doubling(kernel: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Convolution of twice the size: zeros between the samples, then smoothing."""
    held = (4.0 * kernel.transpose(0, 1)).to(dtype, memory_format=torch.channels_last)
    return lambda x: blur(F.conv_transpose2d(x, held, stride=2), pad=1)


def _mix(x: Tensor, table: Tensor, flow: Tensor, slots: Tensor) -> Tensor:
    """Warped features where the mask is 1, and x [n, C, s, s] where it is 0.

    table [all slots * s * s, C] holds the features of all; flow is [n, 3, s, s].
    """
    size = flow.shape[-1]
    mask = flow[:, 2].sigmoid()
    rows, weights = _lookup(flow, mask, slots)
    warped = F.embedding_bag(rows, table, per_sample_weights=weights.to(table.dtype), mode="sum")
    warped = warped.view(len(slots), size, size, -1).permute(0, 3, 1, 2)
    return torch.addcmul(warped, x, (1.0 - mask)[:, None].to(x.dtype))


def _lookup(flow: Tensor, mask: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of the table make each pixel, and by which weights: both [n * s * s, 4].

    That is `warp`: bilinear, with zeros outside.
    """
    size = flow.shape[-1]
    place = (flow[:, :2].tanh() + base_grid(size, flow) + 1.0) * (size / 2) - 0.5
    corner = place.floor()
    share = place - corner
    first = (slots * size * size)[:, None, None]
    rows, weights = [], []
    for dy in (0, 1):
        y = corner[:, 1] + dy
        along_y = mask * (share[:, 1] if dy else 1.0 - share[:, 1]) * ((y >= 0) & (y < size))
        start = first + y.clamp(0, size - 1).long() * size
        for dx in (0, 1):
            x = corner[:, 0] + dx
            along_x = (share[:, 0] if dx else 1.0 - share[:, 0]) * ((x >= 0) & (x < size))
            rows.append(start + x.clamp(0, size - 1).long())
            weights.append(along_y * along_x)
    return torch.stack(rows, -1).view(-1, 4), torch.stack(weights, -1).view(-1, 4)
