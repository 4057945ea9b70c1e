"""The sending half of a media line, in place of aiortc's `RTCRtpSender` (checked with 1.16.0).

It offers what `RTCPeerConnection`, `RTCRtpTransceiver` and `RTCDtlsTransport` ask of a sender:
`kind`, `track`, `transport`, `_ssrc`, `_rtx_ssrc`, `_stream_id`, `_track_id`, `setTransport`,
`send`, `stop`, `getStats`, `_handle_rtcp_packet`. Unlike aiortc's, its RTCP sender reports tell
media time, it sends the playout-delay header extension, and it sends what an encoding that it
shares with other viewers gives: only packets, their numbers and reports are its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import struct
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiortc import RTCStatsReport, rtp
from aiortc import clock as wall_clock
from aiortc.codecs import is_rtx
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.utils import random16, random32, uint16_add

from realtime.clock import Clock
from realtime.media import FPS
from realtime.playout import PlayoutClock
from realtime.sinks.webrtc.extensions import PlayoutDelay, SentExtensions
from realtime.sinks.webrtc.pictures import PACE
from realtime.sinks.webrtc.repeats import KEPT, Repeats
from realtime.sinks.webrtc.viewer import Encoded, Viewer
from realtime.tasks import log_failure

logger = logging.getLogger(__name__)

_MAX_PACING_S = 0.030
_KEYFRAME_GAP_S = 0.3
"""Key frames cost everybody who watches: a receiver that asks again sooner is not heard."""
_LOSS_PACKETS = 100
"""Loss is judged over at least this many packets."""
_FIRST_REPORTS_S = (0.05, 0.2, 0.5)
"""The first sender reports come early, so that receivers can align the tracks at once."""


class MediaClock:
    """Media time to wall time (NTP) for one peer; both tracks' reports use it, so they agree."""

    def __init__(self, playout: PlayoutClock, clock: Clock) -> None:
        self._playout = playout
        self._clock = clock
        # Kept at its settled value: reports that followed a growing delay would disagree for
        # a moment, and receivers would pull the tracks apart.
        self._delay_s = playout.settled_delay_s
        self._wall_offset = wall_clock.current_ntp_time() / 2**32 - clock.now()

    def report(self, rate: int) -> tuple[int, int]:
        """(NTP time now, media time now in units of 1/`rate` s): one instant on both scales."""
        now = self._clock.now()
        media = now - self._playout.start - self._delay_s
        return round((now + self._wall_offset) * 2**32), round(media * rate)


@dataclass
class SenderStats:
    """Counters of one sent stream."""

    packets: int = 0
    payload_bytes: int = 0
    frames: int = 0
    keyframe_requests: int = 0
    retransmitted: int = 0
    rtt_s: float | None = None
    remote_loss: float = 0.0
    remb_bps: int | None = None


