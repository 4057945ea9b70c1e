"""Streaming log-mel energies: samples in, four feature vectors per 40 ms hop out.

A window of 25 ms ends where each 10 ms step ends, so nothing is padded or centred and the features
of a stream do not depend on how it was cut. The centre of a window lies before the centre of its
step by `look_ahead` samples; who uses the features counts that in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kernels.log_mel import log_mel, mel_bins
from pipelines.pipeline import HOP_SAMPLES, SAMPLE_RATE_HZ
from pipelines.streaming import SlotState, masked_write


@dataclass(frozen=True, kw_only=True)
class MelConfig:
    """Analysis settings. Lengths in samples at `rate_hz`."""

    rate_hz: int = SAMPLE_RATE_HZ
    hop: int = HOP_SAMPLES
    window: int = 400  # 25 ms
    step: int = 160  # 10 ms
    fft: int = 512
    bands: int = 80
    low_hz: float = 0.0
    high_hz: float = 7_600.0
    floor: float = 1e-10  # power, -100 dB below full scale

    def __post_init__(self) -> None:
        if self.hop % self.step:
            raise ValueError(f"hop ({self.hop}) must be a multiple of step ({self.step})")
        if not self.step <= self.window <= self.fft:
            raise ValueError(
                f"need step <= window <= fft, got {self.step}, {self.window}, {self.fft}"
            )
        if (self.window - self.step) % 2:
            raise ValueError("window - step must be even, or the look-ahead is not whole samples")
        if not 0.0 <= self.low_hz < self.high_hz <= self.rate_hz / 2:
            raise ValueError(f"bands cannot span {self.low_hz}..{self.high_hz} Hz")

    @property
    def steps_per_hop(self) -> int:
        return self.hop // self.step

    @property
    def look_ahead(self) -> int:
        """Samples by which a window's centre precedes the centre of its step."""
        return (self.window - self.step) // 2

    def band_centres_hz(self) -> Tensor:
        """Centre frequency of each band, float64 [bands], in Hz."""
        return slaney_edges_hz(self.low_hz, self.high_hz, self.bands)[1:-1]


@dataclass
class MelState(SlotState):
    tail: Tensor  # [B, window - step] float32: samples kept from earlier hops

    def clear(self, slots: Tensor) -> None:
        self.reset(slots)


class LogMel(nn.Module):
    """Natural log of mel band power; the bands of a frame sum to its mean square."""

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        window = torch.hann_window(self.config.window, periodic=True, dtype=torch.float64)
        # Parseval: with this scale the power of the one-sided spectrum sums to the mean square.
        scale = 2.0 / (self.config.fft * window.square().sum())
        self.window: Tensor
        self.weights: Tensor
        self.register_buffer("window", (window * scale.sqrt()).float(), persistent=False)
        self.bins: Tensor
        weights = mel_weights(self.config).float()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("bins", mel_bins(weights), persistent=False)

    @property
    def hop(self) -> int:
        """Samples consumed per step."""
        return self.config.hop

    @property
    def look_ahead(self) -> int:
        """Samples of delay: the vector of step i is about the centre of step i less this."""
        return self.config.look_ahead

    def init_state(self, batch: int, device: torch.device | str | None = None) -> MelState:
        """Silence before the stream, for `batch` slots."""
        size = self.config.window - self.config.step
        return MelState(torch.zeros(batch, size, device=device or self.window.device))

    def step(self, samples: Tensor, state: MelState, active: Tensor) -> Tensor:
        """samples [B, n * step] float32 in [-1, 1], active bool [B] -> log power [B, n, bands]."""
        if samples.dim() != 2 or samples.shape[1] % self.config.step:
            raise ValueError(
                f"expected [B, n * {self.config.step}] samples, got {tuple(samples.shape)}; "
                "gather whole steps before calling"
            )
        held = torch.cat([state.tail, samples], dim=1)
        masked_write(state.tail, held[:, samples.shape[1] :], active)
        step, floor = self.config.step, self.config.floor
        return log_mel(held, self.window, self.weights, self.bins, step=step, floor=floor)

    def forward(self, samples: Tensor) -> Tensor:
        """A whole stream at once: samples [B, S] -> [B, S / step, bands]."""
        active = torch.ones(samples.shape[0], dtype=torch.bool, device=samples.device)
        return self.step(samples, self.init_state(samples.shape[0], samples.device), active)


def mel_weights(config: MelConfig) -> Tensor:
    """Triangular filters with unit peaks, float64 [fft / 2 + 1, bands]."""
    edges = slaney_edges_hz(config.low_hz, config.high_hz, config.bands)
    bins = torch.arange(config.fft // 2 + 1, dtype=torch.float64) * config.rate_hz / config.fft
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0.0)


# Slaney's mel scale: linear to 1 kHz, then logarithmic (Auditory Toolbox, 1998).
_LINEAR_HZ = 200.0 / 3.0
_KNEE_HZ = 1_000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27.0


def slaney_edges_hz(low_hz: float, high_hz: float, bands: int) -> Tensor:
    """Where bands evenly spaced on Slaney's scale begin, have their centres and end, float64
    [bands + 2], in Hz: each from the centre before it to the one after."""
    low, high = _mel(low_hz), _mel(high_hz)
    mels = torch.linspace(low, high, bands + 2, dtype=torch.float64)
    logarithmic = _KNEE_HZ * torch.exp(_LOG_STEP * (mels - _KNEE_MEL))
    return torch.where(mels < _KNEE_MEL, mels * _LINEAR_HZ, logarithmic)


def _mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ
    return _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP
