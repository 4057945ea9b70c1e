"""Listening: what a voice does in a few bands, apart from its loudness and from noise.

Per slot it follows the noise floor of each band and the level of the loud parts of speech, so that
a microphone's gain and a fan do not matter, and a gate says where anything like a voice is: sound
well above the noise for at least 60 ms, with more benefit of the doubt where a voice-activity
detector hears speech. Clicks and steady noise do not open it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.audio.mel import MelConfig
from pipelines.streaming import SlotState, masked_fill, masked_write

DB = math.log(10.0) / 10.0  # natural-log power per decibel

# Bands in Hz. "voice" holds most of a voice's power; "murmur" what is left with the mouth shut.
BANDS: dict[str, tuple[float, float]] = {
    "murmur": (80.0, 380.0),
    "close": (380.0, 620.0),  # first formant of close and middle vowels
    "open": (620.0, 1_150.0),  # first formant of open vowels
    "back": (1_150.0, 1_700.0),  # second formant of back to central vowels
    "front": (1_700.0, 2_800.0),  # second formant of front vowels
    "upper": (2_800.0, 4_200.0),
    "hiss": (4_200.0, 7_600.0),  # s, sh, f
    "voice": (150.0, 2_800.0),
}
VOICE = list(BANDS).index("voice")
HANGOVER = 10.0  # hops that count as speaking after the voice
_NEVER = 1e6
_KNOWN = 1e3


@dataclass(frozen=True, kw_only=True)
class VoiceConfig:
    """Levels in dB, rates per hop, history in steps of the features."""

    history: int = 24
    hops: int = 3  # flags that count for a frame: its own and those of the look-ahead
    floor_start_db: float = -46.0
    floor_fall: float = 0.35  # share of the way down
    floor_rise_db: float = 0.06  # where speech is flagged
    floor_rise_steady_db: float = 0.4  # and the sound does not change as speech does
    floor_rise_quiet_db: float = 0.6
    steady_db: float = 6.0  # changes less than this in the history kept
    subtract: float = 2.0  # times the noise power
    peak_start_db: float = -34.0  # a common microphone; what is heard soon outweighs it
    peak_attack: float = 0.6  # share of the way up
    peak_release: float = 0.01  # share of the way down, while a voice is there
    peak_learn: float = 0.6  # more until anything was louder: this over the hops heard so far
    gate_steps: int = 6  # a sound must last this long
    gate_db: float = 9.0  # above the noise, where speech is flagged
    gate_unflagged_db: float = 20.0  # where it is not
    gate_least_db: float = -63.0  # below full scale nothing opens it
    gate_depth_db: float = 20.0  # nor this far below the speaker's own level
    gate_keep_db: float = 8.0  # an open gate stays so at this much less
    gate_close: float = 0.25  # of the way shut, per hop


@dataclass
class VoiceState(SlotState):
    power: Tensor  # [B, history, bands]: band power, oldest first
    floor: Tensor  # [B, bands]: log power of the noise
    peak: Tensor  # [B, 1]: log power of the loud parts of speech
    flags: Tensor  # [B, hops]: speech flags as 0 or 1, oldest first
    known: Tensor  # [B]: hops of voice heard; large once one was louder than `peak`
    gate: Tensor  # [B]: 1 open .. 0 shut
    quiet: Tensor  # [B]: hops since the voice; a million before the first
    start: Tensor  # [B, 2]: log power at which floor and peak begin

    def reset(self, slots: Tensor) -> None:
        for held in (self.power, self.flags, self.known, self.gate):
            masked_fill(held, 0, slots)
        masked_write(self.floor, self.start[:, :1].expand_as(self.floor), slots)
        masked_write(self.peak, self.start[:, 1:], slots)
        masked_fill(self.quiet, _NEVER, slots)

    def clear(self, slots: Tensor) -> None:
        """The voice has stopped; what is known of speaker and noise stays, the gate closes."""
        for held in (self.power, self.flags):
            masked_fill(held, 0, slots)
        masked_write(self.quiet, self.quiet.clamp_min(HANGOVER + 1.0), slots)

    def listen(self, slots: Tensor) -> None:
        """Somebody else speaks: as if the own voice had only just fallen silent, where it has."""
        heard = self.quiet.clamp_max(HANGOVER + 1.0)
        masked_write(self.quiet, heard, slots)


class Voice(nn.Module):
    """Log-mel features to band levels below the speaker's own, and a gate."""

    def __init__(self, mel: MelConfig, config: VoiceConfig | None = None) -> None:
        super().__init__()
        self.config = config or VoiceConfig()
        centres = mel.band_centres_hz()
        columns = [(centres >= low) & (centres < high) for low, high in BANDS.values()]
        self.pool: Tensor
        self.register_buffer("pool", torch.stack(columns, 1).float(), persistent=False)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> VoiceState:
        """Slots that have heard nothing."""
        config, bands = self.config, len(BANDS)
        start = torch.tensor([config.floor_start_db, config.peak_start_db], device=device) * DB
        state = VoiceState(
            power=torch.empty(batch, config.history, bands, device=device),
            floor=torch.empty(batch, bands, device=device),
            peak=torch.empty(batch, 1, device=device),
            flags=torch.empty(batch, config.hops, device=device),
            known=torch.empty(batch, device=device),
            gate=torch.empty(batch, device=device),
            quiet=torch.empty(batch, device=device),
            start=start.expand(batch, 2).clone(),
        )
        state.reset(torch.ones(batch, dtype=torch.bool, device=device))
        return state

    def step(self, features: Tensor, speech: Tensor, state: VoiceState, active: Tensor) -> Tensor:
        """features [B, T, D] log power, speech bool [B] -> band levels [B, history, bands], dB.

        0 dB is the speaker's own level; noise is taken off. `state.gate` is up to date after it.
        """
        config = self.config
        power = torch.cat([state.power[:, features.shape[1] :], features.exp() @ self.pool], 1)
        flags = torch.cat([state.flags[:, 1:], speech.float()[:, None]], 1)
        flagged = flags.amax(1)
        newest = (power[:, -2 * features.shape[1] :] + 1e-12).log()
        whole = power[:, :, VOICE]
        steady = whole.amax(1) < whole.amin(1) * math.exp(config.steady_db * DB)
        floor = self._floor(newest[:, features.shape[1] :].amin(1), flagged, steady, state)
        # The loudest that lasted for all of gate_steps.
        lasting = -F.max_pool1d(-newest[:, :, VOICE], config.gate_steps, 1).amin(1)
        above = lasting - floor[:, VOICE]
        need = config.gate_unflagged_db + flagged * (config.gate_db - config.gate_unflagged_db)
        heard = above > need * DB
        keep = (state.gate > 0.0) * (config.gate_keep_db * DB)
        least = (state.peak[:, 0] - config.gate_depth_db * DB - keep).clamp_min(
            config.gate_least_db * DB
        )
        voiced = heard & (lasting > least)
        louder = lasting > state.peak[:, 0]
        release = (config.peak_learn / (state.known + 1.0)).clamp_min(config.peak_release)
        rate = torch.where(louder, config.peak_attack, release)
        peak = torch.lerp(state.peak[:, 0], lasting, rate * heard)
        gate = torch.maximum(voiced.float(), state.gate - config.gate_close)
        quiet = torch.where(voiced, 0.0, state.quiet + 1.0).clamp_max(_NEVER)
        masked_write(state.power, power, active)
        masked_write(state.flags, flags, active)
        masked_write(state.floor, floor, active)
        masked_write(state.peak, peak[:, None], active)
        masked_write(state.known, state.known + heard * (1.0 + louder * _KNOWN), active)
        masked_write(state.gate, gate, active)
        masked_write(state.quiet, quiet, active)
        own = peak.exp()[:, None, None]
        noise = floor.exp()[:, None] * config.subtract
        level: Tensor = ((power - noise) / own).clamp_min(1e-5).log() / DB
        return level

    def _floor(self, low: Tensor, flagged: Tensor, steady: Tensor, state: VoiceState) -> Tensor:
        """Fall fast to the quietest of the hop, rise slowly, more slowly in speech."""
        config = self.config
        slow = torch.where(steady, config.floor_rise_steady_db * DB, config.floor_rise_db * DB)
        fast = config.floor_rise_quiet_db * DB
        rise = fast + flagged * (slow - fast)
        risen = torch.minimum(state.floor + rise[:, None], low)
        fallen = torch.lerp(state.floor, low, config.floor_fall)
        return torch.where(low < state.floor, fallen, risen)
