"""An aiortc client of the server: speaks a sound, receives the face, writes down what came when.

Measures at the RTP level, so the client's own jitter buffers and decoders do not blur the figures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket
from numpy.typing import NDArray

from realtime.sources.microphone.opus import OpusDecoder

AUDIO_RATE_HZ = 48_000
PACKET = 960  # 20 ms
LOUD = 1_500  # of 32767: what counts as sound


def onsets(sound: NDArray[np.int16]) -> NDArray[np.int64]:
    """Sample indices at which a sound begins after a fifth of a second of quiet."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > LOUD)
    gaps = np.diff(loud, prepend=-AUDIO_RATE_HZ)
    return np.asarray(loud[gaps > AUDIO_RATE_HZ // 5])


class SoundTrack(MediaStreamTrack):
    """A microphone: int16 sound at 48 kHz in 20 ms packets, in real time, looped."""

    kind = "audio"

    def __init__(self, sound: NDArray[np.int16]) -> None:
        super().__init__()
        self._sound = np.concatenate([sound, np.zeros(-len(sound) % PACKET, np.int16)])
        self._n = 0
        self._start: float | None = None
        self._onsets = set((onsets(self._sound) // PACKET).tolist())
        self.spoken: list[float] = []  # local time at which a packet with an onset was sent

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when it is time."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._start = self._start if self._start is not None else loop.time()
        await asyncio.sleep(max(0.0, self._start + self._n * 0.02 - loop.time()))
        at = self._n * PACKET % len(self._sound)
        if at // PACKET in self._onsets:
            self.spoken.append(time.monotonic())
        frame = av.AudioFrame.from_ndarray(
            self._sound[None, at : at + PACKET], format="s16", layout="mono"
        )
        frame.sample_rate = AUDIO_RATE_HZ
        frame.pts, frame.time_base = self._n * PACKET, Fraction(1, AUDIO_RATE_HZ)
        self._n += 1
        return frame


@dataclass
class Stream:
    """What came over one RTP stream."""

    rate: int
    arrivals: list[tuple[int, float]] = field(default_factory=list)  # (RTP time, local time)
    reports: list[tuple[int, int]] = field(default_factory=list)  # (NTP time, RTP time)

    def sender_time(self, rtp_time: int) -> float:
        """The sender's wall time (s) of an RTP time, by the newest sender report."""
        ntp, at = self.reports[-1]
        delta = (rtp_time - at + 2**31) % 2**32 - 2**31
        return ntp / 2**32 + delta / self.rate


class AvatarClient:
    """One session.

    Args:
        sound: int16 [n], 48 kHz, spoken in a loop.
        keep_frames: keep every decoded picture and all returned sound.
        decode: decode what comes; without, only arrivals are written down, at little CPU cost.
    """

    def __init__(
        self, sound: NDArray[np.int16], *, keep_frames: bool = True, decode: bool = True
    ) -> None:
        self.pc = RTCPeerConnection()
        self.audio = Stream(AUDIO_RATE_HZ)
        self.video = Stream(90_000)
        self.events: list[dict[str, Any]] = []
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
        self._tasks: list[asyncio.Task[None]] = []
        self.microphone = SoundTrack(sound)
        self.pc.addTransceiver(self.microphone, "sendrecv")
        self.pc.addTransceiver("video", "recvonly")
        self.channel = self.pc.createDataChannel("events")
        self.channel.on("message", lambda text: self.events.append(json.loads(text)))
        self.pc.on("track", self._on_track)

    async def offer(self) -> dict[str, Any]:
        """The body of `POST /v1/sessions`."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"sdp": self.pc.localDescription.sdp, "type": "offer"}

    async def connect(
        self, post: Callable[[dict[str, Any]], Any], avatar: str | None = None, **more: Any
    ) -> None:
        """Offer and take the answer; `post` raises where the server refuses."""
        offer = await self.offer() | more | ({"avatar": avatar} if avatar else {})
        self.offered = time.monotonic()
        self.session = await post(offer)
        await self.pc.setRemoteDescription(RTCSessionDescription(self.session["sdp"], "answer"))
        for transceiver in self.pc.getTransceivers():
            stream = self.audio if transceiver.kind == "audio" else self.video
            self._tap(transceiver.receiver, stream)

    def _tap(self, receiver: Any, stream: Stream) -> None:
        handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

        async def rtp(packet: Any, arrival_time_ms: int) -> None:
            stream.arrivals.append((packet.timestamp, time.monotonic()))
            if stream is self.audio:
                self._hear(packet.payload)
            if self._decode:
                await handle_rtp(packet, arrival_time_ms)

        async def rtcp(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                stream.reports.append((info.ntp_timestamp, info.rtp_timestamp))
            await handle_rtcp(packet)

        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = rtp, rtcp

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

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._consume(track)))

    async def _consume(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    self.first_frame = self.first_frame or time.monotonic()
                    if self._keep:
                        self.pictures.append(frame)
                elif self._keep and isinstance(frame, av.AudioFrame):
                    self.voice.append(_mono(frame))
        except MediaStreamError:
            pass

    def send(self, **event: Any) -> None:
        """Send one event over the data channel."""
        self.channel.send(json.dumps(event))

    async def ping(self, every_s: float = 1.0) -> None:
        """Ping for as long as the caller lets it run."""
        while True:
            if self.channel.readyState == "open":
                self.send(type="ping")
            await asyncio.sleep(every_s)

    def skews_ms(self) -> NDArray[np.float64]:
        """Video minus audio lag behind media time, for every video frame, in ms.

        Opus packets lie 6.5 ms beside the frames (the codec's look-ahead, which their RTP times
        account for), so each frame is compared with the nearest packet, both less media time.
        """
        if not self.audio.reports or not self.video.reports:
            return np.zeros(0)
        heard = sorted(
            (self.audio.sender_time(rtp_time), at) for rtp_time, at in self.audio.arrivals
        )
        media = np.array([m for m, _ in heard])
        local = np.array([at for _, at in heard])
        last: dict[int, float] = {}
        for rtp_time, at in self.video.arrivals:  # a frame is there when its last packet is
            last[rtp_time] = at
        skews = []
        for rtp_time, at in last.items():
            shown = self.video.sender_time(rtp_time)
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

    async def close(self) -> None:
        """Hang up."""
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _mono(frame: av.AudioFrame) -> NDArray[np.int16]:
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    return np.asarray(samples[:, 0], np.int16)
