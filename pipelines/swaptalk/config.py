"""What swap, lips and their expert are made of, without a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Hears = Literal["mel", "motion"]
"""What drives the lips: see `ears`."""

# What a weights file's metadata say under `kind`.
SWAP, LIPS, EXPERT = "swaptalk-swap", "swaptalk-lips", "swaptalk-expert"


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """The maps that are worked on, float32 [B, dim, rows, columns], the upper half's rows first.

    The defaults are those of a public VQGAN over a face of 256 px.
    """

    dim: int = 256
    rows: int = 16
    columns: int = 16

    def __post_init__(self) -> None:
        if self.rows % 8 or self.columns % 4:
            raise ValueError(f"halves of {self.rows} x {self.columns} cells cannot be halved twice")


SMALL_LATENT = LatentConfig(dim=32)


@dataclass(frozen=True, kw_only=True)
class SwapConfig:
    """Sizes of a `Swap`."""

    latent: LatentConfig = LatentConfig()
    width: int = 512  # of a token
    heads: int = 8
    layers: int = 6
    hidden: int = 2048  # of the feed-forward parts
    classes: int = 1  # of cells, by a face parser; 1 without one
    warp_widths: tuple[int, int, int] = (128, 192, 256)  # of what moves the source's cells


SMALL_SWAP = SwapConfig(
    latent=SMALL_LATENT, width=192, heads=6, layers=4, hidden=384, warp_widths=(48, 64, 96)
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EarConfig:
    """What is heard for one frame, as `tokens` tokens: its own and those of its neighbours."""

    hears: Hears = "motion"
    tokens: int = 5  # neighbouring frames, in order
    ahead: int = 2  # how many of them come after the frame that is drawn; the viewer waits for them
    width: int = 512  # of a token

    def __post_init__(self) -> None:
        if self.hears not in get_args(Hears):
            raise ValueError(f"hears must be one of {get_args(Hears)}, got {self.hears!r}")
        if not 0 <= self.ahead < self.tokens:
            raise ValueError(f"ahead must be less than {self.tokens} tokens, got {self.ahead}")


@dataclass(frozen=True, kw_only=True)
class LipConfig:
    """Sizes of a `LipSync`. Widths are those of three sizes, each half of the one before."""

    latent: LatentConfig = LatentConfig()
    ear: EarConfig = EarConfig()
    warp_widths: tuple[int, int, int] = (128, 192, 256)
    widths: tuple[int, int, int] = (256, 512, 512)
    heads: int = 8


SMALL_LIPS = LipConfig(
    latent=SMALL_LATENT, ear=EarConfig(ahead=0, width=128), warp_widths=(48, 64, 96),
    widths=(96, 128, 160), heads=4,
)  # fmt: skip
"""Ours. Motion already looks ahead, so its frames are those up to the one that is drawn."""


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """Sizes of a `SyncExpert`."""

    latent: LatentConfig = LatentConfig()
    hears: Hears = "motion"
    frames: int = 5  # consecutive lower halves that are judged at once
    widths: tuple[int, int, int] = (256, 256, 512)  # of the maps; each half the size of the last
    embedding: int = 512


SMALL_EXPERT = ExpertConfig(latent=SMALL_LATENT, widths=(96, 128, 192), embedding=128)
