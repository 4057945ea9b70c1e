"""Settings of the `swaptalk` system: `[pipeline.swaptalk]`. Imports no tensors."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.weights import find_weights


@dataclass(frozen=True, kw_only=True)
class SwapTalkOptions:
    """Names of weights, and how lips hold still.

    vqgan_weights: of the space of faces, imported or ours. lips_weights: of the lips in it.
    swap_weights: of what puts another face in; needed where one is given.
    wav2lip_weights: of an imported Wav2Lip generator; where named it draws, in pixels and from the
    sound itself, in the place of VQGAN and lips, and no other face can be put in.
    motion_weights: of what hears, as for `portrait`. margin: share by which another code must be
    nearer before a cell of the picture changes; 0 flickers most.
    """

    vqgan_weights: str = "swaptalk-vqgan"
    lips_weights: str = "swaptalk-lips"
    swap_weights: str = "swaptalk-swap"
    wav2lip_weights: str = ""
    motion_weights: str = PORTRAIT_WEIGHTS
    margin: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin must lie in [0, 1), got {self.margin}")
        if not all((*self.weights, self.swap_weights, self.motion_weights)):
            raise ValueError("names of weights must not be empty")

    @property
    def weights(self) -> tuple[str, ...]:
        """The networks that draw."""
        if self.wav2lip_weights:
            return (self.wav2lip_weights,)
        return self.vqgan_weights, self.lips_weights


def missing(options: SwapTalkOptions, *, swapped: bool = False) -> str:
    """What must be installed before anything can be drawn, in words; empty if nothing.

    swapped: whether another face is to be put in.
    """
    if options.wav2lip_weights and swapped:
        return "Wav2Lip puts no other face in: leave out the source, or wav2lip_weights"
    absent = []
    for name in (*options.weights, options.swap_weights) if swapped else options.weights:
        try:
            find_weights(name)
        except ValueError:
            absent.append(name)
    if not absent:
        return ""
    if options.wav2lip_weights:
        return (
            f"swaptalk needs weights that are not installed: {options.wav2lip_weights}. Import the "
            f"generator of Wav2Lip (vivavoce weights import wav2lip_gan.pth --as "
            f"{options.wav2lip_weights}), or leave out wav2lip_weights"
        )
    return (
        f"swaptalk needs weights that are not installed: {' and '.join(absent)}. Train them "
        "(docs/training.md), or name others by --set vqgan_weights=NAME, lips_weights=NAME and "
        "swap_weights=NAME"
    )
