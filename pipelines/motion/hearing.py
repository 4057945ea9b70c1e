"""What the motion generator is told of the sound: log-mel rows relative to the speaker.

    log-mel rows, speech flag -> Voice (noise floor, level, gate) -> rows [B, 4, HEARD_DIM]

A microphone's gain drops out: 0 is the level of the speaker's loud parts, as known when the sound
came in. The columns after the bands say what `Voice` makes of it, the same for the rows of a hop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.audio.mel import MelConfig
from pipelines.motion.idle import IDLE, LISTENING, SPEAKING
from pipelines.motion.voice import DB, HANGOVER, VOICE, Voice, VoiceState
from pipelines.pipeline import FPS

LISTENS = 30.0 * FPS  # frames of silence after which a listener idles

_EXTRAS = ("gate", "flag", "speaking", "listening", "noise", "known")
_UNIT = 20.0 * DB  # 20 dB are one unit
LOWEST = -3.5
_HIGHEST = 1.5


class Hearing(nn.Module):
    """Sound features of the motion generator, one hop at a time."""

    def __init__(self, mel: MelConfig) -> None:
        super().__init__()
        self.voice = Voice(mel)
        self.dim = mel.bands + len(_EXTRAS)
        self.rows = mel.steps_per_hop

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> VoiceState:
        return self.voice.init_state(batch, device)

    def silence(self) -> Tensor:
        """The row of a stream that has heard nothing, float32 [dim]."""
        row = torch.zeros(self.dim)
        row[: -len(_EXTRAS)] = LOWEST
        return row

    def step(self, features: Tensor, speech: Tensor, state: VoiceState, active: Tensor) -> Tensor:
        """features [B, 4, bands] log power, speech bool [B] -> rows float32 [B, 4, dim]."""
        self.voice.step(features, speech, state, active)
        peak = state.peak[:, :, None]
        bands = ((features - peak) / _UNIT + 1.0).clamp(LOWEST, _HIGHEST)
        now = behaviour(state)
        extras = torch.stack(
            [
                state.gate,
                speech.float(),
                (now == SPEAKING).float(),
                (now == LISTENING).float(),
                ((state.floor[:, VOICE] - state.peak[:, 0]) / _UNIT).clamp(LOWEST, _HIGHEST),
                (state.known / FPS).clamp(0.0, 1.0),
            ],
            1,
        )
        return torch.cat([bands, extras[:, None].expand(-1, bands.shape[1], -1)], 2)


def behaviour(state: VoiceState) -> Tensor:
    """What each slot does, int64 [B]: `IDLE`, `LISTENING` or `SPEAKING`."""
    silent = torch.where(state.quiet <= LISTENS, LISTENING, IDLE)
    return torch.where(state.quiet <= HANGOVER, SPEAKING, silent)
