"""The microphone's receiver, in place of aiortc's `RTCRtpReceiver` (checked with 1.16.0).

aiortc's audio receiver holds 80 ms before it decodes and keeps what a loss adds to that. This
one gives each packet to `Ingest` as it comes. It offers what `RTCPeerConnection`,
`RTCRtpTransceiver` and `RTCDtlsTransport` ask of a receiver: `track`, `_track`, `transport`,
`setTransport`, `receive`, `stop`, `getStats`, `_set_rtcp_ssrc`, `_handle_rtp_packet`,
`_handle_rtcp_packet`, `_handle_disconnect`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from aiortc import MediaStreamTrack, RTCStatsReport, rtp
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

from realtime.clock import Clock
from realtime.media import VOICE_RATE_HZ
from realtime.sources.microphone.jitter import unwrap
from realtime.tasks import log_failure

logger = logging.getLogger(__name__)

_MAX_STREAMS = 4
"""SSRCs reported on; a microphone has one at a time."""


class PacketSink(Protocol):
    """Where packets go; `Ingest` is one."""

    def push(
        self, rtp_timestamp: int, sequence: int, payload: bytes, now: float, *, ssrc: int = 0
    ) -> None: ...


class StreamReport:
    """Reception statistics of one SSRC (RFC 3550, appendix A.3 and A.8)."""

    def __init__(self, ssrc: int, rate: int) -> None:
        self.ssrc = ssrc
        self._rate = rate
        self._base: int | None = None
        self._highest = 0
        self._received = 0
        self._expected_prior = 0
        self._received_prior = 0
        self._transit: float | None = None
        self._rtp_time = 0
        self._jitter = 0.0
        self.lsr = 0
        self.lsr_time = 0.0

    def add(self, sequence: int, timestamp: int, now: float) -> None:
        """Count one packet."""
        if self._base is None:
            self._base = self._highest = sequence
            self._rtp_time = timestamp
        self._highest = max(self._highest, unwrap(sequence, self._highest, 16))
        self._received += 1
        self._rtp_time = unwrap(timestamp, self._rtp_time, 32)
        transit = now * self._rate - self._rtp_time
        if self._transit is not None:
            self._jitter += (min(abs(transit - self._transit), self._rate) - self._jitter) / 16
        self._transit = transit

    def report(self, now: float) -> rtp.RtcpReceiverInfo:
        """The report block for the time since the last one."""
        assert self._base is not None
        expected = self._highest - self._base + 1
        interval = expected - self._expected_prior
        lost = interval - (self._received - self._received_prior)
        self._expected_prior, self._received_prior = expected, self._received
        since = now - self.lsr_time if self.lsr else 0.0
        return rtp.RtcpReceiverInfo(
            ssrc=self.ssrc,
            fraction_lost=min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0,
            packets_lost=rtp.clamp_packets_lost(expected - self._received),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=int(self._jitter),
            lsr=self.lsr,
            dlsr=int(min(since, 65535) * 65536),
        )


class MicrophoneReceiver:
    """Passes Opus packets on as they arrive, and reports on them."""

    def __init__(self, transport: RTCDtlsTransport, sink: PacketSink, clock: Clock) -> None:
        self.kind = "audio"
        self._track: MediaStreamTrack | None = None
        self._transport = transport
        self._sink = sink
        self._clock = clock
        self._payload_types: set[int] = set()
        self._streams: dict[int, StreamReport] = {}
        self._rtcp_ssrc: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def track(self) -> MediaStreamTrack | None:
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport:
        return self._transport

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self._transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._rtcp_ssrc = ssrc

    async def getStats(self) -> RTCStatsReport:
        return RTCStatsReport()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Start receiving (called by aiortc once DTLS is up)."""
        if self._task is not None:
            return
        self._payload_types = {
            codec.payloadType
            for codec in parameters.codecs
            if codec.mimeType.lower() == "audio/opus" and codec.payloadType is not None
        }
        self._transport._register_rtp_receiver(self, parameters)
        self._task = asyncio.create_task(self._run_rtcp(), name="report-microphone")
        self._task.add_done_callback(log_failure)

    async def stop(self) -> None:
        """Stop; again, if it was started meanwhile."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._transport._unregister_rtp_receiver(self)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._payload_types.clear()

    def _handle_disconnect(self) -> None:
        """The connection's own state tells."""

    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None:
        if isinstance(packet, rtp.RtcpSrPacket):
            stream = self._streams.get(packet.ssrc)
            if stream is not None:
                stream.lsr = (packet.sender_info.ntp_timestamp >> 16) & 0xFFFFFFFF
                stream.lsr_time = self._clock.now()

    async def _handle_rtp_packet(self, packet: rtp.RtpPacket, arrival_time_ms: int) -> None:
        """Called by the DTLS transport, which an exception would end."""
        if packet.payload_type not in self._payload_types:
            return
        now = self._clock.now()
        try:
            self._count(packet, now)
            if packet.payload:
                self._sink.push(
                    packet.timestamp, packet.sequence_number, packet.payload, now, ssrc=packet.ssrc
                )
        except Exception:
            logger.exception("audio packet dropped")

    def _count(self, packet: rtp.RtpPacket, now: float) -> None:
        stream = self._streams.get(packet.ssrc)
        if stream is None:
            if len(self._streams) >= _MAX_STREAMS:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[packet.ssrc] = StreamReport(packet.ssrc, VOICE_RATE_HZ)
        stream.add(packet.sequence_number, packet.timestamp, now)

    async def _run_rtcp(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + 0.5 + random.random())
            if self._rtcp_ssrc is None or not self._streams:
                continue
            now = self._clock.now()
            reports = [stream.report(now) for stream in self._streams.values()]
            packet = rtp.RtcpRrPacket(ssrc=self._rtcp_ssrc, reports=reports)
            try:
                await self._transport._send_rtp(bytes(packet))
            except ConnectionError:
                return
