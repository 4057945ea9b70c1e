"""The `portrait` preset."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.audio.mel import MelConfig
from pipelines.identity import IdentityFeatures
from pipelines.motion.diffusion import DiffusionMotion
from pipelines.motion.models import portrait_motion
from pipelines.parts import Parts
from pipelines.portrait import bake
from pipelines.portrait.enrol import enrol, identity_key
from pipelines.portrait.render import PortraitRenderer
from pipelines.presets import Preset


class PortraitParts(Parts):
    """See `pipelines.parts.Parts`."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset

    def identity_key(self, photo: bytes) -> str:
        return identity_key(photo)

    def enrol(self, photo: bytes) -> IdentityFeatures:
        return enrol(photo)

    def motion(self) -> DiffusionMotion:
        return portrait_motion(MelConfig(), self.preset.motion_weights)

    def renderers(
        self, slots: int, device: torch.device | str
    ) -> Callable[[int], PortraitRenderer]:
        bake.CACHE.make_room(slots * len(self.preset.sizes))
        return lambda size: PortraitRenderer(slots, size, device)

    def prepare(self, identity: IdentityFeatures, size: int, device: torch.device | str) -> None:
        bake.prepare(identity, size, device)
