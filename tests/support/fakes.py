"""Stand-ins that tests share: a clock one turns by hand, a microphone behind a bad network."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import av
import numpy as np
from numpy.typing import NDArray

from realtime.media import Hop
from realtime.sinks.webrtc.codecs import OpusEncoder
from realtime.sources.microphone.ingest import Ingest

PACKET = 960
"""Samples of a 20 ms packet at 48 kHz."""


class ManualClock:
    """Time stands still until `advance`; sleepers wake in the order of their deadlines."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep_until(self, deadline: float) -> None:
        if deadline <= self._now:
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline, next(self._order), waiter))
        await waiter

    def jump(self, seconds: float) -> None:
        """Let time pass in which nothing runs: the process was suspended."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass; everything that is due on the way runs at its own time."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end + 1e-9:
            deadline, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():
                continue
            self._now = max(self._now, deadline)
            waiter.set_result(None)
            await settle()
        self._now = max(self._now, end)
        await settle()


async def settle() -> None:
    """Run the event loop until nothing is left to do without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


class PcmDecoder:
    """Packets that hold plain samples; it has no memory and finds no copies in them."""

    def samples(self, payload: bytes) -> int:
        if not 240 <= len(payload) <= 11_520:  # what Opus packets hold
            raise ValueError(f"{len(payload)} bytes")
        return len(payload) // 2

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        return np.frombuffer(payload, np.int16).copy()

    def recover(self, following: bytes, samples: int) -> None:
        return None


def opus_packets(pcm: NDArray[np.int16], bps: int = 24_000) -> list[bytes]:
    """Packets of int16 [n * 960], with copies of those before, as browsers send under loss."""
    encoder = OpusEncoder(bps=bps, expected_loss_percent=20)
    payloads = []
    for n, part in enumerate(pcm.reshape(-1, PACKET)):
        frame = av.AudioFrame.from_ndarray(part[None], "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, n * PACKET
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads


@dataclass(frozen=True)
class SentPacket:
    """One packet of a microphone, and when it reaches us."""

    rtp_timestamp: int
    sequence: int
    payload: bytes
    sent: float
    arrival: float
    ssrc: int = 1


def microphone(
    signal: NDArray[np.int16] | list[bytes],
    *,
    start: float = 0.0,
    delay: Callable[[float], float] = lambda sent: 0.0,
    drift_ppm: float = 0.0,
    rtp_start: int = 0,
    sequence_start: int = 0,
) -> list[SentPacket]:
    """Packets of `signal`, int16 [n * 960] at 48 kHz (for `PcmDecoder`), or encoded ones of 20 ms.

    A packet is sent when its last sample is recorded and arrives `delay(sent)` later. With
    `drift_ppm` the sender's clock runs fast by that much.
    """
    if not isinstance(signal, list):
        signal = [pcm.tobytes() for pcm in signal.reshape(-1, PACKET)]
    packets = []
    for n, payload in enumerate(signal):
        sent = start + (n + 1) * 0.02 / (1 + drift_ppm * 1e-6)
        packets.append(
            SentPacket(
                rtp_timestamp=(rtp_start + n * PACKET) % 2**32,
                sequence=(sequence_start + n) % 2**16,
                payload=payload,
                sent=sent,
                arrival=sent + delay(sent),
            )
        )
    return packets


def lossy(packets: list[SentPacket], rate: float, rng: np.random.Generator) -> list[SentPacket]:
    """Without a random share `rate` of the packets."""
    return [p for p in packets if rng.random() >= rate]


def held_up(packets: list[SentPacket], start: float, stop: float) -> list[SentPacket]:
    """What would arrive in [start, stop) arrives all at once at `stop`."""
    return [replace(p, arrival=stop if start <= p.arrival < stop else p.arrival) for p in packets]


def deliver(ingest: Ingest, packets: Iterable[SentPacket], until: float) -> list[Hop]:
    """Push packets as they arrive and pull hops as they are due, up to local time `until`."""
    hops = []
    for packet in sorted(packets, key=lambda p: p.arrival):
        while ingest.next_deadline() <= packet.arrival:
            hops += ingest.pull(ingest.next_deadline())
        ingest.push(
            packet.rtp_timestamp, packet.sequence, packet.payload, packet.arrival, ssrc=packet.ssrc
        )
        hops += ingest.pull(packet.arrival)
    while ingest.next_deadline() <= until:
        hops += ingest.pull(ingest.next_deadline())
    return hops
