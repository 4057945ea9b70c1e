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
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCStatsReport, clock, rtp
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.utils import random16, random32, uint16_add

from realtime.bitrate import BitrateGovernor
from realtime.encoders import FRAME_RATE, OpusEncoder, VideoEncoder
from realtime.playout import PlayoutClock

logger = logging.getLogger(__name__)

PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
_MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
_ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_HISTORY = 512
"""Packets kept for retransmission."""
_PACE = 4
"""Large frames leave at this multiple of the bitrate: a narrow link need not queue or drop them."""
_MAX_PACING_S = 0.030
_RETRANSMIT_EVERY_S = 0.05
"""The same packet is not sent again sooner: it may be on its way."""
_RETRANSMIT_SHARE = 0.3
"""Retransmissions may take this share of all packets; more would feed the congestion."""
_LOSS_PACKETS = 100
"""Loss is judged over at least this many packets."""
_FIRST_REPORTS_S = (0.05, 0.2, 0.5)
"""The first sender reports come early, so that receivers can align the tracks at once."""


@dataclass(frozen=True, kw_only=True)
class PlayoutDelay:
    """What the playout-delay header extension asks of the receiver, in milliseconds.

    Chromium plays voice about 60 ms after it arrives, whatever it is asked. Pictures that must
    wait as long are in step with it from the first second on; with a minimum of 0 Chromium shows
    them at once, 63 ms early, and does not align the tracks at all. The large maximum leaves it
    free to hold pictures back further when the voice needs more.
    """

    min_ms: int = 60
    max_ms: int = 2_000

    def __post_init__(self) -> None:
        if not 0 <= self.min_ms <= self.max_ms <= 40_950:
            raise ValueError(f"0 <= {self.min_ms} <= {self.max_ms} <= 40950 does not hold")

    def __bytes__(self) -> bytes:
        """12 bit each, in units of 10 ms."""
        return (self.min_ms // 10 << 12 | self.max_ms // 10).to_bytes(3, "big")


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


class SentExtensions(rtp.HeaderExtensionsMap):
    """Serialises the extensions that were negotiated; stands in for aiortc's map on sending."""

    def __init__(
        self, parameters: RTCRtpSendParameters, mid: str, playout_delay: PlayoutDelay
    ) -> None:
        super().__init__()
        self._playout_delay = bytes(playout_delay)
        self._ids = {x.uri: x.id for x in parameters.headerExtensions}
        self._mid = mid.encode()

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        """What `RtpPacket.serialize` calls."""
        extensions = []
        if (x_id := self._ids.get(_MID_URI)) is not None and self._mid:
            extensions.append((x_id, self._mid))
        if (x_id := self._ids.get(_ABS_SEND_TIME_URI)) is not None:
            sent = (clock.current_ntp_time() >> 14) & 0x00FFFFFF
            extensions.append((x_id, struct.pack("!L", sent)[1:]))
        if (x_id := self._ids.get(PLAYOUT_DELAY_URI)) is not None:
            extensions.append((x_id, self._playout_delay))
        if (x_id := self._ids.get(_AUDIO_LEVEL_URI)) is not None and values.audio_level:
            voiced, level = values.audio_level
            extensions.append((x_id, bytes([0x80 * voiced | level])))
        packed: tuple[int, bytes] = rtp.pack_header_extensions(extensions)
        return packed


@dataclass(frozen=True)
class Encoded:
    """RTP payloads of one frame and their time in the codec's clock, media time 0 = 0."""

    payloads: list[bytes]
    time: int
    audio_level: tuple[bool, int] | None = None


class FrameEncoder(Protocol):
    """Takes what the track gives."""

    rate: int

    @property
    def pace_bps(self) -> int | None:
        """Packets of a large frame are sent no faster than this; None: all at once."""
        ...

    async def encode(self, frame: Any, keyframe: bool) -> list[Encoded]:
        """Encode one frame off the event loop where it takes long."""
        ...

    def received_estimate(self, bps: int, now: float) -> None:
        """The receiver believes it can take this many bit/s (REMB)."""
        ...

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        """Share of packets lost, and the round-trip time, as far as they are known."""
        ...


class VideoFrameEncoder:
    """Runs a video encoder in the loop's default executor."""

    rate = 90_000

    def __init__(self, encoder: VideoEncoder, on_encoded: Callable[[float], None]) -> None:
        self.encoder = encoder
        self._governor: BitrateGovernor | None = None
        self._on_encoded = on_encoded

    @property
    def pace_bps(self) -> int | None:
        return _PACE * self.encoder.target_bps

    async def encode(self, frame: av.VideoFrame, keyframe: bool) -> list[Encoded]:
        loop = asyncio.get_running_loop()
        payloads, seconds = await loop.run_in_executor(None, self._encode, frame, keyframe)
        self._on_encoded(seconds)
        assert frame.pts is not None
        return [Encoded(payloads, frame.pts)] if payloads else []

    def _encode(self, frame: av.VideoFrame, keyframe: bool) -> tuple[list[bytes], float]:
        begin = time.thread_time()
        payloads = self.encoder.encode(frame, keyframe=keyframe)
        return payloads, time.thread_time() - begin

    def received_estimate(self, bps: int, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_estimate(bps)
            self.encoder.set_target(governor.target(now))

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_report(loss, rtt_s, now)
            self.encoder.set_target(governor.target(now))

    def _govern(self) -> BitrateGovernor | None:
        """The governor, from the first frame on: its size says what to start with."""
        if self._governor is None and self.encoder.target_bps:
            self._governor = BitrateGovernor(self.encoder.target_bps)
        return self._governor


class AudioFrameEncoder:
    """Opus on the event loop: 0.15 ms per 20 ms, less than a thread switch under load."""

    rate = 48_000
    pace_bps = None

    def __init__(self, encoder: OpusEncoder) -> None:
        self._encoder = encoder

    async def encode(self, frame: av.AudioFrame, keyframe: bool) -> list[Encoded]:
        level = _audio_level(frame)
        encoded = []
        for packet in self._encoder.encode(frame):
            assert packet.pts is not None
            encoded.append(Encoded([bytes(packet)], packet.pts, level))
        return encoded

    def received_estimate(self, bps: int, now: float) -> None:
        pass

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        pass


def _audio_level(frame: av.AudioFrame) -> tuple[bool, int]:
    """(voice activity, level in -dBov 0..127), RFC 6464."""
    x = frame.to_ndarray().astype(np.float32) / 32768.0
    power = float(np.mean(x * x))
    level = 127 if power <= 1e-12 else min(127, round(-10 * np.log10(power)))
    return level < 50, level


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
        if whole_s < 1.5 / (_PACE * FRAME_RATE):
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
        except (ValueError, IndexError, struct.error, OverflowError) as error:
            logger.debug("RTCP from the peer ignored: %s", error)
        except ConnectionError:
            pass

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
        recent = now - self._resent.get(sequence, float("-inf")) < _RETRANSMIT_EVERY_S
        allowed = _HISTORY / 4 + _RETRANSMIT_SHARE * self.stats.packets
        if recent or self.stats.retransmitted >= allowed:
            return
        self._resent = {k: t for k, t in self._resent.items() if now - t < _RETRANSMIT_EVERY_S}
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
