"""Is someone speaking? Frame decisions by WebRTC's detector, smoothed into speech and pauses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from pipelines.pipeline import SAMPLE_RATE_HZ

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
"""One decision per 20 ms at 16 kHz."""


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """How readily speech starts and how slowly it ends."""

    mode: int = 3  # 0 accepts nearly everything, 3 is the strictest
    onset_frames: int = 3  # voiced frames within the last five that start speech
    hangover_frames: int = 12  # unvoiced frames in a row that end it: 240 ms
    floor: float = 0.001  # frames with a smaller RMS (full scale 1) are never speech
    over_noise: float = 2.0  # nor are frames that exceed the background's RMS by less
    noise_rise: float = 1.005  # how fast the estimate of the background rises, per frame


@dataclass(frozen=True)
class SpeechEdge:
    """Speech started or stopped at `position`, a sample index at 16 kHz."""

    kind: Literal["started", "stopped"]
    position: int


class VoiceActivity:
    """Feed it consecutive audio at 16 kHz; it tells where speech starts and stops."""

    def __init__(self, config: VadConfig | None = None) -> None:
        self._config = config or VadConfig()
        self._vad = webrtcvad.Vad(self._config.mode)
        self._recent = [False] * 5
        self._unvoiced = 0
        self._position = 0
        self._noise = float("inf")
        self.speech = False

    @property
    def pausing(self) -> bool:
        """Nobody spoke in the last 80 ms: a breath between phrases counts too."""
        return self._unvoiced >= 4

    def __call__(self, samples: NDArray[np.float32]) -> tuple[SpeechEdge, ...]:
        """`samples` float32 [n * 320] -> the edges inside them; `speech` holds at their end."""
        if len(samples) % FRAME_SAMPLES:
            raise ValueError(f"{len(samples)} samples are not a multiple of {FRAME_SAMPLES}")
        edges = []
        for frame in samples.reshape(-1, FRAME_SAMPLES):
            edge = self._step(frame)
            if edge is not None:
                edges.append(edge)
        return tuple(edges)

    def _step(self, frame: NDArray[np.float32]) -> SpeechEdge | None:
        voiced = self._voiced(frame)
        self._recent = [*self._recent[1:], voiced]
        self._unvoiced = 0 if voiced else self._unvoiced + 1
        start = self._position
        self._position += FRAME_SAMPLES
        if not self.speech and sum(self._recent) >= self._config.onset_frames:
            self.speech = True
            first = self._recent.index(True)  # where the voicing that convinced us began
            back = (len(self._recent) - 1 - first) * FRAME_SAMPLES
            return SpeechEdge("started", max(0, start - back))
        if self.speech and self._unvoiced >= self._config.hangover_frames:
            self.speech = False
            self._recent = [False] * len(self._recent)
            return SpeechEdge("stopped", self._position - self._unvoiced * FRAME_SAMPLES)
        return None

    def _voiced(self, frame: NDArray[np.float32]) -> bool:
        rms = float(np.sqrt(np.mean(frame * frame)))
        self._noise = max(self._config.floor, min(rms, self._noise * self._config.noise_rise))
        pcm = (frame * 32767.0).astype("<i2").tobytes()
        # Asked in any case: the detector learns the background from what it is shown.
        voiced = bool(self._vad.is_speech(pcm, SAMPLE_RATE_HZ))
        return voiced and rms > self._config.floor and rms > self._config.over_noise * self._noise
