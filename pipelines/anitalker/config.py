"""Sizes of the renderer: the published ones, and ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class RendererConfig:
    """Sizes of a `FlowWarp`.

    The encoder's feature maps have `widths` channels from `size` pixels down to 4; the generator
    mirrors them from 4 pixels up.
    """

    size: int = 256  # pixels of the picture's edge, a power of two
    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512)  # size, size/2, ..., 4 px
    latent_dim: int = 512
    motion_dim: int = 20  # numbers of a motion code
    motion_layers: int = 5  # of the linear chain that ends the motion head
    paints: bool = False  # whether the generator paints what it hides of the source

    def __post_init__(self) -> None:
        if self.size < 8 or self.size & (self.size - 1):
            raise ValueError(f"size {self.size} is not a power of two from 8 on")
        wanted = self.size.bit_length() - 2
        if len(self.widths) != wanted:
            raise ValueError(f"{len(self.widths)} widths for {self.size} px, which has {wanted}")
        if self.motion_dim > self.latent_dim:
            raise ValueError(
                f"{self.motion_dim} directions do not fit {self.latent_dim} dimensions"
            )

    @property
    def levels(self) -> int:
        """Levels of the generator, each twice as large as the one before: 8, 16, ..., size px."""
        return len(self.widths) - 1

    @property
    def level_widths(self) -> tuple[int, ...]:
        """Channels of the generator's levels, and of the source maps, 8 px first."""
        return self.widths[-2::-1]

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Pixels of the generator's levels, 8 first."""
        return tuple(8 << level for level in range(self.levels))


OFFICIAL = RendererConfig()
SMALL = RendererConfig(size=128, widths=(16, 32, 48, 64, 96, 128), latent_dim=128, paints=True)
RENDERERS = {"official": OFFICIAL, "small": SMALL}
