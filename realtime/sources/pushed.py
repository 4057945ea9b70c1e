"""Speech made elsewhere and pushed as PCM, often much faster than it is spoken.

It is cut into hops that leave at the beginning of their time, since their sound is there already;
between utterances there is silence. Sans I/O: time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from realtime.media import (
    HOP_S,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    VOICE_FACTOR,
    VOICE_SAMPLES,
    Hop,
)
from realtime.playout import HOPELESS_S
from realtime.sources.resample import Decimator
from realtime.sources.source import Playback
from realtime.sources.utterance import Utterance

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000
MAX_WAITING_S = 300.0
"""Speech that may wait to be spoken."""
PAUSE_S = 0.5
"""If nothing comes for so long, and nothing waits, an utterance is over though nobody said so."""
RESERVE_S = 0.2
"""Of an utterance that is not whole, what more must be there than is asked for: whoever pushes
pieces as fast as they are spoken would run dry."""
_MANY = 1_000  # hops
_KNOWN = 200  # utterances that can be asked for by their id


class TooMuchSpeech(ValueError):
    """More speech than may wait; `over_s` is by how much."""

    def __init__(self, message: str, over_s: float) -> None:
        super().__init__(message)
        self.over_s = over_s


@dataclass(frozen=True)
class _Piece:
    """An utterance's part in a hop."""

    utterance: Utterance
    start: int
    end: int
    last: bool


