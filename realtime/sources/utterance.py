"""One utterance of pushed speech, from its first sample to its last."""

from __future__ import annotations

import secrets

import av
import numpy as np
from numpy.typing import NDArray

from realtime.media import SAMPLE_RATE_HZ, VOICE_RATE_HZ, VOICE_SAMPLES

_SAMPLE_BYTES = np.dtype(np.int16).itemsize


class Utterance:
    """Speech from one `commit` to the next; resampled to 48 kHz when its turn comes."""

    def __init__(self, rate_hz: int) -> None:
        self.id = secrets.token_hex(8)
        self.rate_hz = rate_hz
        self.committed = False
        self.started = False
        """Viewers hear it, or heard it."""
        self.spoken = 0
        """Samples at 16 kHz that viewers heard."""
        self.pushed = 0
        """Samples at its own rate, in all."""
        self._sound = bytearray()
        """Its samples that were not taken, in whatever pieces they came: one array and one call of
        the resampler for each of many small ones would cost more than their sound."""
        self._resampler: av.AudioResampler | None = None
        self._ready: NDArray[np.int16] = np.zeros(0, np.int16)  # at 48 kHz
        self._held = False

    @property
    def waiting(self) -> int:
        """Samples at its own rate that were not taken."""
        return len(self._sound) // _SAMPLE_BYTES

    @property
    def spoken_ms(self) -> int:
        """How much viewers heard."""
        return self.spoken * 1000 // SAMPLE_RATE_HZ

    @property
    def pushed_ms(self) -> int:
        """How long it is, as far as is known."""
        return self.pushed * 1000 // self.rate_hz

    @property
    def over(self) -> bool:
        """Whether all of it was taken, and no more will come."""
        return self.committed and not self._sound and not len(self._ready)

    def push(self, pcm: NDArray[np.int16]) -> None:
        """Add to its end."""
        self._sound += pcm.tobytes()
        self.pushed += len(pcm)

    def cut(self) -> None:
        """It ends with what was taken of it."""
        self.pushed -= self.waiting
        self.committed = True
        self._sound.clear()
        self._resampler, self._ready = None, self._ready[:0]

    def take(self) -> NDArray[np.int16]:
        """At most a hop, int16 [n] at 48 kHz.

        Less than a hop is held back once, unless it is the end: if speech comes no faster than it
        is spoken, that makes the cushion which it needs.
        """
        while len(self._ready) < VOICE_SAMPLES and self._sound:
            self._resample()
        if len(self._ready) < VOICE_SAMPLES:
            if not self.committed and not self._held:
                self._held = len(self._ready) > 0
                return self._ready[:0]
            self._flush()
        self._held = False
        taken, self._ready = np.split(self._ready, [VOICE_SAMPLES])
        return taken

    def _resample(self) -> None:
        """At most 100 ms at once: nobody waits for all of a long one."""
        size = self.rate_hz // 10 * _SAMPLE_BYTES
        part = np.frombuffer(bytes(self._sound[:size]), np.int16)
        del self._sound[:size]
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", "mono", VOICE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
        frame.sample_rate = self.rate_hz
        self._add(self._resampler.resample(frame))

    def _flush(self) -> None:
        if self._resampler is not None:
            self._add(self._resampler.resample(None))
            self._resampler = None

    def _add(self, frames: list[av.AudioFrame]) -> None:
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        self._ready = np.concatenate([self._ready, *parts])
