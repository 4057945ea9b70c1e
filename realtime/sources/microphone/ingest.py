"""Microphone packets in, hops on the media timeline out. Sans I/O: `now` is an argument.

Media time runs with the local clock from `start`; hop n ends at t0 + (n + 1) * 40 ms. The first
packet fixes where the sender's RTP time lies on it. A hop leaves when its last sample is there,
or `wait_s` after its nominal end with the gap concealed. Packets are decoded in the order in which
they were sent: at once if nothing is missing before them, else when the missing one comes or its
hop must leave. When packets keep coming too late, sound is placed later; when it could come
earlier, the surplus is taken out in pauses (or, if it is large, by shortening pitch periods), so
the microphone's delay follows the network both ways.
"""

from __future__ import annotations

from collections import deque
from math import gcd
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from realtime.media import VOICE_FACTOR, VOICE_RATE_HZ, VOICE_SAMPLES, Hop
from realtime.sources.microphone.conceal import Concealer
from realtime.sources.microphone.config import IngestConfig, IngestStats
from realtime.sources.microphone.jitter import DelayControl, Lateness, unwrap
from realtime.sources.microphone.opus import OpusDecoder
from realtime.sources.microphone.packet_order import Packet, PacketOrder
from realtime.sources.microphone.surplus import Surplus
from realtime.sources.microphone.timeline import Window
from realtime.sources.resample import Decimator

_SETTLING_S = 0.3  # after the first packet, while what queued up before comes in
_LONGEST_STALL = 2 * VOICE_RATE_HZ  # samples that may come in between two pulls
_STALL_S = 0.015  # called later than asked by more than this, we were held up
_GRACE_S = 0.015


class Decoder(Protocol):
    """What turns packets into sound; it has a memory. `OpusDecoder` is one.

    Each call raises ValueError on a payload that it cannot read.
    """

    def samples(self, payload: bytes) -> int:
        """Length of a packet's sound at 48 kHz."""
        ...

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """The sound of the next packet, int16 [n] mono at 48 kHz."""
        ...

    def recover(self, following: bytes, samples: int) -> NDArray[np.int16] | None:
        """The sound of the lost packet before `following`, if that holds a copy."""
        ...


