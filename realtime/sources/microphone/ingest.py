"""Decoded microphone packets in, hops on the media timeline out. Sans I/O: `now` is an argument.

Media time runs with the local clock from `start`; hop n ends at t0 + (n + 1) * 40 ms. The first
packet fixes where the sender's RTP time lies on it. A hop leaves when its last sample is there,
or `wait_s` after its nominal end with the gap concealed. When packets keep coming too late,
sound is placed later; when it could come earlier, the surplus is taken out in pauses (or, if it
is large, by shortening pitch periods), so the microphone's delay follows the network both ways.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import gcd

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VadConfig, VoiceActivity
from realtime.media import Hop
from realtime.sources.microphone.conceal import Concealer, compress
from realtime.sources.microphone.jitter import HOP, DelayControl, unwrap
from realtime.sources.microphone.timeline import Placement, Window
from realtime.sources.resample import FACTOR, WEBRTC_RATE_HZ, Decimator

_SETTLING_S = 0.3  # after the first packet, while what queued up before comes in
_LONGEST_STALL = 2 * WEBRTC_RATE_HZ  # samples that may come in between two pulls
_STALL_S = 0.015  # called later than asked by more than this, we were held up
_GRACE_S = 0.015


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """Patience and limits of the microphone's path."""

    wait_s: float = 0.010
    """How long after its nominal end a hop may still be completed. Part of the playout delay."""
    max_insert_s: float = 0.120
    """Largest delay added in one go for a network that delivers irregularly."""
    max_ahead_s: float = 0.5
    """Packets that claim to be further in the future are not of this timeline."""
    urgent_s: float = 0.060
    """Surplus delay above which speech is shortened too, not only pauses."""
    align: bool = False
    """Move the timeline later, by less than a packet and once, so that hops end where the first
    packets do. Saves 10 ms on average; whoever paces by `Ingest.t0` must read it again."""
    vad: VadConfig = field(default_factory=VadConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.wait_s <= 0.1:
            raise ValueError(f"wait_s is {self.wait_s}; 0 to 0.1 s are sensible")


@dataclass
class IngestStats:
    """Counters since the session began; delays in milliseconds."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    reanchors: int = 0
    stalls: int = 0
    concealed_samples: int = 0
    inserted_ms: float = 0.0
    removed_ms: float = 0.0
    jitter_ms: float = 0.0


class Ingest:
    """One microphone."""

    def __init__(self, config: IngestConfig | None = None) -> None:
        self.config = config or IngestConfig()
        self.stats = IngestStats()
        self._wait = round(self.config.wait_s * WEBRTC_RATE_HZ)
        self._max_ahead = round(self.config.max_ahead_s * WEBRTC_RATE_HZ)
        self._control = DelayControl(self._wait, round(self.config.max_insert_s * WEBRTC_RATE_HZ))
        self._decimate = Decimator()
        self._conceal = Concealer()
        self._vad = VoiceActivity(self.config.vad)
        self._t0: float | None = None
        self._window = Window(self._max_ahead + _LONGEST_STALL)
        self._placement = Placement()
        self._ssrc = 0
        self._rtp_time = 0
        self._sequence = 0
        self._seen: deque[int] = deque(maxlen=64)
        self._promised = float("inf")  # when we asked to be called, at the latest
        self._grace_until = float("-inf")
        self._last_arrival = float("-inf")
        self._anchored = float("-inf")
        self._first_anchored = float("inf")
        self._strays = 0  # consecutive packets that do not fit the timeline
        self._late_since: float | None = None
        self._late_count = 0
        self._late_by = 0
        self._surplus = 0
        self._surplus_since: float | None = None
        self._packets_to_cut = 0

    @property
    def t0(self) -> float:
        """Local time of media time 0. May move when the first packets come (`align`)."""
        if self._t0 is None:
            raise RuntimeError("start() comes first")
        return self._t0

    @property
    def speech(self) -> bool:
        """Someone was speaking at the end of the last hop pulled."""
        return self._vad.speech

    @property
    def position(self) -> int:
        """Sample index at 16 kHz up to which hops were pulled."""
        return self._window.start // FACTOR

    def mic_active(self, now: float) -> bool:
        """Whether packets are coming."""
        return now - self._last_arrival < 1.0

    def start(self, now: float) -> None:
        """Media time begins at local time `now`."""
        if self._t0 is not None:
            raise RuntimeError("start() was called before")
        self._t0 = now

    def next_deadline(self) -> float:
        """Local time at which `pull` has a hop at the latest."""
        wait = self._wait if self._placement else 0
        end = self.t0 + (self._window.start + HOP + wait) / WEBRTC_RATE_HZ
        return max(end, self._grace_until)

    def push(
        self,
        rtp_timestamp: int,
        sequence: int,
        pcm48: NDArray[np.int16],
        now: float,
        *,
        ssrc: int = 0,
    ) -> None:
        """Place one decoded packet, int16 [n] mono at 48 kHz, on the timeline."""
        if pcm48.dtype != np.int16 or pcm48.ndim != 1 or not 120 <= len(pcm48) <= 5_760:
            self.stats.rejected += 1
            return
        media_now = self._media_time(now)
        self._notice_stall(now)
        self.stats.received += 1
        if not self._placement or ssrc != self._ssrc:
            self._ssrc = ssrc
            self._rtp_time, self._sequence = rtp_timestamp, sequence
            self._seen.clear()
            self._anchor(rtp_timestamp, len(pcm48), media_now, now)
            media_now = self._media_time(now)
        sequence = unwrap(sequence, self._sequence, 16)
        if sequence in self._seen:
            self.stats.duplicate += 1
            return
        self._seen.append(sequence)
        rtp_time = unwrap(rtp_timestamp, self._rtp_time, 32)
        if self._stray(rtp_time, len(pcm48), media_now, now):
            return
        self._count_lost(sequence)
        self._rtp_time = max(self._rtp_time, rtp_time)
        self._last_arrival = now
        self._place(rtp_time, pcm48, self._media_time(now), now)

    def pull(self, now: float) -> list[Hop]:
        """All hops that are complete, or may wait no longer, in order."""
        self._notice_stall(now)
        hops = []
        while self._window.complete or now >= self.next_deadline():
            hops.append(self._emit(now))
        self._promised = self.next_deadline()
        return hops

    def _notice_stall(self, now: float) -> None:
        """We were not called when we asked to be: packets wait in the socket, not in the network.

        Give the event loop a moment to hand them over before anything is concealed.
        """
        if self._placement and now - self._promised > _STALL_S:
            self.stats.stalls += 1
            self._grace_until = now + _GRACE_S
            self._promised = self._grace_until

    # Placing

    def _media_time(self, now: float) -> int:
        return round((now - self.t0) * WEBRTC_RATE_HZ)

    def _anchor(self, rtp_time: int, length: int, media_now: int, now: float) -> None:
        """Let the packet end now, or at the next place where packet ends meet hop ends."""
        quantum = gcd(length, HOP)
        self._first_anchored = min(self._first_anchored, now)
        if self.config.align and now - self._first_anchored < _SETTLING_S:
            self._t0 = self.t0 + (media_now % quantum) / WEBRTC_RATE_HZ
            media_now -= media_now % quantum
        end = -(-media_now // quantum) * quantum
        self._placement.anchor(rtp_time, end - length)
        self._window.forget()
        self._rtp_time = rtp_time
        self._anchored = now
        self._control.forget()
        self._late_since = None
        self._strays = 0
        self._surplus = 0
        self.stats.reanchors += 1

    def _move(self, since: int, shift: int) -> None:
        """From RTP time `since` on, place sound `shift` samples later."""
        self._placement.move(since, shift)
        self._control.moved(shift)
        milliseconds = shift / (WEBRTC_RATE_HZ / 1000)
        self.stats.inserted_ms += max(0.0, milliseconds)
        self.stats.removed_ms += max(0.0, -milliseconds)

    def _stray(self, rtp_time: int, length: int, media_now: int, now: float) -> bool:
        """Deal with packets that do not fit the timeline; True: drop this one."""
        lead = self._placement.position(rtp_time) + length - media_now
        stalled = now < self._grace_until  # then it may have waited for us for any time
        fits = lead <= self._max_ahead and (stalled or lead > -2 * self._max_ahead)
        silent_s = 0.0 if stalled else now - self._last_arrival
        resumed = silent_s > 1.0 and not -self._wait <= lead <= 4 * HOP
        usual = 0 if self.config.align else gcd(length, HOP)  # lead right after anchoring
        settling = now - self._anchored < _SETTLING_S and lead > usual + 240
        if fits and not resumed and not settling:
            self._strays = 0
            return False
        self._strays += 1
        if self._strays < 3 and not settling and not resumed:
            self.stats.rejected += 1
            return True
        started = self._anchored
        self._anchor(rtp_time, length, media_now, now)
        if settling:  # a queue that built up before we listened: the newest packet is now
            self._anchored = started
            self.stats.reanchors -= 1
        return False

    def _count_lost(self, sequence: int) -> None:
        """A gap counts as lost until the missing packets turn up after all."""
        if sequence > self._sequence:
            self.stats.lost += sequence - self._sequence - 1
            self._sequence = sequence
        elif sequence < self._sequence:
            self.stats.lost = max(0, self.stats.lost - 1)

    def _place(self, rtp_time: int, pcm: NDArray[np.int16], media_now: int, now: float) -> None:
        quantum = gcd(len(pcm), HOP)
        newest = rtp_time >= self._rtp_time
        position = self._placement.position(rtp_time)
        stalled = now < self._grace_until  # then arrival tells nothing about the network
        if not stalled:
            self._control.arrival(position, media_now, now)
            self.stats.jitter_ms = self._control.jitter_samples * 1000 / WEBRTC_RATE_HZ
        if newest and not stalled:
            insert = max(self._control.to_insert(quantum), self._step(position, quantum, now))
            if insert:  # and give up what was left to cut, so that packets meet hops again
                self._move(rtp_time, insert - self._surplus % quantum)
                self._surplus = 0
                self._late_since = None
            else:
                pcm = self._shorten(rtp_time, pcm, quantum, now)
            position = self._placement.position(rtp_time)
        if not len(pcm):
            return
        if position + len(pcm) <= self._window.start:
            self.stats.late += 1
            return
        self._window.write(position, pcm, now)

    def _step(self, position: int, quantum: int, now: float) -> int:
        """Shift that follows a step in the network's delay: packet after packet came too late."""
        missed = self._window.start - position
        if missed <= 0:
            self._late_since = None
            return 0
        if self._late_since is None:
            self._late_since, self._late_count, self._late_by = now, 0, missed
        self._late_count += 1
        self._late_by = min(self._late_by, missed)
        if self._late_count < 3 or now - self._late_since < 0.06:
            return 0
        return -(-self._late_by // quantum) * quantum

    def _shorten(
        self, rtp_time: int, pcm: NDArray[np.int16], quantum: int, now: float
    ) -> NDArray[np.int16]:
        """Take surplus delay out of this packet if now is a good moment."""
        if self._surplus <= 0 and self.stats.received % 10 == 0:
            self._surplus = self._control.to_remove(quantum)
            self._surplus_since = now if self._surplus else None
        if self._surplus <= 0:
            return pcm
        pause = self._vad.pausing and int(np.abs(pcm).max()) < 3_000
        urgent = (
            self._surplus > self.config.urgent_s * WEBRTC_RATE_HZ
            and self._surplus_since is not None
            and now - self._surplus_since > 1.0
        )
        self._packets_to_cut -= 1
        if not pause and not (urgent and self._packets_to_cut <= 0):
            return pcm
        if pause and self._surplus >= len(pcm):
            shorter, cut = pcm[:0], len(pcm)
        else:
            shorter, cut = compress(pcm, self._surplus, at_pitch=not pause)
        if cut:
            self._packets_to_cut = 5
            self._surplus -= cut
            self._move(rtp_time + len(pcm), -cut)
        return shorter

    # Pulling

    def _emit(self, now: float) -> Hop:
        complete = self._window.complete
        came = self._window.take()
        voice, concealed = self._conceal(came.pcm, came.present)
        samples = self._decimate(voice)
        edges = self._vad(samples)
        self.stats.concealed_samples += concealed // FACTOR
        return Hop(
            start=came.position // FACTOR,
            samples=samples,
            voice=voice,
            speech=self._vad.speech,
            arrived=came.touched if complete and came.touched is not None else now,
            concealed=concealed // FACTOR,
            edges=edges,
        )
