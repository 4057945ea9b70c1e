"""The sender alone, on a transport that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiortc import rtp
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSendParameters,
)

from realtime.media import Voice
from realtime.playout import PlayoutClock
from realtime.sinks.webrtc.codecs import OpusEncoder
from realtime.sinks.webrtc.encodings import audio_level, encode_voice
from realtime.sinks.webrtc.extensions import PLAYOUT_DELAY_URI, PlayoutDelay
from realtime.sinks.webrtc.send import MediaClock, MediaSender
from realtime.sinks.webrtc.viewer import Encoded, Viewer
from tests.support.fakes import ManualClock, settle


class FakeTransport:
    """Collects what is sent; None of it is encrypted."""

    def __init__(self) -> None:
        self.packets: list[rtp.RtpPacket] = []
        self.extensions: list[dict[int, bytes]] = []
        self.rtcp: list[Any] = []
        self.broken = False

    async def _send_rtp(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionError
        if rtp.is_rtcp(data):
            self.rtcp += rtp.RtcpPacket.parse(data)
            return
        self.packets.append(rtp.RtpPacket.parse(data))
        profile = int.from_bytes(data[12:14], "big")
        length = 4 * int.from_bytes(data[14:16], "big")
        self.extensions.append(dict(rtp.unpack_header_extensions(profile, data[16 : 16 + length])))

    def _register_rtp_sender(self, sender: object, parameters: object) -> None: ...

    def _unregister_rtp_sender(self, sender: object) -> None: ...


class FakeViewer(Viewer):
    """Notes what it is told of the receiver."""

    def __init__(self) -> None:
        super().__init__(100, lambda viewer: None)
        self.keyframes = 0
        self.target = 0
        self.reports: list[tuple[float | None, float | None]] = []

    def request_keyframe(self) -> None:
        self.keyframes += 1

    def received_estimate(self, bps: int, now: float) -> None:
        self.target = bps

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        self.reports.append((loss, rtt_s))


class Rig:
    """A sender at work on frames of three payloads, 20 ms each, due 0.1 s after their time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.playout = PlayoutClock(self.clock.now(), 0.1)
        self.transport = FakeTransport()
        self.viewer = FakeViewer()
        self.media_clock = MediaClock(self.playout, self.clock)
        self.sender = MediaSender(
            "video",
            self.transport,  # type: ignore[arg-type]
            stream_id="stream",
            clock=self.clock,
            media_clock=self.media_clock,
            watch=lambda codec: self.viewer,
        )

    async def feed(self) -> None:
        for n in range(20):
            await self.clock.sleep_until(self.playout.due(n * 320))
            self.viewer.put(Encoded([b"one", b"two", b"three"], n * 960))


@asynccontextmanager
async def sending() -> AsyncIterator[Rig]:
    rig = Rig()
    codec = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=96)
    rtx = RTCRtpCodecParameters(
        mimeType="video/rtx", clockRate=90_000, payloadType=97, parameters={"apt": 96}
    )
    extensions = [
        RTCRtpHeaderExtensionParameters(id=3, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
        RTCRtpHeaderExtensionParameters(id=9, uri=PLAYOUT_DELAY_URI),
    ]
    parameters = RTCRtpSendParameters(codecs=[codec, rtx], headerExtensions=extensions, muxId="1")
    parameters.rtcp.cname = "name"
    await rig.sender.send(parameters)
    feeding = asyncio.create_task(rig.feed())
    try:
        yield rig
    finally:
        feeding.cancel()
        await rig.sender.stop()


async def test_packets_carry_media_time_marker_and_extensions() -> None:
    async with sending() as rig:
        await rig.clock.advance(0.150)
        sent = rig.transport.packets
        assert [p.payload for p in sent[:3]] == [b"one", b"two", b"three"]
        assert [p.marker for p in sent[:6]] == [0, 0, 1, 0, 0, 1]
        assert (sent[3].timestamp - sent[0].timestamp) % 2**32 == 960
        assert (sent[1].sequence_number - sent[0].sequence_number) % 2**16 == 1
        assert all(x == {3: b"1", 9: bytes(PlayoutDelay())} for x in rig.transport.extensions)


async def test_reports_tell_one_instant_on_both_scales() -> None:
    async with sending() as rig:
        await rig.clock.advance(0.2)
        await rig.sender._report(48_000)
        first = rig.transport.rtcp[-2].sender_info
        await rig.clock.advance(0.1)
        rig.playout.delay_s += 0.05  # a grown delay does not move the scales apart
        await rig.sender._report(48_000)
        second = rig.transport.rtcp[-2].sender_info
        wall = (second.ntp_timestamp - first.ntp_timestamp) / 2**32
        media = ((second.rtp_timestamp - first.rtp_timestamp) % 2**32) / 48_000
        assert wall == pytest.approx(0.1, abs=1e-4)
        assert media == pytest.approx(wall, abs=1e-4)
        # At 0.2 s the media time due is 0.1 s.
        assert (first.rtp_timestamp - rig.sender._origin) % 2**32 == pytest.approx(4_800, abs=2)
        other_rate = rig.media_clock.report(90_000)[1] / 90_000
        assert other_rate == pytest.approx(0.2, abs=1e-4)


async def test_lost_packets_are_sent_again_on_the_retransmission_stream() -> None:
    async with sending() as rig:
        await rig.clock.advance(0.150)
        lost = rig.transport.packets[1]
        count = len(rig.transport.packets)
        nack = rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=1, media_ssrc=rig.sender._ssrc)
        nack.lost = [lost.sequence_number, (lost.sequence_number + 30_000) % 2**16]
        await rig.sender._handle_rtcp_packet(nack)
        assert len(rig.transport.packets) == count + 1
        again = rig.transport.packets[-1]
        assert (again.payload_type, again.ssrc) == (97, rig.sender._rtx_ssrc)
        assert again.payload == lost.sequence_number.to_bytes(2, "big") + b"two"
        await rig.sender._handle_rtcp_packet(nack)  # asked again at once: it is on its way
        assert len(rig.transport.packets) == count + 1


