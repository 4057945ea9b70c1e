"""Streaming MFCC of AniTalker's generators: samples in, four rows of 39 per 40 ms hop out.

Thirteen cepstral coefficients, the first replaced by the log energy, with two slopes of each: the
features of python_speech_features 0.6 on a float signal (arXiv 2405.03121, the released code).
Row r is computed from samples 160 r - 1 to 160 r + 399 and, for the slopes, from the two rows
before and after it. A row therefore leaves `look_ahead` samples after its own 10 ms step went in:
a stream gives first four rows of zeros, then row 0. Rows are the same however the stream was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.pipeline import HOP_SAMPLES, SAMPLE_RATE_HZ
from pipelines.streaming import SlotState, masked_write

_EPSILON = torch.finfo(torch.float64).eps  # stands for a power of exactly zero
_REACH = 2  # rows on either side of a row that its slopes are taken over


@dataclass(frozen=True, kw_only=True)
class MfccConfig:
    """Analysis settings. Lengths in samples at `rate_hz`."""

    rate_hz: int = SAMPLE_RATE_HZ
    hop: int = HOP_SAMPLES
    window: int = 400  # 25 ms
    step: int = 160  # 10 ms
    fft: int = 512
    bands: int = 26
    coefficients: int = 13
    lifter: int = 22
    emphasis: float = 0.97

    def __post_init__(self) -> None:
        if self.hop % self.step:
            raise ValueError(f"hop ({self.hop}) must be a multiple of step ({self.step})")
        if not self.step <= self.window <= self.fft:
            raise ValueError(
                f"need step <= window <= fft, got {self.step}, {self.window}, {self.fft}"
            )
        if not 1 <= self.coefficients <= self.bands:
            raise ValueError(f"{self.bands} bands cannot give {self.coefficients} coefficients")

    @property
    def width(self) -> int:
        """Numbers per row: the coefficients and two slopes of each."""
        return 3 * self.coefficients

    @property
    def window_delay(self) -> int:
        """Rows by which a window is complete after the step it starts in."""
        return math.ceil(self.window / self.step) - 1

    @property
    def row_delay(self) -> int:
        """Rows by which a row with its slopes is complete after the step it starts in."""
        return self.window_delay + _REACH

    def count(self, samples: int) -> int:
        """Rows of an utterance of `samples` samples; the last may reach past its end."""
        return 1 + max(0, math.ceil((samples - self.window) / self.step))


@dataclass
class MfccState(SlotState):
    tail: Tensor  # [B, window_delay * step + 1] float32: samples kept from earlier hops
    rows: Tensor  # [B, 2 * reach, coefficients] float64: static rows kept from earlier hops
    position: Tensor  # [B] int64: steps taken since the stream began

    def clear(self, slots: Tensor) -> None:
        self.reset(slots)


class Mfcc(nn.Module):
    """AniTalker's 39 sound features, at 100 rows per second. Computed in float64."""

    def __init__(self, config: MfccConfig | None = None) -> None:
        super().__init__()
        self.config = config or MfccConfig()
        self.filters: Tensor
        self.cosines: Tensor
        self.register_buffer("filters", mel_filters(self.config), persistent=False)
        self.register_buffer("cosines", cepstral_basis(self.config), persistent=False)

    @property
    def hop(self) -> int:
        """Samples consumed per step."""
        return self.config.hop

    @property
    def look_ahead(self) -> int:
        """Samples of delay: the row that leaves with a step belongs to the step this long ago."""
        return self.config.row_delay * self.config.step

    def init_state(self, batch: int, device: torch.device | str | None = None) -> MfccState:
        """A stream that has not begun, for `batch` slots."""
        device = device or self.filters.device
        tail = self.config.window_delay * self.config.step + 1
        kept = (batch, 2 * _REACH, self.config.coefficients)
        return MfccState(
            tail=torch.zeros(batch, tail, device=device),
            rows=torch.zeros(kept, dtype=torch.float64, device=device),
            position=torch.zeros(batch, dtype=torch.int64, device=device),
        )

    def step(self, samples: Tensor, state: MfccState, active: Tensor) -> Tensor:
        """One hop, or any whole number of 10 ms steps, for the slots in `active`.

        Args:
            samples: [B, n * step] float32 in [-1, 1].
            state: written in place.
            active: bool [B].

        Returns:
            [B, n, 39] float32. Entry i is row `position + i - row_delay` of the stream; rows before
            the first are zeros.

        Raises:
            ValueError: `samples` is not one or more whole steps.
        """
        if samples.dim() != 2 or not samples.shape[1] or samples.shape[1] % self.config.step:
            raise ValueError(
                f"expected [B, n * {self.config.step}] samples, got {tuple(samples.shape)}; "
                "gather whole steps before calling"
            )
        held = torch.cat([state.tail, samples], dim=1)
        rows = torch.cat([state.rows, self.cepstrum(self.power(held))], dim=1)
        features = self._with_slopes(rows, state.position, None)
        masked_write(state.tail, held[:, samples.shape[1] :], active)
        masked_write(state.rows, rows[:, rows.shape[1] - 2 * _REACH :], active)
        steps = samples.shape[1] // self.config.step
        masked_write(state.position, state.position + steps, active)
        return features

    def flush(self, state: MfccState, samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The rows still owed when the stream ends here; the state is left as it is.

        Args:
            state: of the stream up to its last whole step.
            samples: [B, fewer than step] float32, what came after the last whole step.

        Returns:
            Rows [B, row_delay + 1, 39] float32, numbered from `position - row_delay` as a step
            would, and how many of them count, int64 [B]; rows before the first are zeros.

        Raises:
            ValueError: `samples` holds a whole step or more.
        """
        config = self.config
        odd = 0 if samples is None else samples.shape[1]
        if odd >= config.step:
            raise ValueError(f"flush takes fewer than {config.step} samples, got {odd}")
        owed = config.row_delay + 1
        padded = state.tail.new_zeros(len(state.tail), owed * config.step)
        if samples is not None:
            padded[:, :odd] = samples
        beyond = state.position * config.step + odd - config.window
        last = torch.div(beyond + config.step - 1, config.step, rounding_mode="floor").clamp_min(0)
        sound = self._emphasised(torch.cat([state.tail, padded], dim=1))
        sound[:, state.tail.shape[1] - 1 + odd :] = 0.0  # silence is what follows the emphasis
        static = self.cepstrum(self._spectra(sound))
        rows = self._with_slopes(torch.cat([state.rows, static], 1), state.position, last)
        return rows, last + 1 - (state.position - config.row_delay)

    def forward(self, samples: Tensor) -> Tensor:
        """A whole utterance: samples [B, S] float32 -> [B, count(S), 39] float32.

        The end is padded with silence, after the emphasis, to a whole window, and the edges are
        repeated for the slopes.
        """
        odd = samples.shape[1] % self.config.step
        whole = samples.shape[1] - odd
        state = self.init_state(len(samples), samples.device)
        active = torch.ones(len(samples), dtype=torch.bool, device=samples.device)
        rows = [self.step(samples[:, :whole], state, active)] if whole else []
        rows.append(self.flush(state, samples[:, whole:])[0])
        delay = self.config.row_delay
        return torch.cat(rows, 1)[:, delay : delay + self.config.count(samples.shape[1])]

    def power(self, held: Tensor) -> Tensor:
        """Power spectra of the windows that the newest n steps complete.

        Args:
            held: [B, 1 + (window_delay + n) * step] float32; its first sample is the one before the
                first window, for the pre-emphasis.

        Returns:
            [B, n, fft / 2 + 1] float64.
        """
        return self._spectra(self._emphasised(held))

    def _emphasised(self, held: Tensor) -> Tensor:
        """[B, 1 + S] -> [B, S]."""
        return held[:, 1:] - self.config.emphasis * held[:, :-1]

    def _spectra(self, sound: Tensor) -> Tensor:
        """Of emphasised sound [B, (window_delay + n) * step] -> [B, n, fft / 2 + 1] float64."""
        config = self.config
        steps = sound.shape[1] // config.step - config.window_delay
        frames = sound.double().unfold(1, config.window, config.step)[:, :steps]
        spectrum = torch.view_as_real(torch.fft.rfft(frames, n=config.fft))
        return spectrum.square().sum(-1) / config.fft

    def cepstrum(self, power: Tensor) -> Tensor:
        """Power spectra [B, n, fft / 2 + 1] -> coefficients [B, n, 13], the first log energy."""
        energy = _log(power.sum(-1, keepdim=True))
        rows = _log(power @ self.filters) @ self.cosines
        return torch.cat([energy, rows[..., 1:]], dim=-1)

    def _with_slopes(self, rows: Tensor, position: Tensor, last: Tensor | None) -> Tensor:
        """Static rows and their slopes, edges repeated: [B, n + 4, 13] -> [B, n, 39] float32.

        `position` (int64 [B]) is the step the n newest rows began at; `last` (int64 [B]) the last
        row of the utterance, where it has ended.
        """
        count = rows.shape[1]
        first = position[:, None] - self.config.window_delay - 2 * _REACH
        index = first + torch.arange(count, device=rows.device)
        wanted = index.clamp_min(0)
        if last is not None:
            wanted = torch.minimum(wanted, last[:, None])
        source = (wanted - first).clamp(0, count - 1)
        rows = rows.gather(1, source[..., None].expand(rows.shape))
        around = rows.unfold(1, 2 * _REACH + 1, 1)  # [B, n, 13, 5]
        near = around[..., 3] - around[..., 1]
        far = around[..., 4] - around[..., 0]
        features = torch.cat([around[..., 2], near / 2, (near + 2 * far) / 10], dim=-1)
        begun = index[:, _REACH : count - _REACH, None] >= 0
        return torch.where(begun, features, 0.0).float()


def mel_filters(config: MfccConfig) -> Tensor:
    """Triangular filters on whole bins, float64 [fft / 2 + 1, bands]."""
    top = 2_595.0 * math.log10(1.0 + config.rate_hz / 2 / 700.0)
    mels = torch.linspace(0.0, top, config.bands + 2, dtype=torch.float64)
    hz = 700.0 * (10.0 ** (mels / 2_595.0) - 1.0)
    edges = torch.floor((config.fft + 1) * hz / config.rate_hz).long().tolist()
    filters = torch.zeros(config.fft // 2 + 1, config.bands, dtype=torch.float64)
    for band, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for i in range(low, peak):
            filters[i, band] = (i - low) / (peak - low)
        for i in range(peak, high):
            filters[i, band] = (high - i) / (high - peak)
    return filters


def cepstral_basis(config: MfccConfig) -> Tensor:
    """Orthonormal DCT-II with the lifter applied, float64 [bands, coefficients]."""
    band = torch.arange(config.bands, dtype=torch.float64)[:, None] + 0.5
    order = torch.arange(config.coefficients, dtype=torch.float64)[None, :]
    basis = torch.cos(math.pi / config.bands * band * order) * math.sqrt(2.0 / config.bands)
    basis[:, 0] *= math.sqrt(0.5)
    return basis * (1.0 + config.lifter / 2 * torch.sin(math.pi * order / config.lifter))


def _log(power: Tensor) -> Tensor:
    return torch.where(power == 0.0, _EPSILON, power).log()
