"""A session whose engine, avatars and peers are stand-ins, on a clock turned by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.pipeline import Control
from realtime.engine.handle import StreamRequest
from realtime.errors import UnknownAvatar, VivavoceError
from realtime.metrics import Metrics
from realtime.session import Session
from realtime.session_config import SessionConfig
from realtime.sources.pushed import PushedSpeech
from tests.support.fakes import ManualClock, settle
from tests.support.streams import FakeHandle

PING = '{"type": "ping", "event_id": "p"}'


class FakeSystem:
    """A `System` in name only."""

    name = "fake"
    summary = "Draws grey."
    sizes = ((32, 18), (64, 36))
    controls = (Control("gaze", "Eye movement"), Control("warmth", "Of the light", 0, 10, 5))
    motion_names = ("number",)
    accepts = frozenset({"photo"})
    keeps_video = True
    Options = dict


@dataclass(frozen=True)
class FakeFace:
    id: str


class FakeFaces:
    """Every lower-case name is an avatar; its key is the name in capitals."""

    def __init__(self) -> None:
        self.error: VivavoceError | None = None

    def get(self, avatar_id: str) -> FakeFace:
        if not avatar_id.islower():
            raise UnknownAvatar(f"there is no avatar {avatar_id}")
        return FakeFace(avatar_id)

    async def ensure(self, avatar: FakeFace, pipeline: str) -> str:
        if self.error is not None:
            raise self.error
        assert pipeline == FakeSystem.name
        return avatar.id.upper()


class FakeOpener:
    """Opens the handle it was made with."""

    def __init__(self, handle: FakeHandle) -> None:
        self.handle = handle
        self.asked: list[StreamRequest] = []
        self.error: VivavoceError | None = None

    async def open(self, request: StreamRequest) -> FakeHandle:
        self.handle.largest = request.size
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.handle


class FakeChannel:
    """A data channel whose other end is the test."""

    def __init__(self, label: str = "events") -> None:
        self.label = label
        self.sent: list[dict[str, Any]] = []
        self.on_message: Callable[[str | bytes], None] = lambda message: None

    def send(self, text: str) -> bool:
        self.sent.append(json.loads(text))
        return True

    def say(self, **event: Any) -> None:
        """What the client says."""
        self.on_message(json.dumps(event))

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        """Events of these types, in order."""
        return [event for event in self.sent if event["type"] in kinds]


@dataclass(frozen=True)
class FakeOffer:
    microphone: bool = True
    channel: bool = True


class FakePeer:
    """What `connect` answers with: the test says what becomes of it."""

    def __init__(self, offer: FakeOffer, options: dict[str, Any]) -> None:
        self.offer = offer
        self.microphone = options["microphone"]
        self.encodings = options["encodings"]
        self.state = "connecting"
        self.heard = False
        self.datagrams = 0
        self.closed = 0
        self._on_state = options["on_state"]
        self._on_channel = options["on_channel"]

    def become(self, state: str) -> None:
        self.state = state
        self._on_state(state)

    def open_channel(self, label: str = "events") -> FakeChannel:
        channel = FakeChannel(label)
        self._on_channel(channel)
        return channel

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)
        if self.state != "closed":
            self.become("closed")


class Stage:
    """A session and all that stands around it."""

    def __init__(self, speech: PushedSpeech | None = None, **config: float) -> None:
        self.clock = ManualClock()
        self.handle = FakeHandle(self.clock, size=(32, 18))
        self.opener = FakeOpener(self.handle)
        self.faces = FakeFaces()
        self.metrics = Metrics()
        self.peers: list[FakePeer] = []
        self.closed: list[Session] = []
        self.session = Session(
            id="session",
            avatar=FakeFace("anna"),
            system=FakeSystem(),  # type: ignore[arg-type]
            size=(32, 18),
            seed=7,
            opener=self.opener,
            avatars=self.faces,
            metrics=self.metrics,
            clock=self.clock,
            config=SessionConfig(connect=self._connect, **config),  # type: ignore[arg-type]
            speech=speech,
            on_closed=self.closed.append,
        )

    async def _connect(self, offer: FakeOffer, **options: Any) -> FakePeer:
        self.peers.append(FakePeer(offer, options))
        return self.peers[-1]

    async def watch(self, microphone: bool = True) -> tuple[FakePeer, FakeChannel]:
        """One more peer that is connected and has an event channel."""
        await self.session.connect(FakeOffer(microphone))  # type: ignore[arg-type]
        peer = self.peers[-1]
        peer.become("connected")
        channel = peer.open_channel()
        await settle()
        return peer, channel

    def ended(self) -> dict[str, float]:
        """How many sessions ended for which reason."""
        samples = next(iter(self.metrics.sessions_ended.collect())).samples
        return {
            sample.labels["reason"]: sample.value
            for sample in samples
            if sample.name.endswith("_total")
        }


@asynccontextmanager
async def staged(**options: Any) -> AsyncIterator[Stage]:
    """An open session, closed in the end; nothing of it may stay."""
    stage = Stage(**options)
    async with stage.session:
        yield stage
    assert stage.closed == [stage.session]
    assert stage.handle.closed
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
