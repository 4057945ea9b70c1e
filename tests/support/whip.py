"""A WHIP publisher and a WHEP player, as thin as those that people use."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from realtime.sinks.webrtc.door import bind_to
from tests.support.peers import ToneTrack

SDP = {"content-type": "application/sdp", "authorization": "Bearer TOKEN"}
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}


class HttpPeer:
    """A peer connection whose offer goes out by POST, without candidates.

    Args:
        lines: (kind, direction) of each m-line, in order; an audio line that sends hears 440 Hz.
    """

    def __init__(self, *lines: tuple[str, str]) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind, direction in lines:
            sends = kind == "audio" and direction != "recvonly"
            self.connection.addTransceiver(ToneTrack() if sends else kind, direction)
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self.answer = httpx.Response(0)
        self.fragment = ""
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        lines = self.connection.localDescription.sdp.splitlines()
        wanted = [line for line in lines if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
        self.fragment = "\r\n".join([*wanted, "m=audio 9 RTP/AVP 0", "a=mid:0", ""])
        kept = [line for line in lines if "candidate" not in line]
        return "\r\n".join(kept) + "\r\n"

    async def post(self, http: httpx.AsyncClient, where: str) -> httpx.Response:
        """Offer, and take the answer where there is one."""
        self.answer = await http.post(where, content=await self.offer(), headers=SDP)
        if self.answer.status_code == 201:
            await self.accept(self.answer.text)
        return self.answer

    async def accept(self, answer: str) -> None:
        for transceiver in self.connection.getTransceivers():
            bind_to(transceiver.receiver.transport, ["127.0.0.1"])
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    @property
    def location(self) -> str:
        """Of the peer at the server."""
        return self.answer.headers["location"]

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> HttpPeer:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def _on_track(self, track: Any) -> None:
        async def read() -> None:
            with contextlib.suppress(MediaStreamError):
                while True:
                    self.frames[track.kind].append(await track.recv())

        self._tasks.append(asyncio.create_task(read()))


def publisher(*, video: bool = False, direction: str = "sendonly") -> HttpPeer:
    """A microphone, and if wanted a camera beside it."""
    lines = [("audio", direction)] + ([("video", direction)] if video else [])
    return HttpPeer(*lines)


def player(*kinds: str, direction: str = "recvonly") -> HttpPeer:
    """A viewer of these kinds, in this order."""
    return HttpPeer(*[(kind, direction) for kind in kinds or ("audio", "video")])
