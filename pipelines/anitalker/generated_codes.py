"""Motion codes drawn by our own generator, one hop at a time.

    features -> Hearing -> StreamingSampler -> change of the code from that of the photo
    behaviour -> IdleMotion: head, gaze, lids, mood -^ given, for every frame of the window

Sound decides mouth and brows; what a face does beside speaking is told, as published generators are
told the pose. So nothing slow is diffused, and blinks come when they should. Nothing of the past is
shown either: a window is drawn whole, and agrees with the last by its sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.audio.mel import MelConfig
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import Level, flow_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.identity import IdentityFeatures
from pipelines.motion.hearing import Hearing, behaviour
from pipelines.motion.idle import IdleMotion, IdleState
from pipelines.motion.model import MotionModel
from pipelines.motion.space import MOTION_INDEX
from pipelines.motion.voice import VoiceState
from pipelines.streaming import SlotState, masked_write

WINDOW = Window(context=15, new=1, ahead=2)
LEVELS = flow_levels([1.0])
# What is given of IdleMotion's motion, and what counts as 1; both sides do the same.
_GIVEN = {
    "headYaw": 6.0, "headPitch": 4.0, "headRoll": 4.0, "headX": 0.03, "headY": 0.02, "headZ": 0.03,
    "gazeYaw": 6.0, "gazePitch": 4.0, "eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.1,
    "eyeSquintLeft": 0.1,
}  # fmt: skip
_CHANNELS = [MOTION_INDEX[name] for name in _GIVEN]
GIVEN_DIM = len(_GIVEN) + 1


def given(life: Tensor, expression: Tensor) -> Tensor:
    """What the generator is told of a frame, float32 [..., GIVEN_DIM].

    life: [..., MOTION_DIM] as `IdleMotion` draws it; expression: [..., 1], the control of that
    name.
    """
    units = torch.tensor(list(_GIVEN.values()), device=life.device)
    return torch.cat([life[..., _CHANNELS] / units, expression], -1)


@dataclass
class GeneratedState(SlotState):
    voice: VoiceState
    stream: StreamState
    life: IdleState
    given: Tensor  # [B, frames of the window, GIVEN_DIM], the newest last
    own: Tensor  # [B, D]: the code of the face's photo

    def reset(self, slots: Tensor) -> None:
        for part in (self.voice, self.stream, self.life):
            part.reset(slots)
        masked_write(self.given, torch.zeros_like(self.given), slots)  # the face stays


class GeneratedCodes(MotionModel):
    """Motion codes [B, D], `window.ahead` frames late; all controls act."""

    def __init__(
        self,
        mel: MelConfig,
        model: MotionGenerator,
        seed: int = 0,
        window: Window = WINDOW,
        levels: Sequence[Level] = LEVELS,
    ) -> None:
        super().__init__(mel, seed)
        self.hearing = Hearing(mel)
        self.sampler = StreamingSampler(model, window, levels, hidden=model.config.motion_dim)
        self.life = IdleMotion()
        self.silence: Tensor
        self.register_buffer("silence", self.hearing.silence(), persistent=False)

    @property
    def delay(self) -> int:
        return self.sampler.window.ahead

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> GeneratedState:
        seeds = self._seeds(batch, device, seeds)
        still = torch.zeros(batch, self.sampler.model.config.motion_dim, device=device)
        return GeneratedState(
            voice=self.hearing.init_state(batch, device),
            stream=self.sampler.init_state(self.silence.to(device), still, seeds),
            life=self.life.init_state(seeds),
            given=torch.zeros(batch, self.sampler.window.frames, GIVEN_DIM, device=device),
            own=still.clone(),
        )

    def set_seed(self, state: GeneratedState, slots: Tensor, seeds: Tensor) -> None:
        state.stream.set_seed(slots, seeds)
        state.life.set_seed(slots, seeds)

    def set_identity(self, state: GeneratedState, slot: int, identity: IdentityFeatures) -> None:
        state.own[slot] = identity.tensors["code"].to(state.own)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: GeneratedState,
        active: Tensor,
    ) -> Tensor:
        rows = self.hearing.step(features, speech, state.voice, active)
        still = torch.zeros_like(controls[:, 0])
        life = self.life.step(behaviour(state.voice), still, controls, state.life, active)
        told = torch.cat([state.given[:, 1:], given(life, controls[:, :1])[:, None]], 1)
        masked_write(state.given, told, active)
        drawn = self.sampler.step(rows, state.stream, active, given=Given(told))[:, 0]
        return state.own + drawn * self.sampler.model.unit

    def behaviour(self, state: GeneratedState) -> Tensor:
        return behaviour(state.voice).to(torch.int8)
