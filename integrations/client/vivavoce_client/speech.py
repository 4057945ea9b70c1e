"""Speech made elsewhere, pushed into a session over its WebSocket."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vivavoce_client.errors import Refused, SessionEnded, Unreachable
from vivavoce_client.events import Feed

PIECE = 16_000
"""Samples in one message."""
MOST_WAITING_S = 240.0
"""Speech that may wait to be spoken; the server keeps 300 s."""


class SpeechSocket:
    """`WS /v1/sessions/{id}/audio`, open.

    The server refuses more than five minutes of speech that waits. It is spoken in real time, so
    what is waiting is known well enough here, and `send_pcm` waits before that.
    """

    def __init__(self, socket: ClientConnection, rate_hz: int, feed: Feed) -> None:
        self.rate_hz = rate_hz
        self._socket = socket
        self._feed = feed
        self._spoken_at = 0.0  # when all that was sent will have been spoken
        self._full: dict[str, Any] | None = None  # the server's complaint that too much waits
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, url: str, session_id: str, rate_hz: int, headers: dict[str, str], feed: Feed
    ) -> SpeechSocket:
        """Connect; what the session tells goes to `feed`.

        Raises:
            Unreachable, Refused.
        """
        address = f"{url.replace('http', 'ws', 1)}/v1/sessions/{session_id}/audio?rate={rate_hz}"
        try:
            return cls(await connect(address, additional_headers=headers), rate_hz, feed)
        except InvalidStatus as error:
            raise _refusal(error) from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Unreachable(f"{address} does not answer: {error}") from error

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for message in self._socket:
                event = self._feed.add(message)
                if event is not None and event["type"] == "error":
                    said = event.get("error", {})
                    self._full = said if said.get("code") == "buffer_full" else self._full
        self._feed.end()

    async def send_pcm(self, pcm: NDArray[np.int16]) -> None:
        """int16 [n], mono, at the rate that the socket was opened with.

        Raises:
            SessionEnded.
            Refused: some of what was sent before was too much, because others push too.
        """
        for at in range(0, len(pcm), PIECE):
            piece = pcm[at : at + PIECE]
            await self._wait_for_room(len(piece) / self.rate_hz)
            await self._send(piece.astype("<i2").tobytes())

    async def _wait_for_room(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._spoken_at = max(self._spoken_at, now) + seconds
        await asyncio.sleep(max(0.0, self._spoken_at - now - MOST_WAITING_S))
        if self._full is not None:
            said, self._full = self._full, None
            retry_after_s = said.get("retry_after_ms", 0) / 1000
            raise Refused(
                said["message"], status=429, code=said["code"], retry_after_s=retry_after_s
            )

    def forget(self) -> None:
        """Nothing that was sent waits any more."""
        self._spoken_at = 0.0

    async def send(self, **event: Any) -> None:
        """One event.

        Raises:
            SessionEnded.
        """
        await self._send(json.dumps(event))

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise SessionEnded(f"the session is over: {error}") from error

    async def close(self) -> None:
        """Leave the session."""
        await self._socket.close()
        await self._reading


def _refusal(error: InvalidStatus) -> Refused:
    response = error.response
    try:
        said = json.loads(response.body or b"")["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        code, message = f"http_{response.status_code}", str(error)
    return Refused(message, status=response.status_code, code=code)
