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

from realtime.avatar_stream import AvatarStream
from realtime.clock import MonotonicClock
from realtime.media import Hop
from realtime.sinks.webrtc.channel import EventChannel
from realtime.sinks.webrtc.door import bind_to
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sinks.webrtc.extensions import PLAYOUT_DELAY_URI
from realtime.sinks.webrtc.offer import parse_offer
from realtime.sinks.webrtc.peer import Peer, connect
from realtime.sinks.webrtc.settings import RtcConfig
from realtime.sources.microphone.config import IngestConfig
from realtime.sources.microphone.source import Microphone
from tests.support.streams import FakeHandle

LOOPBACK = RtcConfig(host_addresses=("127.0.0.1",))
SIZE = 64
PATIENCE_S = 240.0
"""Only what never happens takes as long."""


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
    packets: list[tuple[rtp.RtpPacket, dict[int, bytes]]] = field(default_factory=list)
    reports: list[rtp.RtcpSrPacket] = field(default_factory=list)


class Client:
    """A browser, as far as the server can tell."""

    def __init__(self, microphone: bool = True, channel: str = "events") -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = ToneTrack()
        if microphone:
            self.connection.addTransceiver(self.microphone, "sendrecv")
        else:
            self.connection.addTransceiver("audio", "recvonly")
        self.connection.addTransceiver("video", "recvonly")
        self.channel = self.connection.createDataChannel(channel)
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
            bind_to(transceiver.receiver.transport, ["127.0.0.1"])
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
        self.received[kind].packets.append((packet, extensions))

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
    """A stream whose engine draws test cards and sends the voice back, for any number of peers."""

    def __init__(self, config: RtcConfig = LOOPBACK, size: int = SIZE) -> None:
        self.clock = MonotonicClock()
        self.microphone = Microphone(IngestConfig())
        self.handle = FakeHandle(
            self.clock,
            look_ahead=0,
            draw=lambda n: av.VideoFrame.from_ndarray(draw_card(n * 640, size), "yuv420p"),
        )
        self.stream = AvatarStream(self.microphone, self.handle, self.clock)
        self.states: list[str] = []
        self.channels: list[EventChannel] = []
        self.encoded_s: list[float] = []
        self.encodings = Encodings(
            self.stream, on_encoded=lambda size, cpu_s, wall_s: self.encoded_s.append(cpu_s)
        )
        self.peer: Peer
        self._config = config
        self._loop: asyncio.Task[None] | None = None

    @property
    def hops(self) -> list[Hop]:
        """What the engine heard."""
        return self.handle.heard

    async def answer(self, offer: str) -> str:
        self.peer = await connect(
            parse_offer(offer),
            encodings=self.encodings,
            microphone=self.microphone,
            on_channel=self.channels.append,
            on_state=self.states.append,
            config=self._config,
        )
        if self._loop is None:
            self.stream.start()
            self._loop = asyncio.create_task(self.stream.run())
        return self.peer.answer_sdp

    async def close(self) -> None:
        self.stream.close()
        if self._loop is not None:
            await self._loop
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


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something real to happen, on a machine as slow and as busy as it may be."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)
