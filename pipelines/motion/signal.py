"""Lips from the signal itself: no weights, only what band levels say about an articulation.

The jaw follows the level around the first formant of open vowels, held against the speaker's own
level; the spectrum's balance spreads or rounds the lips; hissing brings the teeth together; dips
and murmurs close the lips. Noise is subtracted and a gate keeps the lips shut unless something
like a voice lasts. Everything else that a face does comes from `pipelines.motion.life`.

This is the baseline that trained models must beat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.audio.mel import MelConfig
from pipelines.motion.life import IDLE, LISTENING, SPEAKING, Life, LifeState
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.streaming import SlotState, masked_write

_DB = math.log(10.0) / 10.0  # natural-log power per decibel

# Bands (Hz) whose levels are kept; "voice" holds most of a voice's power.
_BANDS: dict[str, tuple[float, float]] = {
    "murmur": (80.0, 380.0),  # voice bar, nasal murmur
    "close": (380.0, 620.0),  # first formant of close and middle vowels
    "open": (620.0, 1_150.0),  # first formant of open vowels
    "back": (1_150.0, 1_700.0),  # second formant of back to central vowels
    "front": (1_700.0, 2_800.0),  # second formant of front vowels
    "upper": (2_800.0, 4_200.0),
    "hiss": (4_200.0, 7_600.0),  # s, sh, f
    "voice": (150.0, 2_800.0),
}
_INDEX = {name: i for i, name in enumerate(_BANDS)}


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """Constants of the mapping; levels in dB, times in 10 ms steps or 40 ms frames."""

    look_ahead_hops: int = 2
    history: int = 28  # steps of band power kept
    # noise and level tracking, per hop
    floor_start_db: float = -58.0
    floor_fall: float = 0.35  # share of the way down
    floor_rise_db: float = 0.06  # while speech is flagged
    floor_rise_quiet_db: float = 0.6
    subtract: float = 2.0  # times the noise power
    peak_start_db: float = -55.0
    peak_attack: float = 0.6
    peak_release: float = 0.01
    # the gate
    gate_steps: int = 5  # a sound must last this long: clicks do not
    gate_db: float = 9.0  # above the noise where speech is flagged
    gate_unflagged_db: float = 20.0
    gate_depth_db: float = 26.0  # below the speaker's level nothing opens it
    hangover: float = 10.0  # frames that count as speaking after the voice
    # the lips
    open_low_db: float = -24.0
    open_high_db: float = -2.0
    jaw: float = 0.42


@dataclass
class SignalState(SlotState):
    power: Tensor  # [B, history, bands] float32: band power, oldest first
    floor: Tensor  # [B, bands]: log power of the noise
    peak: Tensor  # [B, 1]: log power of the loud parts of speech
    flags: Tensor  # [B, look-ahead hops + 1]: speech flags, oldest first
    quiet: Tensor  # [B]: frames since the voice, large before the first
    gate: Tensor  # [B]: 1 where lips may move
    start: Tensor  # [B, 2]: log power that floor and peak begin at
    life: LifeState

    def reset(self, slots: Tensor) -> None:
        for held in (self.power, self.flags, self.gate):
            masked_write(held, torch.zeros_like(held), slots)
        masked_write(self.floor, self.start[:, :1].expand_as(self.floor), slots)
        masked_write(self.peak, self.start[:, 1:], slots)
        masked_write(self.quiet, torch.full_like(self.quiet, _NEVER), slots)
        self.life.reset(slots)

    def set_seed(self, slots: Tensor, seeds: Tensor) -> None:
        """Key the slots in `slots` (bool [B]) by `seeds` (int64 [B]) until their next reset."""
        self.life.set_seed(slots, seeds)


_NEVER = 1e6
_LISTENS = 30.0 / 0.04  # frames of silence after which a listener idles


class SignalMotion(nn.Module):
    """Features in, one frame of motion per hop out, `look_ahead` samples late."""

    def __init__(self, mel: MelConfig, seed: int = 0, config: SignalConfig | None = None) -> None:
        super().__init__()
        self.mel = mel
        self.seed = seed
        self.config = config or SignalConfig()
        self.life = Life()
        self.pool: Tensor
        self.taps: Tensor
        self.mixing: Tensor
        self.low: Tensor
        self.high: Tensor
        low, high = _limits()
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("pool", _pool(mel), persistent=False)
        self.register_buffer("taps", _taps(self.config.history), persistent=False)
        self.register_buffer("mixing", _mixing(), persistent=False)

    @property
    def hop(self) -> int:
        """Samples per step."""
        return self.mel.hop

    @property
    def look_ahead(self) -> int:
        """With the features' own, a whole number of hops, in samples."""
        return self.config.look_ahead_hops * self.mel.hop - self.mel.look_ahead

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> SignalState:
        """Silent slots; `seeds` (int64 [B]) default to `seed`, `seed` + 1, ..."""
        if seeds is None:
            seeds = torch.arange(batch) + self.seed
        if seeds.shape != (batch,):
            raise ValueError(f"seeds must be [{batch}], got {tuple(seeds.shape)}")
        config, bands = self.config, len(_BANDS)
        start = torch.tensor([config.floor_start_db, config.peak_start_db], device=device) * _DB
        state = SignalState(
            power=torch.zeros(batch, config.history, bands, device=device),
            floor=torch.zeros(batch, bands, device=device),
            peak=torch.zeros(batch, 1, device=device),
            flags=torch.zeros(batch, config.look_ahead_hops + 1, device=device),
            quiet=torch.zeros(batch, device=device),
            gate=torch.zeros(batch, device=device),
            start=start.expand(batch, 2).clone(),
            life=self.life.init_state(seeds.to(device)),
        )
        state.reset(torch.ones(batch, dtype=torch.bool, device=device))
        return state

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: SignalState,
        active: Tensor,
    ) -> Tensor:
        """One hop: features [B, 4, D] log power, speech bool [B] (does a voice-activity detector
        hear speech in this hop), controls [B, 4] -> motion [B, MOTION_DIM] of the frame that lies
        the total look-ahead before this hop.
        """
        power = torch.cat([state.power[:, features.shape[1] :], features.exp() @ self.pool], 1)
        flags = torch.cat([state.flags[:, 1:], speech.float()[:, None]], 1)
        flagged = flags.amax(1)
        voiced = self._listen(power, flagged, state, active)
        behaviour = self._behave(voiced, flags[:, 0], state, active)
        lips, stress = self._articulate(power, state, controls[:, 0])
        masked_write(state.power, power, active)
        masked_write(state.flags, flags, active)
        life = self.life.step(behaviour, stress, controls, state.life, active)
        motion = life + lips @ self.mixing
        return torch.maximum(torch.minimum(motion, self.high), self.low)

    def behaviour(self, state: SignalState) -> Tensor:
        """What each slot is doing: int8 [B], 0 idle, 1 listening, 2 speaking."""
        return _behaviour(state.quiet, self.config.hangover).to(torch.int8)

    def _listen(self, power: Tensor, flagged: Tensor, state: SignalState, active: Tensor) -> Tensor:
        """Track noise, level and gate; returns 1 where a voice is present, [B]."""
        config = self.config
        newest = power[:, -8:]
        level = (newest + 1e-12).log()
        low = level[:, -4:].amin(1)
        rise = (
            config.floor_rise_quiet_db
            + flagged * (config.floor_rise_db - config.floor_rise_quiet_db)
        ) * _DB
        floor = torch.where(
            low < state.floor,
            torch.lerp(state.floor, low, config.floor_fall),
            torch.minimum(state.floor + rise[:, None], low),
        )
        masked_write(state.floor, floor, active)
        need = config.gate_unflagged_db + flagged * (config.gate_db - config.gate_unflagged_db)
        voice = _INDEX["voice"]
        lasting = (-F.max_pool1d(-level[:, :, voice], config.gate_steps, 1)).amax(1)
        present = (lasting > floor[:, voice] + need * _DB) & (
            lasting > state.peak[:, 0] - config.gate_depth_db * _DB
        )
        loud = torch.lerp(
            state.peak[:, 0],
            lasting,
            torch.where(lasting > state.peak[:, 0], config.peak_attack, config.peak_release),
        )
        peak = torch.where(present, loud, state.peak[:, 0])
        masked_write(state.peak, peak[:, None], active)
        voiced = present.float()
        gate = torch.maximum(voiced, state.gate - 0.25)
        masked_write(state.gate, gate, active)
        return voiced

    def _behave(self, voiced: Tensor, flag: Tensor, state: SignalState, active: Tensor) -> Tensor:
        quiet = torch.where(voiced > 0.0, 0.0, state.quiet + 1.0).clamp_max(_NEVER)
        masked_write(state.quiet, quiet, active)
        return _behaviour(quiet, self.config.hangover)

    def _articulate(
        self, power: Tensor, state: SignalState, expression: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Articulators [B, len(_ARTICULATORS)] and stress [B] of the frame due now."""
        config = self.config
        noise = state.floor.exp()[:, None] * config.subtract
        peak = state.peak.exp()[:, None]
        level = ((power - noise).clamp_min(1e-5 * peak) / peak).log() / _DB  # dB below the peak
        band = dict(zip(_BANDS, level.unbind(2), strict=True))
        body = torch.maximum(band["open"], band["close"] - 6.0)
        opening = ((body - config.open_low_db) / (config.open_high_db - config.open_low_db)).clamp(
            0.0, 1.2
        )
        hissing = torch.sigmoid((band["hiss"] - body - 4.0) / 3.0) * torch.sigmoid(
            (band["hiss"] + 30.0) / 3.0
        )
        murmur = torch.sigmoid((band["murmur"] - body - 9.0) / 3.0)
        front = ((band["front"] - band["back"] - 2.0) / 12.0).clamp(-1.0, 1.0)
        track = torch.stack(
            [opening * (1.0 - 0.7 * hissing) * (1.0 - 0.5 * murmur), front * opening, hissing], 1
        )
        aperture, spread, hiss = (track * self.taps).sum(2).unbind(1)
        gate = state.gate * expression
        jaw = aperture * config.jaw * gate
        lips = torch.stack(
            [
                jaw,
                (0.06 - aperture).clamp_min(0.0) * 8.0 * gate,
                spread.clamp_min(0.0) * 0.35 * gate,
                (-spread).clamp_min(0.0) * 0.55 * gate,
                hiss * 0.25 * gate,
            ],
            1,
        )
        voice = band["voice"]
        rise = voice[:, -10:-5].mean(1) - voice[:, -20:-13].mean(1)
        stress = (
            ((rise - 8.0) / 12.0).clamp(0.0, 1.0) * (voice[:, -10:-5].amax(1) > -5.0) * state.gate
        )
        return lips, stress


def _behaviour(quiet: Tensor, hangover: float) -> Tensor:
    heard = torch.where(quiet <= _LISTENS, LISTENING, IDLE)
    return torch.where(quiet <= hangover, SPEAKING, heard)


def _pool(mel: MelConfig) -> Tensor:
    """[D, bands]: which mel bands add up to which of ours."""
    centres = mel.band_centres_hz()
    columns = [(centres >= low) & (centres < high) for low, high in _BANDS.values()]
    return torch.stack(columns, 1).float()


def _taps(history: int) -> Tensor:
    """[3, history]: smoothing kernels of the tracks, centred before the sound they follow."""
    age = torch.arange(history - 1, -1, -1.0)
    kernels = []
    for centre, half_width in ((4.5, 4.5), (4.5, 5.5), (4.5, 4.5)):
        kernel = (1.0 - (age - centre).abs() / half_width).clamp_min(0.0)
        kernels.append(kernel / kernel.sum())
    return torch.stack(kernels)


_ARTICULATORS: dict[str, dict[str, float]] = {
    "jaw": {"jawOpen": 1.0},
    "press": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0, "mouthClose": 0.1},
    "wide": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
    "round": {"mouthFunnel": 0.7, "mouthPucker": 0.6},
    "teeth": {
        "mouthLowerDownLeft": 0.5,
        "mouthLowerDownRight": 0.5,
        "mouthUpperUpLeft": 0.4,
        "mouthUpperUpRight": 0.4,
    },
}


def _mixing() -> Tensor:
    table = torch.zeros(len(_ARTICULATORS), MOTION_DIM)
    for row, parts in enumerate(_ARTICULATORS.values()):
        for name, weight in parts.items():
            table[row, MOTION_INDEX[name]] = weight
    return table


def _limits() -> tuple[Tensor, Tensor]:
    """Blendshapes lie in [0, 1]; pose has its own limits."""
    shape = torch.arange(MOTION_DIM) < len(BLENDSHAPES)
    return torch.where(shape, 0.0, -math.inf), torch.where(shape, 1.0, math.inf)