class MediaSender:
    """Sends voice or pictures over a DTLS transport. `watch` gives them in the codec agreed on."""

    track = None
    """aiortc asks for it; nothing is pulled from a track here."""

    def __init__(
        self,
        kind: str,
        transport: RTCDtlsTransport,
        *,
        stream_id: str,
        clock: Clock,
        media_clock: MediaClock,
        watch: Callable[[RTCRtpCodecParameters], Viewer],
        playout_delay: PlayoutDelay | None = None,
    ) -> None:
        self.kind = kind
        self.stats = SenderStats()
        self.viewer: Viewer | None = None
        self._ssrc = random32()
        self._rtx_ssrc = random32()
        self._stream_id = stream_id
        self._track_id = str(uuid.uuid4())
        self._transport = transport
        self._clock = clock
        self._media_clock = media_clock
        self._watch = watch
        self._playout_delay = playout_delay or PlayoutDelay()
        self._origin = random32()  # RTP timestamp of media time 0
        self._sequence = random16() % 32768  # no early wrap, which breaks SRTP after loss
        self._repeats = Repeats(self._rtx_ssrc)
        self._extensions: SentExtensions | None = None
        self._loss_since: tuple[int, int] | None = None  # highest sequence and loss told then
        self._keyframe_requested = float("-inf")
        self._cname: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._reported: deque[tuple[int, float]] = deque(maxlen=8)  # NTP middle bits, sent when

    @property
    def transport(self) -> RTCDtlsTransport:
        return self._transport

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self._transport = transport

    async def getStats(self) -> RTCStatsReport:
        return RTCStatsReport()

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Start sending (called by aiortc once DTLS is up)."""
        if self._tasks:
            return
        codec = parameters.codecs[0]
        assert codec.payloadType is not None
        self._cname = parameters.rtcp.cname
        self._extensions = SentExtensions(parameters, parameters.muxId, self._playout_delay)
        for other in parameters.codecs:
            if is_rtx(other) and other.parameters.get("apt") == codec.payloadType:
                self._repeats.payload_type = other.payloadType
        self.viewer = viewer = self._watch(codec)
        self._transport._register_rtp_sender(self, parameters)
        self._tasks = [
            asyncio.create_task(self._run_rtp(viewer, codec.payloadType), name=f"send-{self.kind}"),
            asyncio.create_task(self._run_rtcp(viewer.rate), name=f"report-{self.kind}"),
        ]
        for task in self._tasks:
            task.add_done_callback(log_failure)

    async def stop(self) -> None:
        """Stop for good; returns when nothing runs any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            self._transport._unregister_rtp_sender(self)
        self._tasks = []
        if self.viewer is not None:
            self.viewer.close()
            self.viewer = None
        self._repeats.forget()

    async def _run_rtp(self, viewer: Viewer, payload_type: int) -> None:
        with contextlib.suppress(ConnectionError):  # it is ending already
            async for encoded in viewer:
                await self._send_frame(encoded, payload_type, viewer.pace_bps)

    async def _send_frame(self, encoded: Encoded, payload_type: int, pace_bps: int | None) -> None:
        assert self._extensions is not None
        gap_s = _gap_s(encoded.payloads, pace_bps)
        for i, payload in enumerate(encoded.payloads):
            packet = rtp.RtpPacket(
                payload_type=payload_type,
                marker=int(i == len(encoded.payloads) - 1),
                sequence_number=self._sequence,
                timestamp=(self._origin + encoded.time) & 0xFFFFFFFF,
                ssrc=self._ssrc,
                payload=payload,
            )
            packet.extensions.audio_level = encoded.audio_level
            self._repeats.keep(packet)
            self._sequence = uint16_add(self._sequence, 1)
            if i > 0 and gap_s > 0:
                await self._clock.sleep_until(self._clock.now() + gap_s)
            await self._transport._send_rtp(packet.serialize(self._extensions))
            self.stats.packets += 1
            self.stats.payload_bytes += len(payload)
        self.stats.frames += 1

    # RTCP

    async def _run_rtcp(self, rate: int) -> None:
        try:
            for wait in _FIRST_REPORTS_S:
                await self._clock.sleep_until(self._clock.now() + wait)
                await self._report(rate)
            while True:
                await self._clock.sleep_until(self._clock.now() + 0.5 + random.random())
                await self._report(rate)
        except asyncio.CancelledError:
            await self._send_rtcp([rtp.RtcpByePacket(sources=[self._ssrc])])
            raise

    async def _report(self, rate: int) -> None:
        if not self.stats.packets:
            return
        ntp, media = self._media_clock.report(rate)
        self._reported.append(((ntp >> 16) & 0xFFFFFFFF, self._clock.now()))
        report = rtp.RtcpSrPacket(
            ssrc=self._ssrc,
            sender_info=rtp.RtcpSenderInfo(
                ntp_timestamp=ntp,
                rtp_timestamp=(self._origin + media) & 0xFFFFFFFF,
                packet_count=self.stats.packets & 0xFFFFFFFF,
                octet_count=self.stats.payload_bytes & 0xFFFFFFFF,
            ),
        )
        packets: list[rtp.AnyRtcpPacket] = [report]
        if self._cname is not None:
            item = rtp.RtcpSourceInfo(ssrc=self._ssrc, items=[(1, self._cname.encode())])
            packets.append(rtp.RtcpSdesPacket(chunks=[item]))
        await self._send_rtcp(packets)

    async def _send_rtcp(self, packets: list[rtp.AnyRtcpPacket]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._transport._send_rtp(b"".join(bytes(p) for p in packets))

    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None:
        """Called by the DTLS transport, which an exception would end."""
        try:
            await self._handle_rtcp(packet)
        except ConnectionError:
            pass  # it is ending already
        except (ValueError, struct.error) as error:
            logger.debug("RTCP from the peer ignored: %s", error)
        except Exception:
            logger.exception("RTCP from the peer dropped")

    async def _handle_rtcp(self, packet: rtp.AnyRtcpPacket) -> None:
        if isinstance(packet, rtp.RtcpRrPacket | rtp.RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self._received_report(report)
        elif isinstance(packet, rtp.RtcpRtpfbPacket) and packet.fmt == rtp.RTCP_RTPFB_NACK:
            for sequence in packet.lost[:KEPT]:
                await self._retransmit(sequence)
        elif isinstance(packet, rtp.RtcpPsfbPacket):
            if packet.fmt in (rtp.RTCP_PSFB_FIR, rtp.RTCP_PSFB_PLI):
                self.stats.keyframe_requests += 1
                self._request_keyframe()
            elif packet.fmt == rtp.RTCP_PSFB_APP:
                bitrate, ssrcs = rtp.unpack_remb_fci(packet.fci)
                if self._ssrc in ssrcs and self.viewer is not None:
                    self.stats.remb_bps = bitrate
                    self.viewer.received_estimate(bitrate, self._clock.now())

    def _request_keyframe(self) -> None:
        now = self._clock.now()
        if self.viewer is not None and now - self._keyframe_requested >= _KEYFRAME_GAP_S:
            self._keyframe_requested = now
            self.viewer.request_keyframe()

    def _received_report(self, report: rtp.RtcpReceiverInfo) -> None:
        now = self._clock.now()
        rtt: float | None = None
        for ntp_middle, sent in self._reported:
            if report.lsr == ntp_middle:
                rtt = max(0.0, now - sent - report.dlsr / 65536)
                self.stats.rtt_s = rtt
        loss = self._loss(report)
        if loss is not None:
            self.stats.remote_loss = loss
        if self.viewer is not None:
            self.viewer.received_report(loss, rtt, now)

    def _loss(self, report: rtp.RtcpReceiverInfo) -> float | None:
        """Share of packets lost, once enough were sent since it was last told to mean anything."""
        if self._loss_since is None:
            self._loss_since = (report.highest_sequence, report.packets_lost)
        expected = report.highest_sequence - self._loss_since[0]
        lost = report.packets_lost - self._loss_since[1]
        if 0 <= expected < _LOSS_PACKETS:
            return None
        self._loss_since = (report.highest_sequence, report.packets_lost)
        return min(1.0, max(0.0, lost / expected)) if expected > 0 else None

    async def _retransmit(self, sequence: int) -> None:
        stats = self.stats
        packet = self._repeats.ask(sequence, self._clock.now(), stats.rtt_s, stats.packets)
        if packet is not None:
            assert self._extensions is not None
            stats.retransmitted += 1
            await self._transport._send_rtp(packet.serialize(self._extensions))


def _gap_s(payloads: list[bytes], pace_bps: int | None) -> float:
    """Seconds between the packets of a frame: 0 unless it is unusually large."""
    if not pace_bps or len(payloads) < 3:
        return 0.0
    whole_s = 8 * sum(map(len, payloads)) / pace_bps
    if whole_s < 1.5 / (PACE * FPS):
        return 0.0
    return min(whole_s, _MAX_PACING_S) / len(payloads)
