"""The microphone's receiver alone: what it passes on, and its reports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc import rtp
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters

from realtime.sinks.webrtc.receive import MicrophoneReceiver, StreamReport
from tests.support.fakes import ManualClock

OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, payloadType=111)
PARAMETERS = RTCRtpReceiveParameters(codecs=[OPUS])


class FakeTransport:
    def _register_rtp_receiver(self, receiver: object, parameters: object) -> None: ...

    def _unregister_rtp_receiver(self, receiver: object) -> None: ...


class Sink:
    def __init__(self) -> None:
        self.pushed: list[tuple[int, int, bytes]] = []

    def push(
        self, rtp_timestamp: int, sequence: int, payload: bytes, now: float, *, ssrc: int
    ) -> None:
        self.pushed.append((rtp_timestamp, sequence, payload))


async def receiving(sink: Any) -> MicrophoneReceiver:
    receiver = MicrophoneReceiver(FakeTransport(), sink, ManualClock())  # type: ignore[arg-type]
    await receiver.receive(PARAMETERS)
    return receiver


def packet(n: int, payload: bytes, payload_type: int = 111, ssrc: int = 5) -> rtp.RtpPacket:
    return rtp.RtpPacket(
        payload_type=payload_type,
        sequence_number=(65_530 + n) % 2**16,
        timestamp=(2**32 - 5 * 960 + n * 960) % 2**32,
        ssrc=ssrc,
        payload=payload,
    )


async def test_packets_of_another_kind_and_empty_ones_are_passed_over() -> None:
    sink = Sink()
    receiver = await receiving(sink)
    await receiver._handle_rtp_packet(packet(0, b"sound", payload_type=0), 0)
    await receiver._handle_rtp_packet(packet(1, b""), 0)
    await receiver._handle_rtp_packet(packet(2, b"sound"), 0)
    await receiver.stop()
    await receiver._handle_rtp_packet(packet(3, b"sound"), 0)
    assert sink.pushed == [((2**32 - 3 * 960), 65_532, b"sound")]


async def test_a_failing_sink_does_not_reach_the_transport(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Sink):
        def push(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("ours")

    receiver = await receiving(Broken())
    await receiver._handle_rtp_packet(packet(0, b"sound"), 0)
    await receiver.stop()
    assert "audio packet dropped" in caplog.text


def test_reports_count_losses_and_jitter() -> None:
    stream = StreamReport(5, 48_000)
    now = 0.0
    for n in range(100):
        now += 0.02
        if n % 10 != 9:
            stream.add((65_500 + n) % 2**16, n * 960, now)
    report = stream.report(now)
    assert report.packets_lost == 9  # the hundredth is not missed yet
    assert report.fraction_lost == pytest.approx(256 * 9 / 99, abs=1)
    assert report.highest_sequence == 65_500 + 98
    assert report.jitter == 0
    for n in range(100, 150):
        stream.add((65_500 + n) % 2**16, n * 960, 0.02 * (n + 1))
    assert stream.report(3.0).fraction_lost == pytest.approx(256 / 51, abs=1)


async def test_reports_leave_by_the_clock_and_stop_though_started_meanwhile() -> None:
    sent: list[bytes] = []

    class Transport(FakeTransport):
        async def _send_rtp(self, data: bytes) -> None:
            sent.append(data)

    clock = ManualClock()
    receiver = MicrophoneReceiver(Transport(), Sink(), clock)  # type: ignore[arg-type]
    receiver._set_rtcp_ssrc(1)
    for _ in range(2):
        await receiver.receive(PARAMETERS)
        await receiver._handle_rtp_packet(packet(0, b"sound"), 0)
        await clock.advance(3.0)
        assert 2 <= len(sent) <= 6
        sent.clear()
        await receiver.stop()
        await receiver.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}
