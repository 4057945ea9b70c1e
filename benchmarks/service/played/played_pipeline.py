"""A pipeline that plays what `portrait` drew when the face was enrolled, over and over.

Its pictures are as hard to encode as a live face's and cost nothing to draw: so a machine can carry
more sessions than it could draw faces for, and what is measured is what sends them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures, content_key
from pipelines.pipeline import HOP_SAMPLES, Control, Material, Progress, Size
from pipelines.portrait.system import SYSTEM as PORTRAIT

SIZE: Size = (256, 256)
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class PlayedOptions:
    """None."""


class PlayedSystem:
    """See `pipelines.pipeline.System`."""

    name = "played"
    summary = "what portrait drew, played over and over (for benchmarks)"
    sizes: tuple[Size, ...] = (SIZE,)
    controls: tuple[Control, ...] = ()
    motion_names = ()
    accepts = frozenset({"photo"})
    keeps_video = False
    Options = PlayedOptions

    def key(self, material: Material, options: PlayedOptions) -> str:
        return content_key(material.digest().encode(), "whole", self.name, _FORMAT)

    def enrol(
        self, material: Material, options: PlayedOptions, progress: Progress
    ) -> IdentityFeatures:
        """Arrays: frames uint8 [N, 384, 256], I420; preview uint8 [256, 256, 3]."""
        from pipelines.portrait.picture_bytes import rgb_to_i420  # the event loop needs no OpenCV

        drawing = PORTRAIT.Options()
        drawn = list(PORTRAIT.preview(PORTRAIT.enrol(material, drawing, progress), drawing))
        frames = np.stack([rgb_to_i420(frame) for frame in drawn])
        return IdentityFeatures(
            self.key(material, options), {"frames": frames, "preview": drawn[0]}, {}
        )

    def build(self, slots: int, options: PlayedOptions, device: str) -> PlayedPipeline:
        return PlayedPipeline(slots)


SYSTEM = PlayedSystem()


class PlayedPipeline:
    """See `pipelines.pipeline.Pipeline`. A frame is as late as `portrait`'s, by 80 ms."""

    look_ahead = 2 * HOP_SAMPLES
    motion_dim = 0

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._frames: list[NDArray[np.uint8] | None] = [None] * slots
        self._at = [0] * slots

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Nothing takes long."""

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        self._frames[slot] = identity.arrays["frames"]

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        """There are none."""

    def reset(self, slot: int, seed: int) -> None:
        self._at[slot] = seed

    def still(self, slot: int, batch: Batch) -> None:
        self._draw(slot, 0, batch)

    def step(self, batch: Batch) -> None:
        batch.drawn[:] = batch.draw
        for slot in np.flatnonzero(batch.active):
            if batch.draw[slot]:
                self._draw(slot, self._at[slot], batch)
            self._at[slot] += 1

    def _draw(self, slot: int, at: int, batch: Batch) -> None:
        frames = self._frames[slot]
        assert frames is not None, "drawn before set_identity"
        batch.picture(slot)[:] = frames[at % len(frames)]
