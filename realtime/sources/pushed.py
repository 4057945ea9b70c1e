"""Speech made elsewhere and pushed as PCM, often much faster than it is spoken.

It is cut into hops that leave at the beginning of their time, since their sound is there already;
between utterances there is silence. Sans I/O: time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from realtime.media import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    VOICE_FACTOR,
    VOICE_RATE_HZ,
    VOICE_SAMPLES,
    Hop,
)
from realtime.sources.resample import Decimator
from realtime.sources.source import Playback

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000
MAX_WAITING_S = 300.0
"""Speech that may wait to be spoken."""
PAUSE_S = 0.5
"""If nothing comes for so long, an utterance is over even though nobody said so."""


class TooMuchSpeech(ValueError):
    """More speech than may wait."""


class _Utterance:
    """Speech from one `commit` to the next; resampled to 48 kHz when its turn comes."""

    def __init__(self, rate_hz: int) -> None:
        self.committed = False
        self.started = False
        """Viewers hear it."""
        self.spoken = 0
        """Samples at 16 kHz that viewers heard."""
        self.waiting = 0
        """Samples at its own rate that were not taken."""
        self._rate_hz = rate_hz
        self._chunks: deque[NDArray[np.int16]] = deque()
        self._resampler: av.AudioResampler | None = None
        self._ready: NDArray[np.int16] = np.zeros(0, np.int16)  # at 48 kHz
        self._held = False

    @property
    def spoken_ms(self) -> int:
        return self.spoken * 1000 // SAMPLE_RATE_HZ

    @property
    def over(self) -> bool:
        """Whether all of it was taken, and no more will come."""
        return self.committed and not self._chunks and not len(self._ready)

    def push(self, pcm: NDArray[np.int16]) -> None:
        self._chunks.append(pcm.copy())
        self.waiting += len(pcm)

    def take(self) -> NDArray[np.int16]:
        """At most a hop, int16 [n] at 48 kHz.

        Less than a hop is held back once, unless it is the end: if speech comes no faster than it
        is spoken, that makes the cushion which it needs.
        """
        while len(self._ready) < VOICE_SAMPLES and self._chunks:
            self._resample(self._chunks.popleft())
        if len(self._ready) < VOICE_SAMPLES:
            if not self.committed and not self._held:
                self._held = len(self._ready) > 0
                return self._ready[:0]
            self._flush()
        self._held = False
        taken, self._ready = np.split(self._ready, [VOICE_SAMPLES])
        return taken

    def _resample(self, chunk: NDArray[np.int16]) -> None:
        part = chunk[: self._rate_hz // 10]
        if len(chunk) > len(part):
            self._chunks.appendleft(chunk[len(part) :])
        self.waiting -= len(part)
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", "mono", VOICE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        self._add(self._resampler.resample(frame))

    def _flush(self) -> None:
        if self._resampler is not None:
            self._add(self._resampler.resample(None))
            self._resampler = None

    def _add(self, frames: list[av.AudioFrame]) -> None:
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        self._ready = np.concatenate([self._ready, *parts])


@dataclass(frozen=True)
class _Piece:
    """An utterance's part in a hop."""

    utterance: _Utterance
    start: int
    end: int
    last: bool


class PushedSpeech:
    """Speech pushed by a program: `push`, `commit` at the end of each utterance, `clear`.

    Args:
        rate_hz: of the PCM, 8,000 to 48,000.
    """

    live = True
    latency_s = 0.0
    end: int | None = None

    def __init__(self, rate_hz: int = 24_000) -> None:
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise ValueError(
                f"pushed speech has {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, not {rate_hz}"
            )
        self.on_ready: Callable[[], None] = lambda: None
        self.rate_hz = rate_hz
        self._utterances: deque[_Utterance] = deque()  # not wholly cut into hops
        self._pieces: deque[_Piece] = deque()  # cut, not played
        self._heard: _Utterance | None = None  # the one that viewers hear now
        self._decimate, self._vad = Decimator(), VoiceActivity()
        self._t0 = inf
        self._next = 0  # start of the next hop
        self._played = 0
        self._pushed = -inf  # when something came last

    @property
    def t0(self) -> float:
        return self._t0

    def start(self, now: float) -> None:
        self._t0 = now

    # Speech in

    @property
    def waiting_s(self) -> float:
        """Speech that still has to wait for its turn."""
        return sum(utterance.waiting for utterance in self._utterances) / self.rate_hz

    def push(self, pcm: NDArray[np.int16], now: float) -> None:
        """Add to the utterance that is under way, or begin one: int16 [n] at `rate_hz`.

        Raises:
            TooMuchSpeech: more than five minutes would wait; nothing of it was taken.
            ValueError: this is no mono int16 sound.
        """
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"pushed speech is int16 [n], not {pcm.dtype} {list(pcm.shape)}")
        waiting_s = self.waiting_s + len(pcm) / self.rate_hz
        if waiting_s > MAX_WAITING_S:
            raise TooMuchSpeech(
                f"{waiting_s:.0f} s of speech would wait to be spoken; at most "
                f"{MAX_WAITING_S:.0f} s are kept: push more once some of it was played"
            )
        if not len(pcm):
            return
        if not self._utterances or self._utterances[-1].committed:
            self._utterances.append(_Utterance(self.rate_hz))
        self._utterances[-1].push(pcm)
        self._pushed = now

    def commit(self) -> None:
        """What was pushed so far is a whole utterance."""
        if self._utterances:
            self._utterances[-1].committed = True

    def clear(self) -> Playback:
        """Forget what was pushed and not played, committed or not."""
        played_ms = self._heard.spoken_ms if self._heard is not None else 0
        self._utterances.clear()
        self._pieces.clear()
        self._heard = None
        return Playback("cleared", played_ms)

    # Hops out

    def next_deadline(self) -> float:
        return self._t0 + self._next / SAMPLE_RATE_HZ

    def pull(self, now: float) -> Sequence[Hop]:
        hops = []
        while now >= self.next_deadline():
            hops.append(self._cut(now))
        return hops

    def _cut(self, now: float) -> Hop:
        start, self._next = self._next, self._next + HOP_SAMPLES
        voice: NDArray[np.int16] = np.zeros(VOICE_SAMPLES, np.int16)
        if self._utterances:
            speech = self._take(start, now)
            voice[: len(speech)] = speech
        samples = self._decimate(voice)
        self._vad(samples)
        return Hop(start, samples, voice, self._vad.speech, now)

    def _take(self, start: int, now: float) -> NDArray[np.int16]:
        utterance = self._utterances[0]
        if now - self._pushed > PAUSE_S:
            utterance.committed = True
        speech = utterance.take()
        if utterance.over:
            self._utterances.popleft()
        if len(speech) or utterance.over:
            end = start + len(speech) // VOICE_FACTOR
            self._pieces.append(_Piece(utterance, start, end, utterance.over))
        return speech

    # What became of it

    def played(self, position: int) -> Sequence[Playback]:
        told = []
        while self._pieces and self._pieces[0].start < position:
            piece = self._pieces[0]
            utterance = piece.utterance
            if not utterance.started:
                utterance.started = True
                self._heard = utterance
                told.append(Playback("started", 0))
            utterance.spoken += max(0, min(position, piece.end) - max(self._played, piece.start))
            if position < piece.end:
                break
            self._pieces.popleft()
            if piece.last:
                self._heard = None
                told.append(Playback("stopped", utterance.spoken_ms))
        self._played = position
        return told
