"""A server with two media processes and the echo system, whose faces nobody has to enrol; and its
clients. Real processes; waits are for what must happen, however long a busy machine takes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import websockets

from benchmarks.service.browser import ServerProcess
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.pipeline import Material
from realtime.access.keys import new_key
from tests.support.plugins import installed
from tests.support.whip import SDP, HttpPeer, player

ALICE, BOB = new_key("alice"), new_key("bob")
AS_ALICE, AS_BOB = ({"authorization": f"Bearer {secret}"} for _, secret in (ALICE, BOB))
PATIENCE_S = 240.0
SETTINGS = """
pipeline = "echo"
size = "64x36"
max_sessions = 4
media_processes = 2
load_on_demand = true
load_memory_bytes = 1
load_share = 10.0
connect_timeout_s = 240.0
ping_timeout_s = 240.0
rate_per_address = "100000/second"
"""


@contextmanager
def two_media_processes(
    folder: Path, settings: str = "drain_timeout_s = 60"
) -> Iterator[ServerProcess]:
    """A ready server with the keys of Alice and Bob, and the faces `anna` and `bert`."""
    cast, data = folder / "cast", folder / "data"
    cast.mkdir()
    for tone, name in enumerate(("anna", "bert"), 100):
        photo = cast / f"{name}.png"
        cv2.imwrite(str(photo), np.full((8, 8, 3), tone, np.uint8))
        key = Material(photo=photo).digest()
        store = IdentityStore(data / "identities")
        store.save(IdentityFeatures(key, {"tone": np.array(tone)}, {}))
    config = folder / "vivavoce.toml"
    config.write_text(f'cast_dir = "{cast}"\n{SETTINGS}{settings}\n')
    with installed("echo"), pytest.MonkeyPatch.context() as patch:
        keys = " ".join(f"{key.name}:{key.hash}" for key, _ in (ALICE, BOB))
        patch.setenv("VIVAVOCE_API_KEYS", keys)
        process = ServerProcess(data, "--config", str(config))
        try:
            process.wait_ready()
            yield process
        finally:
            process.stop(120)


class Running:
    """A server with two media processes, as Alice sees it."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.http = httpx.AsyncClient(
            base_url=process.url,
            headers=AS_ALICE,
            timeout=120.0,
            limits=httpx.Limits(max_keepalive_connections=0),  # the server closes idle ones
        )

    async def media(self) -> list[dict[str, Any]]:
        """What `/health` says of the media processes."""
        found: list[dict[str, Any]] = (await self.http.get("/health")).json()["media_processes"]
        return found

    async def counts(self) -> list[int]:
        return [each["sessions"] for each in await self.media()]

    async def niceness(self) -> set[int]:
        """Of the threads of all media processes."""
        tasks = [Path(f"/proc/{each['pid']}/task") for each in await self.media()]
        threads = [int(thread.name) for folder in tasks for thread in folder.iterdir()]
        return {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}

    async def open(self) -> str:
        """A session that speech is pushed to."""
        answer = await self.http.post("/v1/sessions", json={"audio": "push"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    @asynccontextmanager
    async def session(self) -> AsyncIterator[str]:
        """The same, ended at the end unless it has been."""
        session = await self.open()
        yield session
        await self.http.delete(f"/v1/sessions/{session}")

    def socket(self, path: str, **options: Any) -> Any:
        """A WebSocket with Alice's key, or with other `additional_headers`."""
        url = self.process.url.replace("http", "ws") + path
        return websockets.connect(url, **{"additional_headers": AS_ALICE} | options)


class Viewer:
    """A WHEP player that writes down which packets of the voice came."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.voice: dict[int, int] = {}
        """Sequence numbers and RTP times."""
        self._stack = stack

    async def watch(self, server: Running, session: str) -> None:
        peer = await self._stack.enter_async_context(player())
        await join(server, peer, f"/whep/{session}")
        [receiver] = [r for r in peer.connection.getReceivers() if r.track.kind == "audio"]
        handle = receiver._handle_rtp_packet

        async def note(packet: Any, arrival_time_ms: int) -> None:
            self.voice[packet.sequence_number] = packet.timestamp
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = note

    def is_whole(self) -> bool:
        """Whether media time went on without a gap, whatever the network has lost."""
        steps = {
            (self.voice[number] - self.voice[number - 1]) % 2**32
            for number in self.voice
            if number - 1 in self.voice
        }
        return steps == {960}


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.1)


async def join(server: Running, peer: HttpPeer, where: str) -> str:
    """Offer as Alice; the session of the answer."""
    peer.answer = await server.http.post(
        where, content=await peer.offer(), headers={"content-type": SDP["content-type"]}
    )
    assert peer.answer.status_code == 201, peer.answer.text
    await peer.accept(peer.answer.text)
    return peer.location.split("/")[2]


async def told(socket: Any, type: str) -> dict[str, Any]:
    """The next event of a type."""
    async with asyncio.timeout(PATIENCE_S):
        while (event := json.loads(await socket.recv()))["type"] != type:
            pass
    return event
