"""Motion from the signal itself: no weights. The baseline that trained models must beat.

features -> Voice (noise, loudness, gate) -> Lips  ─┐
                               behaviour, stress -> Life -> motion of one frame per hop
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.audio.mel import MelConfig
from pipelines.motion.hearing import behaviour
from pipelines.motion.life import Life, LifeState
from pipelines.motion.lips import Lips, LipsConfig
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM
from pipelines.motion.voice import VOICE, Voice, VoiceConfig, VoiceState
from pipelines.streaming import SlotState

LOOK_AHEAD_HOPS = 2  # in all, the features' own included


@dataclass
class SignalState(SlotState):
    voice: VoiceState
    life: LifeState


class SignalMotion(nn.Module):
    """Features in, one frame of motion per hop out, `look_ahead` samples late."""

    def __init__(
        self,
        mel: MelConfig,
        seed: int = 0,
        voice: VoiceConfig | None = None,
        lips: LipsConfig | None = None,
    ) -> None:
        super().__init__()
        self.mel = mel
        self.seed = seed
        self.voice = Voice(mel, voice)
        self.lips = Lips(self.voice.config.history, lips)
        self.life = Life()
        shape = torch.arange(MOTION_DIM) < len(BLENDSHAPES)
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.where(shape, 0.0, -math.inf), persistent=False)
        self.register_buffer("high", torch.where(shape, 1.0, math.inf), persistent=False)

    @property
    def hop(self) -> int:
        """Samples per step."""
        return self.mel.hop

    @property
    def look_ahead(self) -> int:
        """In samples; with the features' own, a whole number of hops."""
        return LOOK_AHEAD_HOPS * self.mel.hop - self.mel.look_ahead

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> SignalState:
        """Silent slots; `seeds` (int64 [B]) default to `seed`, `seed` + 1, ..."""
        if seeds is None:
            seeds = torch.arange(batch) + self.seed
        if seeds.shape != (batch,):
            raise ValueError(f"seeds must be [{batch}], got {tuple(seeds.shape)}")
        return SignalState(
            self.voice.init_state(batch, device), self.life.init_state(seeds.to(device))
        )

    def set_seed(self, state: SignalState, slots: Tensor, seeds: Tensor) -> None:
        """From the next frame on, key chance in `slots` (bool [B]) by `seeds` (int64 [B])."""
        state.life.set_seed(slots, seeds)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: SignalState,
        active: Tensor,
    ) -> Tensor:
        """One hop in, motion [B, MOTION_DIM] of the frame `LOOK_AHEAD_HOPS` before it out.

        features float32 [B, 4, D] log power; speech bool [B], whether a voice-activity detector
        hears speech in this hop; controls float32 [B, 4]; active bool [B].
        """
        level = self.voice.step(features, speech, state.voice, active)
        lips = self.lips(level, state.voice.gate * controls[:, 0])
        stress = _stress(level[:, :, VOICE]) * state.voice.gate
        life = self.life.step(behaviour(state.voice), stress, controls, state.life, active)
        motion: Tensor = life + lips
        return motion.clamp(self.low, self.high)

    def forward(self, features: Tensor, speech: Tensor, controls: Tensor) -> Tensor:
        """A whole stream: features [B, 4 T, D], speech bool [B, T] -> motion [B, T, MOTION_DIM].

        Frame n of the stream is at n + `LOOK_AHEAD_HOPS`, as in streaming.
        """
        batch, hops = speech.shape
        state = self.init_state(batch, features.device)
        active = torch.ones(batch, dtype=torch.bool, device=features.device)
        steps = features.reshape(batch, hops, -1, features.shape[2]).unbind(1)
        motion = [
            self.step(x, flag, controls, state, active)
            for x, flag in zip(steps, speech.unbind(1), strict=True)
        ]
        return torch.stack(motion, 1)

    def behaviour(self, state: SignalState) -> Tensor:
        """What each slot does: int8 [B], an index into `pipelines.motion.space.BEHAVIOURS`."""
        return behaviour(state.voice).to(torch.int8)


def _stress(voice: Tensor) -> Tensor:
    """How strongly a syllable has just risen above what went before, [B] in [0, 1]."""
    now, before = voice[:, -10:-5], voice[:, -20:-13]
    rise = (now.mean(1) - before.mean(1) - 8.0) / 12.0
    return rise.clamp(0.0, 1.0) * (now.amax(1) > -5.0)
