"""One WebRTC connection to a session: a microphone up, if there is one, picture and voice down."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from vivavoce_client.errors import NotConnected, SessionEnded
from vivavoce_client.events import Feed
from vivavoce_client.frames import SOUND_RATE_HZ, Aligner, Frame
from vivavoce_client.timing import SenderClock, first_rtp_time, wait_for_packets

VIDEO_RATE_HZ = 90_000
CONNECT_TIMEOUT_S = 20.0
ORDERED_OVER = 1
"""Packets (20 ms) over which sound is put in order: enough on one machine and on most networks."""
MOST_FRAMES = 50
"""That wait for whoever reads them; then the oldest are dropped."""


class Peer:
    """Offer, answer, media, events.

    Args:
        microphone: what the session hears.
        events: whether there is a data channel for them; a WHEP viewer has none.
        ice_servers: as `/v1/ice-servers` gives them.
    """

    def __init__(
        self,
        *,
        microphone: MediaStreamTrack | None = None,
        events: bool = True,
        ice_servers: Iterable[dict[str, Any]] = (),
    ) -> None:
        servers = [RTCIceServer(**server) for server in ice_servers]
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self.feed = Feed()
        self.dropped = 0
        """Frames that nobody read in time."""
        self.clocks = {"audio": SenderClock(SOUND_RATE_HZ), "video": SenderClock(VIDEO_RATE_HZ)}
        self._aligner = Aligner()
        self._early: list[tuple[str, Any]] = []  # what came before the sender's reports
        self._frames: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        if microphone is None:
            self.connection.addTransceiver("audio", "recvonly")
        else:
            self.connection.addTransceiver(microphone, "sendrecv")
        self.connection.addTransceiver("video", "recvonly")
        self.channel = self.connection.createDataChannel("events") if events else None
        if self.channel is not None:
            self.channel.on("message", self.feed.add)
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_state)

    async def offer(self) -> str:
        """SDP with all candidates."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the answer; the connection begins."""
        for transceiver in self.connection.getTransceivers():
            self.clocks[transceiver.kind].listen(transceiver.receiver)
            if transceiver.kind == "audio":
                wait_for_packets(transceiver.receiver, ORDERED_OVER)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connected(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Wait until media can flow.

        Raises:
            NotConnected: no way was found.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        if self.connection.connectionState != "connected":
            raise NotConnected(
                "the server answered, but its picture and voice found no way here: a firewall "
                "may block UDP; a TURN server, set up at the server, would help"
            )

    def send(self, **event: Any) -> None:
        """Send one event over the data channel.

        Raises:
            SessionEnded: it is not open.
        """
        if self.channel is None or self.channel.readyState != "open":
            raise SessionEnded("the session's event channel is not open")
        self.channel.send(json.dumps(event))

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames from now on, until the connection ends."""
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self.over:
                return
            self._news.clear()
            await self._news.wait()

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return self.connection.connectionState in ("closed", "failed")

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._on_state()

    def _on_state(self) -> None:
        if self.connection.connectionState == "connected" or self.over:
            self._connected.set()
        if self.over:
            self.feed.end()
            self._news.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._consume(track)))

    async def _consume(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                self.received(track.kind, await track.recv())

    def received(self, kind: str, media: Any) -> None:
        """A decoded picture or 20 ms of sound came."""
        self._early.append((kind, media))
        if not all(clock.reports for clock in self.clocks.values()):
            return
        for early_kind, early in sorted(self._early, key=lambda item: item[0] == "audio"):
            self._align(early_kind, early)
        self._early.clear()
        self._frames.extend(self._aligner.take())
        while len(self._frames) > MOST_FRAMES:
            self._frames.popleft()
            self.dropped += 1
        self._news.set()

    def _align(self, kind: str, media: Any) -> None:
        clock = self.clocks[kind]
        at = clock.wall_s(first_rtp_time(self._receiver(kind)) + media.pts)
        if kind == "video":
            self._aligner.add_picture(at, media)
        else:
            self._aligner.add_sound(at, mono(media))

    def _receiver(self, kind: str) -> Any:
        return next(t.receiver for t in self.connection.getTransceivers() if t.kind == kind)


def mono(frame: av.AudioFrame) -> NDArray[np.int16]:
    """The first channel of interleaved 16-bit sound: int16 [n]."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    return np.asarray(samples[:, 0], np.int16)
