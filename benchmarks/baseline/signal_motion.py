"""Motion from the signal itself: no weights. The baseline that trained models must beat.

features -> Voice (noise, loudness, gate) -> Lips  ─┐
                               behaviour, stress -> IdleMotion -> motion of one frame per hop
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.baseline.signal_lips import Lips, LipsConfig
from pipelines.audio.mel import MelConfig
from pipelines.motion.hearing import behaviour
from pipelines.motion.idle import IdleMotion, IdleState
from pipelines.motion.model import MotionModel
from pipelines.motion.voice import VOICE, Voice, VoiceConfig, VoiceState
from pipelines.streaming import SlotState

LOOK_AHEAD_HOPS = 2  # in all, the features' own included


@dataclass
class SignalState(SlotState):
    voice: VoiceState
    idle: IdleState


class SignalMotion(MotionModel):
    """Features in, one frame of motion per hop out, `look_ahead` samples late."""

    def __init__(
        self,
        mel: MelConfig,
        seed: int = 0,
        voice: VoiceConfig | None = None,
        lips: LipsConfig | None = None,
    ) -> None:
        super().__init__(mel, seed)
        self.voice = Voice(mel, voice)
        self.lips = Lips(self.voice.config.history, lips)
        self.idle = IdleMotion()

    @property
    def delay(self) -> int:
        return LOOK_AHEAD_HOPS

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> SignalState:
        seeds = self._seeds(batch, device, seeds)
        return SignalState(self.voice.init_state(batch, device), self.idle.init_state(seeds))

    def set_seed(self, state: SignalState, slots: Tensor, seeds: Tensor) -> None:
        state.idle.set_seed(slots, seeds)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: SignalState,
        active: Tensor,
    ) -> Tensor:
        level = self.voice.step(features, speech, state.voice, active)
        lips = self.lips(level, state.voice.gate * controls[:, 0])
        stress = _stress(level[:, :, VOICE]) * state.voice.gate
        idle = self.idle.step(behaviour(state.voice), stress, controls, state.idle, active)
        motion: Tensor = idle + lips
        return motion.clamp(self.low, self.high)

    def behaviour(self, state: SignalState) -> Tensor:
        return behaviour(state.voice).to(torch.int8)


def _stress(voice: Tensor) -> Tensor:
    """How strongly a syllable has just risen above what went before, [B] in [0, 1]."""
    now, before = voice[:, -10:-5], voice[:, -20:-13]
    rise = (now.mean(1) - before.mean(1) - 8.0) / 12.0
    return rise.clamp(0.0, 1.0) * (now.amax(1) > -5.0)
