"""Rendering many avatars at once, with all that does not change from frame to frame done before.

The pictures are those of `FlowWarpGenerator`; what is done otherwise:

- Every layer's modulation is linear in the latent, which is an avatar's start plus the basis times
  the code. So an avatar caches the modulation of its start, and one small product adds the code's.
- Colours are taken before the warp, and features of the last level not warped at all.
- Features are warped out of one table of all avatars, by weights that hold the mask as well.
- The motion head's linear layers are one, and the basis is orthonormalised once.
- Channels come last in memory, and large float32 convolutions on a CPU are done by `Winograd`.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.anitalker.config import Precision
from pipelines.anitalker.network import FlowWarp, Level
from pipelines.anitalker.prepared import PreparedConv, PreparedLevel
from pipelines.identity import IdentityFeatures
from pipelines.photo.tones import tone_of, toned

BAKED = "baked."
"""Prefix of what a network caches, among the arrays of an identity."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_VALUES = 1 << 22  # of the largest feature map; larger batches fall out of a CPU's caches


class Squares(NamedTuple):
    """Frames of some slots.

    pictures: float32 [n, 3, size, size] in [-1, 1]. looks: [n, 2, size, size], where in the
    source's picture each pixel looks, x and y as in `grid_sample`. masks: [n, 1, size, size] in
    [0, 1], how much it shows of what it sees there.
    """

    pictures: Tensor
    looks: Tensor
    masks: Tensor


class BatchedNetwork:
    """Slots that hold an identity each; any of them render together.

    model: stays as and where it is. precision: of features and convolutions; flows and colours are
    float32 always.
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
        self.device = torch.device(device)
        if next(model.parameters()).device != self.device:
            model = copy.deepcopy(model).to(self.device)  # others may use it where it is
        self._encoder, self._leave_identity = model.encoder, model.motion.leave_identity
        self._to_code, self._rest = model.motion.folded(), model.rest
        generator = model.generator
        dtype, sizes = _DTYPES[precision], self.config.level_sizes
        self._constant = generator.constant[None].to(dtype, memory_format=torch.channels_last)
        self._first = PreparedConv(generator.first, dtype, size=4)
        levels: list[Level] = list(generator.levels)  # type: ignore[arg-type]
        self._levels = [
            PreparedLevel(level, dtype, size, slots, last=size == self.config.size)
            for level, size in zip(levels, sizes, strict=True)
        ]
        modulations = [generator.first.modulation]
        for level in levels:
            modulations += [part.modulation for part in (level.up, level.plain, level.flow)]
        self._modulation = torch.cat([part.scaled() for part in modulations])
        self._modulation_bias = torch.cat([part.bias for part in modulations])
        self._style_widths = [len(part.bias) for part in modulations]
        self._directions = (self._modulation @ generator.basis()).T.contiguous()
        self._styles = self._modulation.new_zeros(slots, len(self._modulation))
        self._tones = torch.eye(3, 4, device=self.device).repeat(slots, 1, 1)

    @torch.inference_mode()
    def bake(self, picture: Tensor) -> dict[str, Tensor]:
        """What an identity caches, from its picture float32 [3, size, size] in [-1, 1].

        Returns:
            float32, on the CPU: for motion models `start` [latent] and `code` [motion], that of
            rest; `styles`; `tone` [3, 4] as `tone_of`; for each level from 8 px on, `0.map`
            [n * n, C] (not of the last) and `0.colours` [3, n, n].

        Raises:
            ValueError: a picture of another size.
        """
        maps, start = self._encoder(picture[None].to(self.device))
        code = F.linear(self._leave_identity(start), *self._to_code)
        if self._rest is not None:
            code = self._rest[None]
        styles = F.linear(start, self._modulation, self._modulation_bias)
        baked = {"start": start[0], "code": code[0], "styles": styles[0], "tone": tone_of(picture)}
        for i, (level, features) in enumerate(zip(self._levels, maps, strict=True)):
            baked |= {f"{i}.{name}": value for name, value in level.bake(features).items()}
        return {name: value.cpu().contiguous() for name, value in baked.items()}

    @torch.inference_mode()
    def set(self, slot: int, baked: dict[str, Tensor]) -> None:
        """Give a slot an identity; the next frame shows it.

        Raises:
            ValueError: no such slot, or tensors of another model.
        """
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} of {self.slots}")
        held = {"styles": self._styles[slot], "tone": self._tones[slot]}
        for i, level in enumerate(self._levels):
            held |= {f"{i}.{name}": value for name, value in level.held(slot).items()}
        for name, target in held.items():
            if name not in baked or baked[name].shape != target.shape:
                found = list(baked[name].shape) if name in baked else "nothing"
                raise ValueError(f"{name}: expected {list(target.shape)}, found {found}")
        for name, target in held.items():
            target.copy_(baked[name])

    def render(self, codes: Tensor, slots: list[int]) -> Tensor:
        """The pictures of `draw` alone."""
        return self.draw(codes, slots).pictures

    @torch.inference_mode()
    def draw(self, codes: Tensor, slots: list[int]) -> Squares:
        """Some slots, each in its own motion: codes float32 [n, motion].

        Raises:
            ValueError: no such slot, or not one code for each.
        """
        if codes.shape != (len(slots), self.config.motion_dim):
            raise ValueError(f"codes are {list(codes.shape)} for {len(slots)} slots")
        if not all(0 <= slot < self.slots for slot in slots):
            raise ValueError(f"slots {slots} of {self.slots}")
        if not slots:
            none = codes.new_empty(0, 6, self.config.size, self.config.size, device=self.device)
            return Squares(none[:, :3], none[:, 3:5], none[:, 5:])
        chosen = torch.tensor(slots, device=self.device)
        parts = zip(
            torch.split(codes.to(self.device), self._together),
            torch.split(chosen, self._together),
            strict=True,
        )
        drawn = [self.draw_rows(*part) for part in parts]
        return Squares(*(torch.cat(tensors) for tensors in zip(*drawn, strict=True)))

    @property
    def _together(self) -> int:
        """How many slots to compute at once."""
        if self.device.type != "cpu":
            return self.slots
        return max(1, _CPU_VALUES // (self.config.widths[0] * self.config.size**2))

    def draw_rows(self, codes: Tensor, slots: Tensor) -> Squares:
        """`draw` all at once, of slots that are a tensor, int64 [n], and not looked at: a step that
        a graph can capture. Both lie on the network's device."""
        styles = self._styles[slots] + codes @ self._directions
        first, *rest = torch.split(styles, self._style_widths, dim=1)
        x = self._constant * first.to(self._constant.dtype)[:, :, None, None]
        x = self._first(x, first, rest[0])
        flow: Tensor | None = None
        image: Tensor | None = None
        grid = mask = codes
        for i, level in enumerate(self._levels):
            x, flow, grid, mask = level.features(x, flow, rest[3 * i : 3 * i + 3])
            image = level.picture(x, grid, mask, slots, image)
            if level.table is not None:
                x = level.mix(x, grid, mask, slots, rest[3 * i + 3])
        assert image is not None
        return Squares(toned(image, self._tones[slots]).clamp(-1.0, 1.0), grid, mask)


def baked(identity: IdentityFeatures) -> dict[str, Tensor]:
    """What `bake` gave of an identity."""
    return {
        name.removeprefix(BAKED): tensor
        for name, tensor in identity.tensors.items()
        if name.startswith(BAKED)
    }
