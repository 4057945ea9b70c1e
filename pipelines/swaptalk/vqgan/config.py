"""What a VQGAN is made of, without a tensor: the public models, and ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

Quantiser = Literal["nearest", "gumbel"]

# What a weights file's metadata say under `kind`: a published file that was imported, and ours.
PUBLISHED_VQGAN, OWN_VQGAN = "vqgan", "swaptalk-vqgan"


@dataclass(frozen=True, kw_only=True)
class VqganConfig:
    """Sizes of a `Vqgan`; the defaults are those of the public model f16-1024.

    A picture enters as patches of `patch` x `patch` pixels, and each level after the first halves
    what the one before had. The decoder mirrors the encoder.
    """

    size: int = 256  # nominal edge of a picture in pixels; any multiples of `factor` can be coded
    patch: int = 1  # pixels along a side of the finest level's cells
    ch: int = 128  # channels that ch_mult multiplies
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)  # by level, finest first
    blocks: int = 2  # residual blocks per level of the encoder
    decoder_blocks: int = 3  # and of the decoder
    attention: tuple[int, ...] = (16,)  # nominal sizes, in cells, of levels that have attention
    groups: int = 32  # of GroupNorm
    code_dim: int = 256
    codes: int = 1024  # of each part
    parts: int = 1  # that a vector is looked up in
    codes_lower: int = 0  # of a codebook of its own for the lower half; 0: one for both
    quantiser: Quantiser = "nearest"
    local_decoder: bool = False  # no attention, no statistics over the picture
    shortcut: bool = False  # a linear way past encoder and decoder, which then learn what is left

    def __post_init__(self) -> None:
        if self.size % (2 * self.factor):
            raise ValueError(f"halves of {self.size} px are no multiples of {self.factor} px")
        if odd := [m * self.ch for m in (1, *self.ch_mult) if m * self.ch % self.groups]:
            raise ValueError(f"{odd} channels cannot be parted into {self.groups} groups")
        if self.quantiser not in get_args(Quantiser):
            raise ValueError(f"quantiser must be nearest or gumbel, got {self.quantiser!r}")
        if self.parts > 1 and self.quantiser != "nearest":
            raise ValueError("only nearest codes are looked up in parts")
        if self.local_decoder and set(self.attention) & set(self.level_sizes):
            raise ValueError("a local decoder has no attention")

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent cell."""
        return self.patch << (len(self.ch_mult) - 1)

    @property
    def grid(self) -> int:
        """Latent cells along a side of a picture of the nominal size."""
        return self.size // self.factor

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Of the codes of a picture of the nominal size: rows, columns, and parts if several."""
        return (self.grid, self.grid, *((self.parts,) if self.parts > 1 else ()))

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Cells along a side of the levels at the nominal size, finest first."""
        return tuple(self.size // self.patch >> level for level in range(len(self.ch_mult)))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the levels, finest first."""
        return tuple(self.ch * multiple for multiple in self.ch_mult)


_F8 = (1, 2, 2, 4)
PUBLIC = {
    "f16-1024": VqganConfig(),
    "f16-16384": VqganConfig(codes=16384),
    "f16-16384x8": VqganConfig(codes=16384, code_dim=8),
    "f8-16384": VqganConfig(ch_mult=_F8, attention=(32,), codes=16384, code_dim=4),
    "f8-256": VqganConfig(ch_mult=_F8, attention=(32,), codes=256, code_dim=4),
    "f4-8192": VqganConfig(ch_mult=(1, 2, 4), attention=(), codes=8192, code_dim=3),
    "gumbel-f8": VqganConfig(ch_mult=(1, 1, 2, 4), attention=(32,), codes=8192, quantiser="gumbel"),
}
"""The public models by our names; all take pictures of 256 px.

f16-1024 are ImageNet, FacesHQ, and the first stages of the FFHQ and CelebA-HQ transformers; from
f16-16384x8 on they are of latent-diffusion, but for the Gumbel one.
"""

SMALL = VqganConfig(
    patch=2, ch=24, ch_mult=(1, 1, 2, 4), blocks=1, decoder_blocks=1, attention=(), groups=8,
    code_dim=64, codes=512, codes_lower=512, parts=16, local_decoder=True, shortcut=True,
)  # fmt: skip
"""Ours: a face of 256 px in 16 x 16 cells, for one core of a CPU (1.0 GFLOP for a lower half).

Patches of 2 x 2 pixels make the finest level 128 cells wide: a picture of 256 px for the work of
one of 128.
"""
SMALL_F8 = replace(SMALL, ch=16, ch_mult=(1, 2, 4))  # the same work, in 32 x 32 cells
LARGE = replace(SMALL, ch=48, blocks=2, decoder_blocks=2)  # for a GPU: 6 GFLOP for a lower half
PRESETS = PUBLIC | {"small": SMALL, "small-f8": SMALL_F8, "large": LARGE}