def check_rate(rate_hz: int) -> int:
    """The rate; ValueError where pushed speech cannot have it."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise ValueError(
            f"pushed speech has {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, not {rate_hz}"
        )
    return rate_hz


class PushedSpeech:
    """Speech pushed by a program: `push`, `commit` at the end of each utterance, `clear`.

    Args:
        rate_hz: of PCM whose rate is not told, 8,000 to 48,000.
    """

    live = True
    latency_s = 0.0
    end: int | None = None

    def __init__(self, rate_hz: int = 24_000) -> None:
        self.on_ready: Callable[[], None] = lambda: None
        self.rate_hz = check_rate(rate_hz)
        self._utterances: deque[Utterance] = deque()  # not wholly cut into hops
        self._pieces: deque[_Piece] = deque()  # cut, not played
        self._heard: Utterance | None = None  # the one that viewers hear now
        self._known: OrderedDict[str, Utterance] = OrderedDict()
        self.last_committed: Utterance | None = None
        self.clears = 0
        """How often `clear` was called."""
        self._unwanted: Utterance | None = None  # its rest is still on its way
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
        self._pushed = max(self._pushed, now)  # what waited for the beginning may go on

    # Speech in

    @property
    def waiting_s(self) -> float:
        """Speech that still has to wait for its turn."""
        return sum(utterance.waiting / utterance.rate_hz for utterance in self._utterances)

    @property
    def under_way(self) -> bool:
        """Whether something was pushed that is not committed."""
        return bool(self._utterances) and not self._utterances[-1].committed

    @property
    def active(self) -> Utterance | None:
        """The utterance that is heard, or else the first that will be."""
        if self._heard is not None:
            return self._heard
        if self._pieces:
            return self._pieces[0].utterance
        return self._utterances[0] if self._utterances else None

    def find(self, utterance_id: str) -> Utterance | None:
        """The utterance of this id, if it is one of the last 200."""
        return self._known.get(utterance_id)

    def waits(self, utterance: Utterance) -> bool:
        """Whether anything of it was not heard yet."""
        cut = (piece.utterance for piece in self._pieces)
        return utterance in (self._heard, *self._utterances, *cut)

    def push(self, pcm: NDArray[np.int16], now: float, rate_hz: int | None = None) -> None:
        """Add to the utterance that is under way, or begin one: int16 [n] at `rate_hz`, by default
        the source's own.

        Raises:
            TooMuchSpeech: more than five minutes would wait; nothing of it was taken.
            ValueError: this is no mono int16 sound, or of another rate than the utterance.
        """
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"pushed speech is int16 [n], not {pcm.dtype} {list(pcm.shape)}")
        rate_hz = rate_hz or self.rate_hz
        waiting_s = self.waiting_s + len(pcm) / rate_hz
        if waiting_s > MAX_WAITING_S:
            raise TooMuchSpeech(
                f"{waiting_s:.0f} s of speech would wait to be spoken; at most "
                f"{MAX_WAITING_S:.0f} s are kept: push more once some of it was played",
                over_s=waiting_s - MAX_WAITING_S,
            )
        if not len(pcm):
            return
        if self._is_unwanted(now):
            self._pushed = now
            return
        utterance = self._under_way(rate_hz)
        if utterance.rate_hz != rate_hz:
            raise ValueError(
                f"the utterance under way has {utterance.rate_hz} Hz, this sound {rate_hz}: "
                "commit the one before the other begins"
            )
        utterance.push(pcm)
        self._pushed = now
        if self._is_to_begin:
            self.on_ready()

    def _is_unwanted(self, now: float) -> bool:
        if now - self._pushed > PAUSE_S:
            self._unwanted = None
        return self._unwanted is not None

    def _under_way(self, rate_hz: int) -> Utterance:
        if not self.under_way:
            utterance = Utterance(check_rate(rate_hz))
            self._utterances.append(utterance)
            self._known[utterance.id] = utterance
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return self._utterances[-1]

    def commit(self) -> Utterance | None:
        """What was pushed is a whole utterance; None if nothing was since the last."""
        if self._unwanted is not None:
            interrupted, self._unwanted = self._unwanted, None
            return interrupted
        if not self.under_way:
            return None
        self.last_committed = self._utterances[-1]
        self.last_committed.committed = True
        return self.last_committed

    def retract(self) -> None:
        """Forget what was pushed, not committed and not cut into hops yet."""
        self.heed()
        if self.under_way:
            utterance = self._utterances[-1]
            begun = utterance.waiting < utterance.pushed
            utterance.cut()
            if not begun:
                self._utterances.pop()

    def interrupt(self, now: float) -> None:
        """Before `clear`, where whoever pushes does not know of it yet: what comes up to the next
        commit, or a pause, is of the utterance that is cut short, and is forgotten too."""
        if self.under_way:
            self._unwanted = self._utterances[-1]
            self._pushed = now

    def heed(self) -> None:
        """Whoever pushes knows of it: what comes now is new."""
        self._unwanted = None

    def clear(self) -> Playback:
        """Forget what was pushed and not played, committed or not."""
        cleared, played_ms = self.active, 0
        if self._heard is not None:
            played_ms = self._heard.spoken_ms
        for utterance in self._utterances:
            utterance.cut()
        self.clears += 1
        self._utterances.clear()
        self._pieces.clear()
        self._heard = None
        return Playback("cleared", played_ms, "" if cleared is None else cleared.id)

    # Hops out

    @property
    def _is_to_begin(self) -> bool:
        """Whether all that was cut was played, and something waits."""
        return not self._pieces and self._heard is None and bool(self._utterances)

    def take_back(self, played: int, most: int, now: float) -> int:
        """See `Foresees`: when an utterance begins, the silence before it that was not played."""
        if not self._is_to_begin:
            return 0
        # The hop that is being played, or comes next, may hold the fading end of a sound.
        silent = self._next - (played // HOP_SAMPLES + 1) * HOP_SAMPLES
        wanted = max(0, min(silent, most)) // HOP_SAMPLES
        hops = min(wanted, self._hops_to_spare())
        if hops < wanted and now < self.next_deadline():
            return 0  # more may come until then
        self._next -= hops * HOP_SAMPLES
        return hops * HOP_SAMPLES

    def _hops_to_spare(self) -> int:
        utterance = self._utterances[0]
        if utterance.committed:
            return _MANY
        spare_s = utterance.waiting / utterance.rate_hz - RESERVE_S
        return max(0, int(spare_s * SAMPLE_RATE_HZ) // HOP_SAMPLES - 1)

    def next_deadline(self) -> float:
        return self._t0 + self._next / SAMPLE_RATE_HZ

    def pull(self, now: float) -> Sequence[Hop]:
        hops = []
        if now - self.next_deadline() > HOPELESS_S:  # held up: what nobody can hear is no speech
            while now >= self.next_deadline() + HOP_S:
                hops.append(self._cut(now, silent=True))
        while now >= self.next_deadline():
            hops.append(self._cut(now))
        return hops

    def _cut(self, now: float, *, silent: bool = False) -> Hop:
        start, self._next = self._next, self._next + HOP_SAMPLES
        voice: NDArray[np.int16] = np.zeros(VOICE_SAMPLES, np.int16)
        if self._utterances and not silent:
            speech = self._take(start, now)
            voice[: len(speech)] = speech
        samples = self._decimate(voice)
        self._vad(samples)
        return Hop(start, samples, voice, self._vad.speech, now)

    def _take(self, start: int, now: float) -> NDArray[np.int16]:
        utterance = self._utterances[0]
        if not utterance.waiting and now - self._pushed > PAUSE_S:
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
                told.append(Playback("started", 0, utterance.id))
            utterance.spoken += max(0, min(position, piece.end) - max(self._played, piece.start))
            if position < piece.end:
                break
            self._pieces.popleft()
            if piece.last:
                self._heard = None
                told.append(Playback("stopped", utterance.spoken_ms, utterance.id))
        self._played = position
        return told
