"""A server side and a client side of real WebRTC over loopback, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtp
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from realtime.clock import MonotonicClock
from realtime.playout import PlayFrame, PlayoutBuffer, PlayoutClock
from realtime.sinks.webrtc import peer as rtc
from realtime.sinks.webrtc.extensions import PLAYOUT_DELAY_URI
from realtime.sinks.webrtc.peer import EventChannel, Peer, RtcConfig
from realtime.sinks.webrtc.tracks import AvatarAudioTrack, AvatarVideoTrack
from realtime.sources.microphone.ingest import Hop, Ingest

LOOPBACK = RtcConfig(host_addresses=("127.0.0.1",))
SIZE = 64


class ToneTrack(MediaStreamTrack):
    """A microphone that hears 440 Hz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.muted = asyncio.Event()
        self._start = MonotonicClock().now()

    async def recv(self) -> av.AudioFrame:
        if self.muted.is_set():
            await asyncio.Event().wait()
        await MonotonicClock().sleep_until(self._start + self.sent * 0.02)
        n = np.arange(960) + self.sent * 960
        pcm = (8_000 * np.sin(2 * np.pi * 440 * n / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self.sent * 960, Fraction(1, 48_000)
        self.sent += 1
        return frame


@dataclass
class Received:
    """What the client got on one m-line."""

    frames: list[Any] = field(default_factory=list)
    packets: list[tuple[float, rtp.RtpPacket, dict[int, bytes]]] = field(default_factory=list)
    reports: list[rtp.RtcpSrPacket] = field(default_factory=list)


class Client:
    """A browser, as far as the server can tell."""

    def __init__(self, microphone: bool = True) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = ToneTrack()
        if microphone:
            self.connection.addTransceiver(self.microphone, "sendrecv")
        else:
            self.connection.addTransceiver("audio", "recvonly")
        self.connection.addTransceiver("video", "recvonly")
        self.channel = self.connection.createDataChannel("events")
        self.received = {"audio": Received(), "video": Received()}
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp: str = self.connection.localDescription.sdp
        lines = sdp.splitlines()
        video = next(i for i, line in enumerate(lines) if line.startswith("m=video"))
        lines.insert(video + 2, f"a=extmap:9 {PLAYOUT_DELAY_URI}")
        return "\r\n".join(lines) + "\r\n"

    async def accept(self, answer: str) -> None:
        for transceiver in self.connection.getTransceivers():
            rtc._bind_to(transceiver.receiver.transport, ["127.0.0.1"])
        transport = self.transport
        decode = transport._handle_rtp_data

        async def listen(data: bytes, arrival_time_ms: int) -> None:
            self._capture(data)
            await decode(data, arrival_time_ms)

        transport._handle_rtp_data = listen
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        for kind, received in self.received.items():
            self._capture_reports(kind, received)

    @property
    def transport(self) -> Any:
        return self.connection.getTransceivers()[0].receiver.transport

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            try:
                while True:
                    self.received[track.kind].frames.append(await track.recv())
            except MediaStreamError:
                pass

        self._tasks.append(asyncio.create_task(read()))

    def _capture(self, data: bytes) -> None:
        packet = rtp.RtpPacket.parse(data)
        extensions: dict[int, bytes] = {}
        if data[0] & 0x10:
            profile = int.from_bytes(data[12:14], "big")
            length = 4 * int.from_bytes(data[14:16], "big")
            extensions = dict(rtp.unpack_header_extensions(profile, data[16 : 16 + length]))
        kind = "audio" if packet.payload_type == self._audio_type() else "video"
        now = MonotonicClock().now()
        self.received[kind].packets.append((now, packet, extensions))

    def _audio_type(self) -> int:
        return int(self.connection.getTransceivers()[0]._codecs[0].payloadType)

    def _capture_reports(self, kind: str, received: Received) -> None:
        for transceiver in self.connection.getTransceivers():
            receiver: Any = transceiver.receiver
            if transceiver.kind != kind:
                continue
            handle = receiver._handle_rtcp_packet

            async def listen(packet: Any, handle: Any = handle) -> None:
                if isinstance(packet, rtp.RtcpSrPacket):
                    received.reports.append(packet)
                await handle(packet)

            receiver._handle_rtcp_packet = listen


def draw_card(position: int, size: int = SIZE) -> NDArray[np.uint8]:
    """I420 planes with a gradient that moves with the media position."""
    ramp = (np.arange(size) + position // 640) % size * (200 // size) + 20
    planes = np.full((size * 3 // 2, size), 128, np.uint8)
    planes[:size] = ramp[None, :]
    return planes


class Server:
    """A session whose engine draws test cards and sends the voice back."""

    def __init__(self, config: RtcConfig = LOOPBACK, size: int = SIZE) -> None:
        self.clock = MonotonicClock()
        self.playout = PlayoutClock(self.clock, 0.08)
        self.ingest = Ingest()
        self.buffer = PlayoutBuffer(self.playout)
        self.hops: list[Hop] = []
        self.states: list[str] = []
        self.channels: list[EventChannel] = []
        self.encoded_s: list[float] = []
        self.peer: Peer
        self._config = config
        self._size = size
        self._engine: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        self.ingest.start(self.playout.start)
        self.peer = await rtc.connect(
            rtc.parse_offer(offer),
            ingest=self.ingest,
            audio_track=AvatarAudioTrack(self.playout, self.buffer),
            video_track=AvatarVideoTrack(self.playout, self.buffer),
            playout=self.playout,
            on_channel=self.channels.append,
            on_state=self.states.append,
            on_encoded=self.encoded_s.append,
            config=self._config,
        )
        self._engine = asyncio.create_task(self._run())
        return self.peer.answer_sdp

    async def _run(self) -> None:
        while True:
            for hop in self.ingest.pull(self.clock.now()):
                self.hops.append(hop)
                self.buffer.put_voice(hop.start, hop.voice)
                ready = self.clock.now()
                card = draw_card(hop.start, self._size)
                self.buffer.put_picture(PlayFrame(hop.start, card, ready, hop.arrived))
            await self.clock.sleep_until(min(self.ingest.next_deadline(), self.clock.now() + 0.005))

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.cancel()
            await asyncio.gather(self._engine, return_exceptions=True)
        self.buffer.close()
        await self.peer.close()


@asynccontextmanager
async def connected(
    config: RtcConfig = LOOPBACK, *, size: int = SIZE, microphone: bool = True
) -> AsyncIterator[tuple[Server, Client]]:
    """A server and a client that have met."""
    server, client = Server(config, size), Client(microphone)
    try:
        await client.accept(await server.answer(await client.offer()))
        await until(lambda: "connected" in server.states)
        yield server, client
    finally:
        await client.close()
        await server.close()


async def until(condition: Callable[[], Any], timeout_s: float = 15.0) -> None:
    """Wait for something real to happen."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