async def test_feedback_reaches_the_encoder() -> None:
    async with sending() as rig:
        pli = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=1, media_ssrc=rig.sender._ssrc)
        await rig.sender._handle_rtcp_packet(pli)
        await rig.sender._handle_rtcp_packet(pli)  # at once again: the first is on its way
        assert (rig.viewer.keyframes, rig.sender.stats.keyframe_requests) == (1, 2)
        await rig.clock.advance(0.3)
        await rig.sender._handle_rtcp_packet(pli)
        assert rig.viewer.keyframes == 2
        fci = rtp.pack_remb_fci(640_000, [rig.sender._ssrc])
        remb = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci)
        await rig.sender._handle_rtcp_packet(remb)
        assert rig.viewer.target == rig.sender.stats.remb_bps == 640_000


async def test_receiver_reports_tell_loss_and_round_trip_time() -> None:
    async with sending() as rig:
        await rig.clock.advance(0.11)
        await rig.sender._report(48_000)
        echoed = rig.transport.rtcp[-2].sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF
        for highest, lost in ((1_000, 10), (1_020, 20), (1_100, 35)):
            block = rtp.RtcpReceiverInfo(
                ssrc=rig.sender._ssrc,
                fraction_lost=64,
                packets_lost=lost,
                highest_sequence=highest,
                jitter=0,
                lsr=echoed,
                dlsr=0,
            )
            await rig.sender._handle_rtcp_packet(rtp.RtcpRrPacket(ssrc=1, reports=[block]))
        losses = [loss for loss, _ in rig.viewer.reports]
        assert losses == [None, None, 0.25]
        assert rig.sender.stats.remote_loss == 0.25
        assert all(rtt is not None and 0 <= rtt < 1 for _, rtt in rig.viewer.reports)


@pytest.mark.parametrize("fci", [b"", b"REMB", b"REMB\x05\x00\x00\x01", b"JUNK" + bytes(12)])
async def test_broken_feedback_is_ignored(fci: bytes) -> None:
    async with sending() as rig:
        packet = rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci)
        await rig.sender._handle_rtcp_packet(packet)
        assert rig.viewer.target == 0


async def test_a_broken_transport_ends_the_sender_quietly() -> None:
    async with sending() as rig:
        rig.transport.broken = True
        await rig.clock.advance(0.2)
        await rig.sender._handle_rtcp_packet(
            rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=1, media_ssrc=rig.sender._ssrc)
        )
        assert all(task.done() for task in rig.sender._tasks[:1])


async def test_a_large_frame_is_spread_over_some_time() -> None:
    async with sending() as rig:
        payloads = [bytes(1_000)] * 10
        rig.viewer.__class__ = type("Paced", (FakeViewer,), {"pace_bps": 4_000_000})
        rig.viewer.put(Encoded(payloads, 0))
        await rig.clock.advance(0.0)
        assert len(rig.transport.packets) == 1
        await rig.clock.advance(0.010)
        assert len(rig.transport.packets) == 6  # 80,000 bit at 4 Mbit/s: one every 2 ms
        await rig.clock.advance(0.010)
        assert len(rig.transport.packets) == 10


async def test_stopping_says_goodbye_and_leaves_the_encoding() -> None:
    async with sending() as rig:
        await rig.clock.advance(0.11)
    await settle()
    assert isinstance(rig.transport.rtcp[-1], rtp.RtcpByePacket)
    assert rig.viewer.closed
    await rig.sender.stop()  # again is harmless


async def test_opus_tells_the_time_of_the_sound_its_packets_decode_to() -> None:
    encoder = OpusEncoder()
    times = []
    for n in range(3):
        voice = Voice(n * 320, np.zeros(960, np.int16))
        times += [encoded.time for encoded in encode_voice(encoder, voice)]
    assert times == [-312, 648, 1_608]


def test_audio_level_is_in_negative_decibels() -> None:
    assert audio_level(np.zeros(960, np.int16)) == (False, 127)
    assert audio_level(np.full(960, 32_767, np.int16)) == (True, 0)
    assert audio_level(np.full(960, 328, np.int16)) == (True, 40)


def test_playout_delay_is_packed_in_units_of_10_ms() -> None:
    assert bytes(PlayoutDelay(min_ms=0, max_ms=0)) == bytes(3)
    assert bytes(PlayoutDelay(min_ms=60, max_ms=2_000)) == bytes([0x00, 0x60, 0xC8])
    with pytest.raises(ValueError, match="40950"):
        PlayoutDelay(min_ms=100, max_ms=50)
