"""Mel windows of the Wav2Lip family, as a stream: a 40 ms hop in, 16 mel frames a video frame out.

Mel frames lie 12.5 ms apart, frame m about sample 200 m, so a hop brings 3.2 of them: three or
four, in a pattern that comes round after five hops. With F = 16 t // 5, frame F is always whole
once hop t is in, for it ends at sample 200 F + 400 <= 640 (t + 1). Each hop therefore computes its
four newest frames (one of them once more, where three are new) at an offset that depends on t mod 5
alone; a slot needs no count beside its hops, and no shape depends on one.

The window of 16 frames that starts with video frame j is whole five hops after hop j. Which video
frame it is for is a choice of who trained on it (arXiv 2008.10010, 2211.12194): `lead` says by how
many video frames the window starts early, and so how much of the future it holds:

    lead 0   Wav2Lip's inference, the lip-sync expert   5 hops of look-ahead, 200 ms
    lead 1   Wav2Lip's training                         4 hops, 160 ms
    lead 2   SadTalker, NeRFFaceSpeech                  3 hops, 120 ms

What a window really needs reaches 212.5, 172.5 or 132.5 ms past the start of its video frame, which
is 12.5 into the hop it leaves with. Before the first sample there is silence; windows that would
start before the first mel frame repeat that one, as SadTalker does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.audio.mel import slaney_edges_hz
from pipelines.pipeline import FPS, HOP_SAMPLES, SAMPLE_RATE_HZ
from pipelines.streaming import SlotState, masked_write

BANDS = 80
WINDOW_FRAMES = 16
"""Mel frames of a window, 200 ms."""
SILENCE = -4.0
"""What digital silence is in every band, and the least there is; 4 is the most."""

_FFT = 800  # samples; its window is as long
_STEP = 200
_LOW_HZ, _HIGH_HZ = 55.0, 7_600.0
_EMPHASIS = 0.97
_FLOOR = 1e-5  # of the magnitude

_PER_SECOND = SAMPLE_RATE_HZ // _STEP
_REACH = (WINDOW_FRAMES - 1) * _STEP + _FFT // 2  # samples from a window's start to its last
_HOPS = math.ceil(_REACH / HOP_SAMPLES) - 1  # further ones a window is whole after, with no lead
_HELD = WINDOW_FRAMES - _PER_SECOND // FPS + 1  # frames before the newest that a window needs
_PHASES = FPS // math.gcd(FPS, _PER_SECOND)  # hops after which the pattern comes round
# Samples before a hop that its newest frames need, most of all in the last phase: what frame F lies
# before the hop's start, the frames before it, half a window, and one for the emphasis.
_TAIL = HOP_SAMPLES * (_PHASES - 1) % _STEP + 3 * _STEP + _FFT // 2 + 1

Padding = Literal["reflect", "constant"]


@dataclass
class MelWindowState(SlotState):
    tail: Tensor  # [B, tail] float32: samples kept from earlier hops
    frames: Tensor  # [B, held, 80] float32: mel frames kept from earlier hops
    position: Tensor  # [B] int64: hops taken since the stream began

    def clear(self, slots: Tensor) -> None:
        self.reset(slots)


class MelWindows(nn.Module):
    """Windows of 16 mel frames, one per video frame. Computed in float64.

    lead: video frames by which the window starts before its own.
    """

    def __init__(self, lead: int = 0) -> None:
        super().__init__()
        if not 0 <= lead <= _HOPS:
            raise ValueError(f"lead must lie in 0..{_HOPS} video frames, got {lead}")
        self.lead = lead
        self.window: Tensor
        self.basis: Tensor
        window = torch.hann_window(_FFT, periodic=True, dtype=torch.float64)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("basis", mel_basis(), persistent=False)

    @property
    def hop(self) -> int:
        """Samples consumed per step, a video frame's worth."""
        return HOP_SAMPLES

    @property
    def look_ahead(self) -> int:
        """Samples of delay: the window that leaves with a hop is for the video frame this long
        ago."""
        return (_HOPS - self.lead) * self.hop

    def init_state(self, batch: int, device: torch.device | str | None = None) -> MelWindowState:
        """A stream that has not begun, for `batch` slots."""
        device = device or self.window.device
        return MelWindowState(
            tail=torch.zeros(batch, _TAIL, device=device),
            frames=torch.zeros(batch, _HELD, BANDS, device=device),
            position=torch.zeros(batch, dtype=torch.int64, device=device),
        )

    def step(self, samples: Tensor, state: MelWindowState, active: Tensor) -> Tensor:
        """One hop, or any whole number of them, for the slots in `active`.

        Args:
            samples: [B, n * hop] float32 in [-1, 1].
            state: written in place.
            active: bool [B].

        Returns:
            [B, n, 80, 16] float32 in [-4, 4]. Entry i is for video frame
            `position + i - look_ahead / hop` of the stream; before the first there is silence.

        Raises:
            ValueError: `samples` is not one or more whole hops.
        """
        if samples.dim() != 2 or not samples.shape[1] or samples.shape[1] % self.hop:
            raise ValueError(
                f"expected [B, n * {self.hop}] samples, got {tuple(samples.shape)}; "
                "gather whole hops before calling"
            )
        hops = samples.shape[1] // self.hop
        held = torch.cat([state.tail, samples], dim=1)
        before = _newest(state.position - 1)  # [B], the last frame that is held
        last = _newest(state.position + hops - 1)
        frames = torch.cat([state.frames, self._frames_to(last, held, state.position)], dim=1)
        known = _Known(frames, before, last)
        windows = self._windows(known, state.position, hops)
        masked_write(state.tail, held[:, samples.shape[1] :], active)
        kept = last[:, None] + torch.arange(1 - _HELD, 1, device=last.device)
        masked_write(state.frames, known.pick(kept), active)
        masked_write(state.position, state.position + hops, active)
        return windows

    def forward(self, samples: Tensor) -> Tensor:
        """A whole stream, silence after its end: samples [B, n * hop] -> [B, n, 80, 16]."""
        state = self.init_state(len(samples), samples.device)
        active = torch.ones(len(samples), dtype=torch.bool, device=samples.device)
        windows = self.step(F.pad(samples, (0, self.look_ahead)), state, active)
        return windows[:, self.look_ahead // self.hop :]

    def spectrogram(self, samples: Tensor, padding: Padding = "constant") -> Tensor:
        """Mel frames of a whole clip as published, edges padded.

        `reflect` is what librosa did before 0.9 and Wav2Lip's weights were trained with, `constant`
        is zeros; the first two and last two frames differ.

        Args:
            samples: [B, S] float32 in [-1, 1], S > 400.

        Returns:
            [B, 1 + S // 200, 80] float32 in [-4, 4].
        """
        sound = _emphasised(F.pad(samples, (1, 0)))
        return self._mel(F.pad(sound[:, None], (_FFT // 2, _FFT // 2), mode=padding)[:, 0])

    def _frames_to(self, last: Tensor, held: Tensor, position: Tensor) -> Tensor:
        """The newest frames of a step, up to `last` (int64 [B]) -> [B, count, 80].

        held: [B, tail + n * hop], the samples from `position` (int64 [B]) hops less the tail on.
        """
        count = _most_new((held.shape[1] - _TAIL) // self.hop)
        first_sample = _STEP * (last - count + 1) - _FFT // 2 - 1
        offset = first_sample - (self.hop * position - _TAIL)
        size = 1 + _FFT + _STEP * (count - 1)
        at = offset[:, None] + torch.arange(size, device=held.device)
        return self._mel(_emphasised(held.gather(1, at)))

    def _windows(self, known: _Known, position: Tensor, hops: int) -> Tensor:
        """The window that leaves with each of the hops from `position` on, [B, hops, 80, 16]."""
        device = position.device
        video = position[:, None] + torch.arange(hops, device=device) - _HOPS + self.lead
        start = window_starts(video, self.lead)
        wanted = start[..., None] + torch.arange(WINDOW_FRAMES, device=device)
        windows = known.pick(wanted.clamp_min(0).flatten(1)).view(*wanted.shape, BANDS)
        begun = (video >= 0)[..., None, None]
        return torch.where(begun, windows, SILENCE).transpose(2, 3)

    def _mel(self, sound: Tensor) -> Tensor:
        """Emphasised sound, [B, 800 + 200 (n - 1) or up to 199 more] float64 -> [B, n, 80]."""
        spectrum: Tensor = torch.fft.rfft(sound.unfold(1, _FFT, _STEP) * self.window).abs()
        decibels = 20.0 * (spectrum @ self.basis).clamp_min(_FLOOR).log10() - 20.0
        return (8.0 * (decibels + 100.0) / 100.0 - 4.0).clamp(SILENCE, -SILENCE).float()


@dataclass(frozen=True)
class _Known:
    """Mel frames by their number: those held, up to `before`, then the newest, up to `last`."""

    frames: Tensor  # [B, held + count, 80]
    before: Tensor  # [B] int64
    last: Tensor  # [B] int64

    def pick(self, wanted: Tensor) -> Tensor:
        """Frames of these numbers, int64 [B, n] -> [B, n, 80]."""
        from_held = wanted - self.before[:, None] + _HELD - 1
        from_new = wanted - self.last[:, None] + self.frames.shape[1] - 1
        at = torch.where(wanted <= self.before[:, None], from_held, from_new)
        return self.frames.gather(1, at[..., None].expand(-1, -1, BANDS))


def window_starts(video: Tensor, lead: int = 0) -> Tensor:
    """First mel frame of the windows of these video frames, int64; before the clip it is negative.

    Truncated toward zero, as it is published: -6, -3, 0, 3 ... with a lead of 2.
    """
    return torch.div((video - lead) * _PER_SECOND, FPS, rounding_mode="trunc")


def window_indices(video_frames: int, mel_frames: int, lead: int = 0) -> Tensor:
    """Mel frames of each window of a clip, kept within it: int64 [video_frames, 16].

    `spectrogram(...)[:, indices]` is [B, video_frames, 16, 80].
    """
    start = window_starts(torch.arange(video_frames), lead)
    return (start[:, None] + torch.arange(WINDOW_FRAMES)).clamp(0, mel_frames - 1)


def inference_starts(mel_frames: int) -> Tensor:
    """First mel frame of each window of Wav2Lip's inference script, int64 [windows].

    There is one for each video frame whose window is whole, then the last 16 mel frames once more.
    """
    room = mel_frames - WINDOW_FRAMES
    if room < 0:
        raise ValueError(f"a window is {WINDOW_FRAMES} mel frames, the clip has {mel_frames}")
    starts = window_starts(torch.arange(room * FPS // _PER_SECOND + 1))
    return torch.cat([starts, torch.tensor([room])])


def mel_basis() -> Tensor:
    """Triangular filters of unit area on Slaney's scale, float64 [401, 80]."""
    edges = slaney_edges_hz(_LOW_HZ, _HIGH_HZ, BANDS)
    bins = torch.arange(_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE_HZ / _FFT
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0.0) * 2.0 / (edges[2:] - edges[:-2])


def _newest(hop: Tensor) -> Tensor:
    """The last mel frame that is computed with a hop, int64; -1 or less before the first."""
    return torch.div(hop * _PER_SECOND, FPS, rounding_mode="floor")


def _most_new(hops: int) -> int:
    """Mel frames that so many hops bring at the most."""
    return -(-hops * _PER_SECOND // FPS)


def _emphasised(samples: Tensor) -> Tensor:
    """[B, 1 + S] float32, the first the one before -> [B, S] float64."""
    sound = samples.double()
    return sound[:, 1:] - _EMPHASIS * sound[:, :-1]
