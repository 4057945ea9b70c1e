"""A session: an avatar, what it is told to say, what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Self

import numpy as np
from aiortc import MediaStreamTrack
from numpy.typing import NDArray

from vivavoce_client.errors import SessionEnded, VivavoceClientError
from vivavoce_client.events import Event, Feed
from vivavoce_client.frames import Frame
from vivavoce_client.http import Api
from vivavoce_client.peer import Peer
from vivavoce_client.speech import SpeechSocket

ANSWER_TIMEOUT_S = 10.0

Pcm = NDArray[np.int16] | bytes | bytearray | memoryview
"""Mono 16-bit sound: an array, or bytes in the machine's little-endian order."""


class Session:
    """A session that lasts as long as its `async with`. Made by `Client.open` and `Client.attach`.

    Nothing is opened anew by itself: a session whose connection is lost ends, its iterators end or
    raise `SessionEnded`, and a new one is a new `open`.

    Args:
        wanted: the body of `POST /v1/sessions`; None: `session_id` is one that is open already.
        media: whether picture and voice come here.
        rate_hz: of pushed sound, until `push` says another.
    """

    def __init__(
        self,
        api: Api,
        *,
        wanted: dict[str, Any] | None,
        session_id: str = "",
        media: bool = True,
        microphone: MediaStreamTrack | None = None,
        rate_hz: int = 24_000,
    ) -> None:
        self.id = session_id
        self.peer: Peer | None = None
        self.feed = Feed()
        """What the server tells."""
        self._api = api
        self._wanted = wanted
        self._media = media
        self._microphone = microphone
        self._rate_hz = rate_hz
        self._speech: SpeechSocket | None = None
        self._speaking = False  # an utterance is begun and not committed

    # Life

    async def __aenter__(self) -> Self:
        try:
            if self._wanted is not None:
                await self._open(self._wanted)
            if self._wanted is None or self._wanted["audio"] == "push":
                place = self._api.url, self.id, self._rate_hz, self._api.headers
                self._speech = await SpeechSocket.open(*place, self.feed)
            if self.peer is not None:
                await self.peer.connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def _open(self, wanted: dict[str, Any]) -> None:
        body = dict(wanted)
        if self._media:
            servers = await self._api.ice_servers()
            self.peer = Peer(microphone=self._microphone, ice_servers=servers)
            if wanted["audio"] != "push":  # else the socket tells the same
                self.feed = self.peer.feed
            body |= {"sdp": await self.peer.offer(), "type": "offer"}
        answer = await self._api.create_session(body)
        self.id = answer["id"]
        if self.peer is not None:
            await self.peer.accept(answer["sdp"])

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session, if it was opened here; leave it, if it was not."""
        if self._wanted is not None and self.id:
            with suppress(VivavoceClientError):  # it may be over
                await self._api.call("DELETE", f"/v1/sessions/{self.id}")
        if self._speech is not None:
            await self._speech.close()
        if self.peer is not None:
            await self.peer.close()
        self.feed.end()

    # Speech in

    async def push(self, pcm: Pcm, rate_hz: int | None = None) -> None:
        """Have this said after what was pushed before, as fast as it is there; waits while the
        server has no room.

        Args:
            rate_hz: of `pcm`, 8,000 to 48,000; what was said last, if left out. It may change from
                one utterance to the next.

        Raises:
            ValueError: the rate changes within an utterance, or this is no 16-bit mono sound.
            SessionEnded.
            Refused: `buffer_full`, because others push into the session too.
        """
        samples = _samples(pcm)
        socket = self._socket
        if rate_hz not in (None, socket.rate_hz):
            if self._speaking:
                raise ValueError(
                    f"this utterance has {socket.rate_hz} Hz; commit it before {rate_hz}"
                )
            await socket.send(type="session.update", rate=rate_hz)
            socket.rate_hz = rate_hz
        self._speaking = True
        await socket.send_pcm(samples)

    async def commit(self) -> None:
        """What was pushed is a whole utterance.

        Raises:
            SessionEnded.
        """
        await self._socket.send(type="input_audio_buffer.commit")
        self._speaking = False

    async def discard(self) -> None:
        """Forget what was pushed and not committed.

        Raises:
            SessionEnded.
        """
        await self._socket.send(type="input_audio_buffer.clear")
        self._speaking = False

    async def clear(self) -> int:
        """Barge-in: have the avatar fall silent and forget all that it was about to say. How many
        milliseconds of the utterance were played.

        Raises:
            SessionEnded.
        """
        begin = self.feed.count
        await self.send(type="output_audio_buffer.clear")
        cleared = await self.wait_for("output_audio_buffer.cleared", since=begin)
        if self._speech is not None:
            self._speech.forget()
        self._speaking = False
        return int(cleared["played_ms"])

    @property
    def _socket(self) -> SpeechSocket:
        if self._speech is None:
            raise ValueError(
                'speech can be pushed into a session that was opened with audio="push"'
            )
        return self._speech

    # What it shows and tells

    def frames(self) -> AsyncIterator[Frame]:
        """Picture and sound, 25 frames a second, until the session ends. Read by one at a time;
        who is slower than that misses the oldest (`peer.dropped`)."""
        if self.peer is None:
            raise ValueError("this session was opened without media: watch it by Client.view")
        return self.peer.frames()

    def events(self) -> AsyncIterator[Event]:
        """All that the server told and tells, from the session's beginning to its end."""
        return self.feed.since()

    async def wait_for(
        self, kind: str, *, since: int | None = None, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> Event:
        """The next event of a type, or the first since the `since`-th event (`feed.count`).

        Raises:
            SessionEnded: before one came.
            TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            async for event in self.feed.since(self.feed.count if since is None else since):
                if event["type"] == kind:
                    return event
        raise SessionEnded(f"the session ended before {kind}")

    # Control

    async def send(self, **event: Any) -> None:
        """Any event of docs/api.md.

        Raises:
            SessionEnded.
        """
        if self._speech is not None:
            await self._speech.send(**event)
        elif self.peer is not None:
            self.peer.send(**event)
        else:
            raise ValueError("this session has neither a speech socket nor an event channel")

    async def update(self, **changes: Any) -> None:
        """Change `avatar`, `controls` or `motion_events`; `session.updated` says when it is done.

        Raises:
            SessionEnded.
        """
        await self.send(type="session.update", **changes)

    async def describe(self) -> dict[str, Any]:
        """The server's own state and measurements of it.

        Raises:
            Unreachable, Refused.
        """
        return dict(await self._api.json("GET", f"/v1/sessions/{self.id}"))


def _samples(pcm: Pcm) -> NDArray[np.int16]:
    if not isinstance(pcm, np.ndarray):
        return np.frombuffer(pcm, "<i2")
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise ValueError(f"pushed speech is int16 [n], not {pcm.dtype} {list(pcm.shape)}")
    return pcm
