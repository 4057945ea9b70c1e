"""Two ends of a LiveKit room without its server: byte streams and RPC go straight across.

Runs in `.clients/livekit`. What it cannot show: transport of media, subscription, reconnects.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from livekit import rtc

DELAY_S = 0.02
"""Of a call across the room. What was streamed before has arrived by then."""


class Reader:
    """What the receiver uses of `rtc.ByteStreamReader`."""

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.info = SimpleNamespace(attributes=attributes, stream_id=name)
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.pieces.get()
        if piece is None:
            raise StopAsyncIteration
        return piece


class Writer:
    """What the agent uses of `rtc.ByteStreamWriter`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def write(self, data: Any) -> None:
        self._reader.pieces.put_nowait(bytes(data))

    async def aclose(self, **_: Any) -> None:
        self._reader.pieces.put_nowait(None)


class Participant:
    """Both the local one of its own room and the remote one of the other."""

    kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    state = rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE

    def __init__(self, room: Room, identity: str) -> None:
        self.room, self.identity, self.sid = room, identity, f"PA_{identity}"
        self.track_publications: dict[str, Any] = {}
        self._rpc_handlers: dict[str, Any] = {}

    def register_rpc_method(self, name: str, handler: Any) -> None:
        self._rpc_handlers[name] = handler

    async def perform_rpc(
        self, *, destination_identity: str, method: str, payload: str, **_: Any
    ) -> str:
        await asyncio.sleep(DELAY_S)
        there = self.room.other.local_participant
        assert there.identity == destination_identity
        if method not in there._rpc_handlers:
            raise rtc.RpcError(rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD, "unsupported method")
        self.room.calls.append((method, payload))
        data = rtc.RpcInvocationData("1", self.identity, payload, 10.0)
        return str(there._rpc_handlers[method](data))

    async def stream_bytes(
        self, *, name: str, topic: str, attributes: dict[str, str], **_: Any
    ) -> Writer:
        reader = Reader(name, attributes)
        self.room.other.byte_handlers[topic](reader, self.identity)
        return Writer(reader)

    async def publish_track(self, track: Any, options: Any) -> Any:
        kind = rtc.TrackKind.KIND_VIDEO if "video" in track.name else rtc.TrackKind.KIND_AUDIO
        publication = SimpleNamespace(
            sid=f"TR_{track.name}", kind=kind, source=options.source, wait_for_subscription=_at_once
        )
        self.track_publications[publication.sid] = publication
        self.room.other.emit("track_published", publication, self)
        return publication


async def _at_once() -> None:
    """The other end subscribes to everything."""


class Room(rtc.EventEmitter):  # type: ignore[type-arg]
    """One end."""

    name = "standin"

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.local_participant = Participant(self, identity)
        self.byte_handlers: dict[str, Any] = {}
        self.calls: list[tuple[str, str]] = []  # RPC of this end
        self.other: Room

    def isconnected(self) -> bool:
        return True

    @property
    def remote_participants(self) -> dict[str, Participant]:
        there = self.other.local_participant
        return {there.identity: there}

    def register_byte_stream_handler(self, topic: str, handler: Any) -> None:
        self.byte_handlers[topic] = handler


def connected(first: str, second: str) -> tuple[Room, Room]:
    """Two ends of one room."""
    one, two = Room(first), Room(second)
    one.other, two.other = two, one
    return one, two
