"""The microphone's receiver alone: decoding, recovery of lost packets, reports."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from aiortc import rtp
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.sinks.webrtc.codecs import OpusEncoder
from realtime.sinks.webrtc.opus import OpusDecoder
from realtime.sinks.webrtc.receive import MicrophoneReceiver, StreamReport
from realtime.sources.microphone.ingest import Ingest
from tests.support.fakes import ManualClock


class FakeTransport:
    def _register_rtp_receiver(self, receiver: object, parameters: object) -> None: ...

    def _unregister_rtp_receiver(self, receiver: object) -> None: ...


class Sink:
    def __init__(self) -> None:
        self.pushed: list[tuple[int, int, NDArray[np.int16]]] = []

    def push(
        self, rtp_timestamp: int, sequence: int, pcm48: NDArray[np.int16], now: float, *, ssrc: int
    ) -> None:
        self.pushed.append((rtp_timestamp, sequence, pcm48))


def voice(count: int) -> NDArray[np.int16]:
    """A buzz that Opus takes for speech, int16 [count * 960]."""
    t = np.arange(count * 960) / 48_000
    phase = np.cumsum(120 + 20 * np.sin(2 * np.pi * 2 * t)) / 48_000
    x = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 20))
    return (4_000 * x * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))).astype(np.int16)


def encode(pcm: NDArray[np.int16], bps: int = 24_000) -> list[bytes]:
    """Opus packets with copies of their predecessors, as a browser sends them under loss."""
    encoder = OpusEncoder(bps=bps, expected_loss_percent=20)
    payloads = []
    for n, part in enumerate(pcm.reshape(-1, 960)):
        frame = av.AudioFrame.from_ndarray(part[None], "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, n * 960
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads


async def receiving(sink: Any) -> MicrophoneReceiver:
    receiver = MicrophoneReceiver(FakeTransport(), sink, ManualClock())  # type: ignore[arg-type]
    codec = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, payloadType=111)
    await receiver.receive(RTCRtpReceiveParameters(codecs=[codec]))
    return receiver


def packet(n: int, payload: bytes, payload_type: int = 111, ssrc: int = 5) -> rtp.RtpPacket:
    return rtp.RtpPacket(
        payload_type=payload_type,
        sequence_number=(65_530 + n) % 2**16,
        timestamp=(2**32 - 5 * 960 + n * 960) % 2**32,
        ssrc=ssrc,
        payload=payload,
    )


def test_decoding_is_faithful() -> None:
    pcm = voice(50)
    decoder = OpusDecoder()
    decoded = np.concatenate([decoder.decode(p) for p in encode(pcm, 64_000)]).astype(float)
    level = np.std(decoded.reshape(-1, 960), axis=1)[6:]
    assert np.corrcoef(level, np.std(pcm.reshape(-1, 960), axis=1)[6:])[0, 1] > 0.9
    assert np.mean(level) == pytest.approx(np.std(pcm), rel=0.2)


async def test_a_lost_packet_is_recovered_from_the_next() -> None:
    payloads = encode(voice(50))
    decoder = OpusDecoder()
    whole = [decoder.decode(p) for p in payloads]
    lost = {8, 12, 20, 35, 36}  # the one after 12 has no copy: the encoder saw a pause
    sink = Sink()
    receiver = await receiving(sink)
    for n, payload in enumerate(payloads):
        if n not in lost:
            await receiver._handle_rtp_packet(packet(n, payload), 0)
    await receiver.stop()
    assert receiver.recovered == 3  # of two in a row only the second
    pushed = {(sequence - 65_530) % 2**16: pcm for _, sequence, pcm in sink.pushed}
    assert sorted(pushed) == [n for n in range(50) if n not in (12, 35)]
    times = {(sequence - 65_530) % 2**16: time for time, sequence, _ in sink.pushed}
    assert times[20] == (2**32 - 5 * 960 + 20 * 960) % 2**32
    for n in (8, 20):
        a, b = whole[n].astype(float), pushed[n].astype(float)
        assert np.corrcoef(a, b)[0, 1] > 0.6
        assert 0.5 < np.std(b) / np.std(a) < 1.6


async def test_recovery_fills_the_hop_before_it_is_given_up() -> None:
    """The first half of a hop is lost; its copy comes with the second, in time."""
    ingest = Ingest()
    receiver = await receiving(ingest)
    clock: ManualClock = receiver._clock  # type: ignore[assignment]
    ingest.start(clock.now())
    hops = []
    for n, payload in enumerate(encode(voice(40))):
        await clock.advance(0.02)
        if n not in (8, 20):
            await receiver._handle_rtp_packet(packet(n, payload), 0)
        hops += ingest.pull(clock.now())
    await receiver.stop()
    assert receiver.recovered == 2
    assert ingest.stats.concealed_samples == ingest.stats.lost == ingest.stats.late == 0
    assert ingest.stats.inserted_ms == 0


async def test_packets_of_another_kind_and_garbage_are_passed_over() -> None:
    sink = Sink()
    receiver = await receiving(sink)
    payload = encode(voice(1))[0]
    await receiver._handle_rtp_packet(packet(0, payload, payload_type=0), 0)
    await receiver._handle_rtp_packet(packet(1, b""), 0)
    await receiver._handle_rtp_packet(packet(2, b"\xff\xff\xff"), 0)
    await receiver._handle_rtp_packet(packet(3, payload), 0)
    await receiver.stop()
    assert [sequence for _, sequence, _ in sink.pushed] == [65_533]
    assert receiver.undecodable == 1


async def test_a_failing_sink_does_not_reach_the_transport(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Sink):
        def push(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("ours")

    receiver = await receiving(Broken())
    await receiver._handle_rtp_packet(packet(0, encode(voice(1))[0]), 0)
    await receiver.stop()
    assert "audio packet dropped" in caplog.text


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_the_decoder_survives_any_bytes(payloads: list[bytes]) -> None:
    decoder = OpusDecoder()
    for payload in payloads:
        for attempt in (
            lambda p=payload: decoder.recover(p, 960),
            lambda p=payload: decoder.decode(p),
        ):
            try:
                pcm = attempt()
            except ValueError:
                continue
            assert pcm is None or len(pcm) <= 5_760


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
