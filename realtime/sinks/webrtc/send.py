"""The sending half of a media line, in place of aiortc's `RTCRtpSender` (checked with 1.16.0).

It offers what `RTCPeerConnection`, `RTCRtpTransceiver` and `RTCDtlsTransport` ask of a sender:
`kind`, `track`, `transport`, `_ssrc`, `_rtx_ssrc`, `_stream_id`, `_track_id`, `setTransport`,
`send`, `stop`, `getStats`, `_handle_rtcp_packet`. Unlike aiortc's, its RTCP sender reports tell
media time, it sends the playout-delay header extension, and its encoder belongs to the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import av
from aiortc import MediaStreamTrack, RTCStatsReport, clock, rtp
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.utils import random16, random32, uint16_add

from realtime.playout import PlayoutClock
from realtime.sinks.webrtc.codecs import FRAME_RATE
from realtime.sinks.webrtc.extensions import PlayoutDelay, SentExtensions
from realtime.sinks.webrtc.frame_encoders import PACE, Encoded, FrameEncoder

logger = logging.getLogger(__name__)

_HISTORY = 512
"""Packets kept for retransmission."""
_MAX_PACING_S = 0.030
_RETRANSMIT_RTT = 0.7
"""The same packet is not sent again within this share of the round trip: it is on its way."""
_RETRANSMIT_SHARE = 0.3
"""Retransmissions may take this share of all packets; more would feed the congestion."""
_LOSS_PACKETS = 100
"""Loss is judged over at least this many packets."""
_FIRST_REPORTS_S = (0.05, 0.2, 0.5)
"""The first sender reports come early, so that receivers can align the tracks at once."""


class MediaClock:
    """Media time to wall time (NTP) for one session; both tracks' reports use it, so they agree."""

    def __init__(self, playout: PlayoutClock) -> None:
        self._playout = playout
        # Kept at its settled value: reports that followed a growing delay would disagree for
        # a moment, and receivers would pull the tracks apart.
        self._delay_s = playout.settled_delay_s
        self._wall_offset = clock.current_ntp_time() / 2**32 - playout.clock.now()

    def report(self, rate: int) -> tuple[int, int]:
        """(NTP time now, media time now in units of 1/`rate` s): one instant on both scales."""
        now = self._playout.clock.now()
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
    """Sends one track over a DTLS transport."""

    def __init__(
        self,
        track: MediaStreamTrack,
        transport: RTCDtlsTransport,
        *,
        stream_id: str,
        media_clock: MediaClock,
        encoder: Callable[[RTCRtpCodecParameters], FrameEncoder],
        playout_delay: PlayoutDelay | None = None,
    ) -> None:
        self.kind = track.kind
        self.track: MediaStreamTrack | None = track
        self.stats = SenderStats()
        self.encoder: FrameEncoder | None = None
        self._ssrc = random32()
        self._rtx_ssrc = random32()
        self._stream_id = stream_id
        self._track_id = track.id
        self._transport = transport
        self._media_clock = media_clock
        self._make_encoder = encoder
        self._playout_delay = playout_delay or PlayoutDelay()
        self._origin = random32()  # RTP timestamp of media time 0
        self._sequence = random16() % 32768  # no early wrap, which breaks SRTP after loss
        self._rtx_sequence = random16() % 32768
        self._rtx_payload_type: int | None = None
        self._extensions: SentExtensions | None = None
        self._history: dict[int, rtp.RtpPacket] = {}
        self._loss_since: tuple[int, int] | None = None  # highest sequence and loss told then
        self._resent: dict[int, float] = {}  # by sequence number: when last
        self._keyframe = False
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

    def force_keyframe(self) -> None:
        """Make the next frame complete in itself."""
        self._keyframe = True

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
                self._rtx_payload_type = other.payloadType
        self.encoder = self._make_encoder(codec)
        self._transport._register_rtp_sender(self, parameters)
        self._tasks = [
            asyncio.create_task(self._run_rtp(codec.payloadType), name=f"send-{self.kind}"),
            asyncio.create_task(self._run_rtcp(), name=f"report-{self.kind}"),
        ]

    async def stop(self) -> None:
        """Stop for good; returns when nothing runs any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            self._transport._unregister_rtp_sender(self)
        self._tasks = []
        if self.track is not None:
            self.track.stop()
            self.track = None
        self.encoder = None
        self._history.clear()

    async def _run_rtp(self, payload_type: int) -> None:
        assert self.track is not None
        assert self.encoder is not None
        try:
            while True:
                frame = await self.track.recv()
                keyframe, self._keyframe = self._keyframe, False
                for encoded in await self.encoder.encode(frame, keyframe):
                    await self._send_frame(encoded, payload_type)
        except (MediaStreamError, ConnectionError):
            pass
        except (av.FFmpegError, ValueError):
            logger.exception("sending %s ended: a frame could not be encoded", self.kind)

    async def _send_frame(self, encoded: Encoded, payload_type: int) -> None:
        assert self._extensions is not None
        gap_s = self._gap_s(encoded.payloads)
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
            self._history[self._sequence % _HISTORY] = packet
            self._sequence = uint16_add(self._sequence, 1)
            if i > 0 and gap_s > 0:
                await asyncio.sleep(gap_s)
            await self._transport._send_rtp(packet.serialize(self._extensions))
            self.stats.packets += 1
            self.stats.payload_bytes += len(payload)
        self.stats.frames += 1

    def _gap_s(self, payloads: list[bytes]) -> float:
        """Seconds between the packets of a frame: 0 unless it is unusually large."""
        pace_bps = self.encoder.pace_bps if self.encoder is not None else None
        if not pace_bps or len(payloads) < 3:
            return 0.0
        whole_s = 8 * sum(map(len, payloads)) / pace_bps
        if whole_s < 1.5 / (PACE * FRAME_RATE):
            return 0.0
        return min(whole_s, _MAX_PACING_S) / len(payloads)

    # RTCP

    async def _run_rtcp(self) -> None:
        try:
            for wait in _FIRST_REPORTS_S:
                await asyncio.sleep(wait)
                await self._report()
            while True:
                await asyncio.sleep(0.5 + random.random())
                await self._report()
        except asyncio.CancelledError:
            await self._send_rtcp([rtp.RtcpByePacket(sources=[self._ssrc])])
            raise

    async def _report(self) -> None:
        assert self.encoder is not None
        if not self.stats.packets:
            return
        ntp, media = self._media_clock.report(self.encoder.rate)
        self._reported.append(((ntp >> 16) & 0xFFFFFFFF, self._now()))
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
            for sequence in packet.lost[:_HISTORY]:
                await self._retransmit(sequence)
        elif isinstance(packet, rtp.RtcpPsfbPacket):
            if packet.fmt in (rtp.RTCP_PSFB_FIR, rtp.RTCP_PSFB_PLI):
                self.stats.keyframe_requests += 1
                self._keyframe = True
            elif packet.fmt == rtp.RTCP_PSFB_APP:
                bitrate, ssrcs = rtp.unpack_remb_fci(packet.fci)
                if self._ssrc in ssrcs and self.encoder is not None:
                    self.stats.remb_bps = bitrate
                    self.encoder.received_estimate(bitrate, self._now())

    def _received_report(self, report: rtp.RtcpReceiverInfo) -> None:
        now = self._now()
        rtt: float | None = None
        for ntp_middle, sent in self._reported:
            if report.lsr == ntp_middle:
                rtt = max(0.0, now - sent - report.dlsr / 65536)
                self.stats.rtt_s = rtt
        loss = self._loss(report)
        if loss is not None:
            self.stats.remote_loss = loss
        if self.encoder is not None:
            self.encoder.received_report(loss, rtt, now)

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

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _retransmit(self, sequence: int) -> None:
        packet = self._history.get(sequence % _HISTORY)
        if packet is None or packet.sequence_number != sequence:
            return
        now = self._now()
        patience_s = _RETRANSMIT_RTT * (self.stats.rtt_s or 0.05)
        recent = now - self._resent.get(sequence, float("-inf")) < patience_s
        allowed = _HISTORY / 4 + _RETRANSMIT_SHARE * self.stats.packets
        if recent or self.stats.retransmitted >= allowed:
            return
        self._resent = {k: t for k, t in self._resent.items() if now - t < patience_s}
        self._resent[sequence] = now
        if self._rtx_payload_type is not None:
            packet = rtp.wrap_rtx(
                packet,
                payload_type=self._rtx_payload_type,
                sequence_number=self._rtx_sequence,
                ssrc=self._rtx_ssrc,
            )
            self._rtx_sequence = uint16_add(self._rtx_sequence, 1)
        assert self._extensions is not None
        self.stats.retransmitted += 1
        await self._transport._send_rtp(packet.serialize(self._extensions))