class Ingest:
    """One microphone."""

    def __init__(self, config: IngestConfig | None = None, decoder: Decoder | None = None) -> None:
        self.config = config or IngestConfig()
        self.stats = IngestStats()
        self._wait = round(self.config.wait_s * VOICE_RATE_HZ)
        self._max_ahead = round(self.config.max_ahead_s * VOICE_RATE_HZ)
        self._control = DelayControl(self._wait, round(self.config.max_insert_s * VOICE_RATE_HZ))
        self._decoder = decoder or OpusDecoder()
        self._order = PacketOrder()
        self._decoded_to = 0  # RTP time
        self._decimate = Decimator()
        self._conceal = Concealer()
        self._vad = VoiceActivity(self.config.vad)
        self._t0: float | None = None
        self._window = Window(self._max_ahead + _LONGEST_STALL)
        self._offset: int | None = None  # position of a sample, less its RTP time
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
        self._lateness = Lateness()
        self._surplus = Surplus(self._control, self.config.urgent_s)

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
        return self._window.start // VOICE_FACTOR

    def start(self, now: float) -> None:
        """Media time begins at local time `now`."""
        if self._t0 is not None:
            raise RuntimeError("start() was called before")
        self._t0 = now

    def next_deadline(self) -> float:
        """Local time at which `pull` has a hop at the latest."""
        wait = 0 if self._offset is None else self._wait
        end = self.t0 + (self._window.start + VOICE_SAMPLES + wait) / VOICE_RATE_HZ
        return max(end, self._grace_until)

    def push(
        self, rtp_timestamp: int, sequence: int, payload: bytes, now: float, *, ssrc: int = 0
    ) -> None:
        """Take one packet as it comes."""
        try:
            samples = self._decoder.samples(payload)
        except ValueError:
            self.stats.undecodable += 1
            return
        self._notice_stall(now)
        self.stats.received += 1
        fresh = self._offset is None or ssrc != self._ssrc
        if fresh:
            self._ssrc, self._rtp_time, self._sequence = ssrc, rtp_timestamp, sequence
            self._seen.clear()
        sequence = unwrap(sequence, self._sequence, 16)
        packet = Packet(sequence, unwrap(rtp_timestamp, self._rtp_time, 32), samples, payload)
        if fresh:
            self._anchor(packet, now)
        elif sequence in self._seen:
            self.stats.duplicate += 1
            return
        self._seen.append(sequence)
        if self._stray(packet, now):
            return
        self._count_lost(sequence)
        self._rtp_time = max(self._rtp_time, packet.time)
        self._last_arrival = now
        if not self._stalled(now):  # else its arrival tells nothing about the network
            self._control.arrival(self._position(packet.time), self._media_time(now), now)
            self.stats.jitter_ms = self._control.jitter_samples * 1000 / VOICE_RATE_HZ
        if self._order.put(packet):
            self._decode_in_order(self._window.start, now)
        else:
            self.stats.late += 1

    def pull(self, now: float) -> list[Hop]:
        """All hops that are complete, or may wait no longer, in order."""
        self._notice_stall(now)
        hops = []
        while self._window.complete or self._due(now):
            hops.append(self._emit(now))
        self._promised = self.next_deadline()
        return hops

    def _notice_stall(self, now: float) -> None:
        """We were not called when we asked to be: packets wait in the socket, not in the network.

        Give the event loop a moment to hand them over before anything is concealed.
        """
        if self._offset is not None and now - self._promised > _STALL_S:
            self.stats.stalls += 1
            self._grace_until = now + _GRACE_S
            self._promised = self._grace_until

    def _stalled(self, now: float) -> bool:
        return now < self._grace_until

    # Decoding

    def _decode_in_order(self, before: int, now: float) -> None:
        """Decode what can be; packets whose sound belongs before position `before` are missed no
        longer."""
        while (packet := self._order.first) is not None:
            missing = self._order.missing
            # In the silence before them a sender may have sent nothing.
            begin = max(self._decoded_to, packet.time - missing * packet.samples)
            if missing and self._position(begin) >= before and not self._order.full:
                return
            self._order.take()
            try:
                if missing:
                    self._recover(packet, begin, now)
                pcm = self._decoder.decode(packet.payload)
            except ValueError:
                self.stats.undecodable += 1
                continue
            self._decoded_to = packet.time + packet.samples
            self._place(packet.time, pcm, now)

    def _recover(self, following: Packet, begin: int, now: float) -> None:
        """Packets from RTP time `begin` up to this one are lost, the last one perhaps not quite."""
        lost = max(0, following.time - begin)
        pcm = self._decoder.recover(following.payload, following.samples)
        if pcm is not None:
            self.stats.recovered += 1
            self._write(self._position(following.time - len(pcm)), pcm, now)
            lost = max(0, lost - len(pcm))
        self.stats.concealed_samples += lost // VOICE_FACTOR

    # Placing

    def _media_time(self, now: float) -> int:
        return round((now - self.t0) * VOICE_RATE_HZ)

    def _position(self, rtp_time: int) -> int:
        """Where a sample of this RTP time belongs on the media timeline."""
        assert self._offset is not None
        return rtp_time + self._offset

    def _anchor(self, packet: Packet, now: float) -> None:
        """Let the packet end now, or at the next place where packet ends meet hop ends."""
        quantum = gcd(packet.samples, VOICE_SAMPLES)
        media_now = self._media_time(now)
        self._first_anchored = min(self._first_anchored, now)
        if self.config.align and now - self._first_anchored < _SETTLING_S:
            self._t0 = self.t0 + (media_now % quantum) / VOICE_RATE_HZ
            media_now -= media_now % quantum
        end = -(-media_now // quantum) * quantum
        self._offset = end - packet.samples - packet.time
        self._order.start(packet.sequence)
        self._window.forget()
        self._decoded_to = self._rtp_time = packet.time
        self._anchored = now
        self._control.forget()
        self._lateness.forget()
        self._strays = 0
        self._surplus.forget()
        self.stats.reanchors += 1

    def _move(self, shift: int) -> None:
        """Place sound `shift` samples later from now on."""
        assert self._offset is not None
        self._offset += shift
        self._control.moved(shift)
        milliseconds = shift / (VOICE_RATE_HZ / 1000)
        self.stats.inserted_ms += max(0.0, milliseconds)
        self.stats.removed_ms += max(0.0, -milliseconds)

    def _stray(self, packet: Packet, now: float) -> bool:
        """Deal with packets that do not fit the timeline; True: drop this one."""
        lead = self._position(packet.time) + packet.samples - self._media_time(now)
        stalled = self._stalled(now)  # then it may have waited for us for any time
        fits = lead <= self._max_ahead and (stalled or lead > -2 * self._max_ahead)
        silent_s = 0.0 if stalled else now - self._last_arrival
        resumed = silent_s > 1.0 and not -self._wait <= lead <= 4 * VOICE_SAMPLES
        usual = (
            0 if self.config.align else gcd(packet.samples, VOICE_SAMPLES)
        )  # lead right after anchoring
        settling = now - self._anchored < _SETTLING_S and lead > usual + 240
        if fits and not resumed and not settling:
            self._strays = 0
            return False
        self._strays += 1
        if self._strays < 3 and not settling and not resumed:
            self.stats.rejected += 1
            return True
        started = self._anchored
        self._anchor(packet, now)
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

    def _place(self, rtp_time: int, pcm: NDArray[np.int16], now: float) -> None:
        quantum = gcd(len(pcm), VOICE_SAMPLES)
        cut = 0
        if not self._stalled(now):
            missed = self._window.start - self._position(rtp_time)
            late = self._lateness.step(missed, quantum, now)
            insert = max(self._control.to_insert(quantum), late)
            if insert:  # and give up what was left to cut, so that packets meet hops again
                self._move(insert - self._surplus.forget() % quantum)
                self._lateness.forget()
            else:
                if self.stats.received % 10 == 0:
                    self._surplus.seek(quantum, now)
                pcm, cut = self._surplus.take_out(pcm, now, pausing=self._vad.pausing)
        position = self._position(rtp_time)
        if len(pcm):
            self.stats.late += position + len(pcm) <= self._window.start
            self._write(position, pcm, now)
        if cut:
            self._move(-cut)

    def _write(self, position: int, pcm: NDArray[np.int16], now: float) -> None:
        late = min(len(pcm), max(0, self._window.start - position))
        self.stats.concealed_samples += late // VOICE_FACTOR
        self._window.write(position, pcm, now)

    # Pulling

    def _due(self, now: float) -> bool:
        """Whether the next hop may wait no longer; then what is held of it is decoded."""
        if now < self.next_deadline():
            return False
        self._decode_in_order(self._window.start + VOICE_SAMPLES, now)
        return True

    def _emit(self, now: float) -> Hop:
        complete = self._window.complete
        came = self._window.take()
        voice = self._conceal(came.pcm, came.present)
        samples = self._decimate(voice)
        edges = self._vad(samples)
        return Hop(
            start=came.position // VOICE_FACTOR,
            samples=samples,
            voice=voice,
            speech=self._vad.speech,
            arrived=came.touched if complete and came.touched is not None else now,
            edges=edges,
        )
