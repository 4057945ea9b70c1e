"""What the pipeline is made of and how it is played, without a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Precision = Literal["float32", "bfloat16", "float16"]

# What a weights file's metadata say under `kind`: of published files that were imported; of ours, a
# map from motion to code and a generator of codes.
PUBLISHED_RENDERER, PUBLISHED_GENERATOR = "anitalker-stage1", "anitalker-stage2"
MAPPED, GENERATED = "anitalker-motion", "anitalker-generator"


@dataclass(frozen=True, kw_only=True)
class Playing:
    """How a published motion generator is played as a stream; lengths in frames of 40 ms."""

    context: int = 20
    ahead: int = 5  # frames heard before a frame is drawn, which the viewer waits for
    steps: int = 5  # of denoising per frame; counts that divide evenly, see `ddim_levels`
    smoothing: float = 0.0  # share of the frame before in a frame, in [0, 1)
    pose: bool = False  # where it takes a head pose: give it ours instead of its own prediction
    hubert: str = ""  # folder of chinese-hubert-large, for the generators that hear by it

    def __post_init__(self) -> None:
        if self.context < 0 or self.ahead < 0:
            raise ValueError(f"context and ahead must not be negative, got {self}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {self.smoothing}")


@dataclass(frozen=True, kw_only=True)
class AniTalkerOptions:
    """`[pipeline.anitalker]`: names of weights, and how they are run."""

    renderer_weights: str = "anitalker-renderer"
    motion_weights: str = "anitalker-motion"
    precision: Precision = "float32"  # of the renderer's features
    playing: Playing = Playing()  # of published motion generators

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}"
            )


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
SMALL = RendererConfig(
    size=256,
    widths=(8, 16, 32, 48, 64, 96, 128),
    latent_dim=128,
    motion_dim=40,  # about one for each channel of motion: with 20, lids moved with f and v
    paints=True,
)
RENDERERS = {"official": OFFICIAL, "small": SMALL}
