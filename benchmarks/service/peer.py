"""An aiortc client of the server: speaks a sound, receives the face, writes down what came when.

Measures at the RTP level, so the client's own jitter buffers and decoders do not blur the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from vivavoce_client.microphone import PACKET, TIME_BASE, RealTimeTrack
from vivavoce_client.microphone import RATE_HZ as AUDIO_RATE_HZ
from vivavoce_client.peer import Peer, mono
from vivavoce_client.timing import SenderClock

from realtime.sinks.webrtc.codecs import OpusEncoder
from realtime.sources.microphone.opus import OpusDecoder

LOUD = 1_500  # of 32767: what counts as sound


def onsets(sound: NDArray[np.int16]) -> NDArray[np.int64]:
    """Sample indices at which a sound begins after a fifth of a second of quiet."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > LOUD)
    gaps = np.diff(loud, prepend=-AUDIO_RATE_HZ)
    return np.asarray(loud[gaps > AUDIO_RATE_HZ // 5])


class SoundTrack(RealTimeTrack):
    """A microphone: int16 sound at 48 kHz in 20 ms packets, in real time, looped."""

    def __init__(self, sound: NDArray[np.int16]) -> None:
        super().__init__()
        self._sound = np.concatenate([sound, np.zeros(-len(sound) % PACKET, np.int16)])
        self._onsets = set((onsets(self._sound) // PACKET).tolist())
        self.spoken: list[float] = []  # local time at which a packet with an onset was sent

    def packet(self, number: int) -> NDArray[np.int16]:
        """Its 20 ms of the loop."""
        at = number * PACKET % len(self._sound)
        if at // PACKET in self._onsets:
            self.spoken.append(time.monotonic())
        return self._sound[at : at + PACKET]


class EncodedTrack(SoundTrack):
    """The same, encoded once: sending it costs a client next to nothing."""

    def __init__(self, sound: NDArray[np.int16]) -> None:
        super().__init__(sound)
        encoder, numbers = OpusEncoder(), range(len(self._sound) // PACKET)
        self._packets = [bytes(p) for n in numbers for p in encoder.encode(self._frame(n))]

    async def recv(self) -> av.Packet[Any]:
        """The next 20 ms, when it is time."""
        number = await self._due()
        packet: av.Packet[Any] = av.Packet(self._packets[number % len(self._packets)])
        packet.pts, packet.time_base = number * PACKET, TIME_BASE
        return packet


@dataclass
class Stream:
    """What came over one RTP stream."""

    clock: SenderClock
    arrivals: list[tuple[int, float]] = field(default_factory=list)  # (RTP time, local time)


class AvatarClient(Peer):
    """One session.

    Args:
        sound: int16 [n], 48 kHz, spoken in a loop.
        keep_frames: keep every decoded picture and all returned sound.
        decode: decode what comes; without, arrivals are written down, and when sounds came back.
        listen: without, not even these, and what is spoken is encoded once: clients that must not
            take the server's processor time.
    """

    def __init__(
        self,
        sound: NDArray[np.int16],
        *,
        keep_frames: bool = True,
        decode: bool = True,
        listen: bool = True,
    ) -> None:
        self.microphone = SoundTrack(sound) if listen else EncodedTrack(sound)
        super().__init__(microphone=self.microphone)
        self.audio = Stream(self.clocks["audio"])
        self.video = Stream(self.clocks["video"])
        self.pictures: list[av.VideoFrame] = []
        self.voice: list[NDArray[np.int16]] = []
        self.returned: list[float] = []  # local time at which an onset came back
        self._opus = OpusDecoder()
        self._quiet_since = 0.0
        self.session: dict[str, Any] = {}
        self.offered = 0.0
        self.first_frame: float | None = None
        self._keep = keep_frames
        self._decode = decode
        self._listen = listen

    @property
    def events(self) -> list[dict[str, Any]]:
        """All so far."""
        return list(self.feed.kept)

    async def body(self, **wanted: Any) -> dict[str, Any]:
        """The body of `POST /v1/sessions`."""
        return {"sdp": await self.offer(), "type": "offer"} | wanted

    async def connect(
        self, post: Callable[[dict[str, Any]], Any], avatar: str | None = None, **more: Any
    ) -> None:
        """Offer and take the answer; `post` raises where the server refuses."""
        body = await self.body(avatar=avatar, **more)
        self.offered = time.monotonic()
        self.session = await post(body)
        await self.accept(self.session["sdp"])
        for transceiver in self.connection.getTransceivers():
            stream = self.audio if transceiver.kind == "audio" else self.video
            self._tap(transceiver.receiver, stream)

    def _tap(self, receiver: Any, stream: Stream) -> None:
        handle = receiver._handle_rtp_packet

        async def rtp(packet: Any, arrival_time_ms: int) -> None:
            stream.arrivals.append((packet.timestamp, time.monotonic()))
            if stream is self.audio and self._listen:
                self._hear(packet.payload)
            if self._decode:
                await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = rtp

    def _hear(self, payload: bytes) -> None:
        """Note when a sound comes back after quiet; packet by packet, losses and all."""
        now = time.monotonic()
        if np.abs(self._opus.decode(payload).astype(np.int32)).max(initial=0) > LOUD:
            if now - self._quiet_since > 0.2:
                self.returned.append(now)
            self._quiet_since = now

    def echoes_ms(self) -> list[tuple[float, float]]:
        """For each spoken onset that came back: local time, and how long it took in ms."""
        echoes = []
        for spoken in self.microphone.spoken:
            later = [(t - spoken) * 1000 for t in self.returned if 0 < t - spoken < 1.2]
            if later:
                echoes.append((spoken, min(later)))
        return echoes

    def received(self, kind: str, media: Any) -> None:
        """Keep it."""
        if kind == "video":
            self.first_frame = self.first_frame or time.monotonic()
            if self._keep:
                self.pictures.append(media)
        elif self._keep:
            self.voice.append(mono(media))

    async def ping(self, every_s: float = 1.0) -> None:
        """Ping for as long as the caller lets it run."""
        while True:
            if self.channel is not None and self.channel.readyState == "open":
                self.send(type="ping")
            await asyncio.sleep(every_s)

    def skews_ms(self) -> NDArray[np.float64]:
        """Video minus audio lag behind media time, for every video frame, in ms.

        Opus packets lie 6.5 ms beside the frames (the codec's look-ahead, which their RTP times
        account for), so each frame is compared with the nearest packet, both less media time.
        """
        heard_by, shown_by = self.audio.clock, self.video.clock
        if not heard_by.reports or not shown_by.reports:
            return np.zeros(0)
        heard = sorted((heard_by.wall_s(rtp_time), at) for rtp_time, at in self.audio.arrivals)
        media = np.array([m for m, _ in heard])
        local = np.array([at for _, at in heard])
        last: dict[int, float] = {}
        for rtp_time, at in self.video.arrivals:  # a frame is there when its last packet is
            last[rtp_time] = at
        skews = []
        for rtp_time, at in last.items():
            shown = shown_by.wall_s(rtp_time)
            i = int(np.argmin(np.abs(media - shown)))
            if abs(media[i] - shown) <= 0.010:
                skews.append(((at - shown) - (local[i] - media[i])) * 1000)
        return np.array(skews)

    def frame_times(self) -> NDArray[np.float64]:
        """Local time at which each video frame was complete, s."""
        last: dict[int, float] = {}
        for rtp_time, at in self.video.arrivals:
            last[rtp_time] = at
        return np.array(sorted(last.values()))
