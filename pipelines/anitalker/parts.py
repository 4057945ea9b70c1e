"""The `anitalker` preset: our small weights, or published ones that were imported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import torch

from pipelines.anitalker import enrol
from pipelines.anitalker import import_generator as checkpoints_stage2
from pipelines.anitalker.batched import CachedRenderer
from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.mapped_codes import MappedCodes
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.paste import BACKINGS
from pipelines.anitalker.published_codes import PublishedCodes, listener
from pipelines.anitalker.render import AniTalkerRenderer
from pipelines.anitalker.weights import (
    DRAWN,
    find_pair,
    load_generator,
    load_map,
    load_renderer,
)
from pipelines.audio.mel import MelConfig
from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.model import MotionModel
from pipelines.motion.models import portrait_motion
from pipelines.parts import Parts
from pipelines.photo.crop import CANVAS
from pipelines.presets import Preset
from pipelines.weights import read_metadata


class AniTalkerParts(Parts):
    """See `pipelines.parts.Parts`. Raises ValueError where weights are missing or do not fit."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        renderer, motion = find_pair(preset.renderer_weights, preset.motion_weights)
        with renderer.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._kind = read_metadata(motion).get("kind")

    @cached_property
    def _model(self) -> FlowWarp:
        return load_renderer(self.preset.renderer_weights)

    def identity_key(self, photo: bytes) -> str:
        crop = f"head-and-shoulders-{CANVAS}-square-{self._digest}"
        return content_key(photo, crop, enrol.PRESET, enrol.FORMAT_VERSION)

    def enrol(self, photo: bytes) -> IdentityFeatures:
        return enrol.enrol(photo, CachedRenderer(self._model, 1), self.identity_key(photo))

    def motion(self) -> MotionModel:
        name = self.preset.motion_weights
        if self._kind == DRAWN:
            return GeneratedCodes(MelConfig(), load_generator(name))
        if self._kind == checkpoints_stage2.KIND:
            generator = load_generator(name)
            hearing = listener(generator, self.preset.playing.hubert)
            return PublishedCodes(generator, hearing, self.preset.playing)
        to_code = load_map(name)
        return MappedCodes(portrait_motion(MelConfig()), to_code)

    def renderers(
        self, slots: int, device: torch.device | str
    ) -> Callable[[int], AniTalkerRenderer]:
        BACKINGS.make_room(slots * len(self.preset.sizes))
        precision = self.preset.precision
        network = CachedRenderer(self._model, slots, precision=precision, device=device)
        return lambda size: AniTalkerRenderer(network, slots, size, device)

    def prepare(self, identity: IdentityFeatures, size: int, device: torch.device | str) -> None:
        BACKINGS.get(identity, size, torch.device(device))
