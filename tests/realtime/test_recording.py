"""`WS /v1/sessions/{id}/recording`, over a real socket: the WebM of a session."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import av
import numpy as np
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from realtime.media import FPS
from realtime.sinks.mp4 import MARK
from tests.support.engines import until
from tests.support.sockets import Site, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 24_000
HUM = (8_000 * np.sin(2 * np.pi * 200 * np.arange(3 * RATE) / RATE)).astype(np.int16)
NEAR_S = 2 / FPS
CLUSTER = bytes.fromhex("1f43b675")


def recording_of(site: Site, session: str) -> Any:
    url = str(site.http.base_url).replace("http", "ws")
    return websockets.connect(f"{url}/v1/sessions/{session}/recording", max_size=None)


async def take(socket: ClientConnection, pieces: list[bytes]) -> bytes | None:
    """All that comes; the front that comes last, None where the connection broke before."""
    async for message in socket:
        if isinstance(message, str):
            told = json.loads(message)
            assert told["type"] == "recording.stopped"
            return base64.b64decode(told["front"])
        pieces.append(message)
    return None


def packets(file: bytes, kind: str) -> list[Any]:
    with av.open(io.BytesIO(file)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [packet for packet in container.demux(stream) if packet.size]


def check(file: bytes) -> None:
    """Its duration is that of what is in it, and its index leads to its key frames."""
    pictures, voice = packets(file, "video"), packets(file, "audio")
    with av.open(io.BytesIO(file)) as container:
        assert container.duration is not None
        duration_s = container.duration / av.time_base
        entries = container.streams.video[0].index_entries
        listed = [(entry.timestamp, entry.pos) for entry in entries]
        assert container.metadata["COMMENT"] == MARK
    last_s = max(float(of[-1].pts * of[-1].time_base) for of in (pictures, voice))
    assert last_s < duration_s < last_s + NEAR_S
    keys = [packet for packet in pictures if packet.is_keyframe]
    assert [time for time, _ in listed] == [packet.pts for packet in keys]
    for (_, place), key in zip(listed, keys, strict=True):
        assert file[place : place + 4] == CLUSTER
        assert CLUSTER not in file[place + 4 : key.pos]


async def test_a_recording_knows_its_duration_and_where_to_jump(config: Any) -> None:
    async with served(config) as site:
        session, pieces = await site.open(), list[bytes]()
        async with site.talker(session) as talker, recording_of(site, session) as socket:
            taking = asyncio.create_task(take(socket, pieces))
            await talker.append(HUM)
            await talker.say("input_audio_buffer.commit")
            await until(lambda: len(pieces) > 1)
            [encoding] = site.service.session(session).media.encodings._video.values()
            encoding.keyframe_wanted = True  # as if somebody came to watch
            await talker.told("output_audio_buffer.stopped")
            await socket.send("stop")
            front = await taking
    assert front
    file = front + b"".join(pieces[1:])
    check(file)
    pictures = packets(file, "video")
    assert sum(packet.is_keyframe for packet in pictures) > 1
    times = [packet.pts for packet in pictures]
    assert times[0] == 0
    assert set(np.diff(times) % 40) == {0}  # of whole pictures, whichever are missing
    voice = [packet.pts for packet in packets(file, "audio")]
    assert set(np.diff(voice)) == {20}  # none is missing


async def test_a_session_that_ends_ends_its_recordings(config: Any) -> None:
    async with served(config) as site:
        session, pieces = await site.open(), list[bytes]()
        async with site.talker(session) as talker, recording_of(site, session) as socket:
            taking = asyncio.create_task(take(socket, pieces))
            await talker.append(HUM)
            await until(lambda: len(pieces) > 2)
            await site.http.delete(f"/v1/sessions/{session}")
            front = await taking
    assert front
    check(front + b"".join(pieces[1:]))


async def test_one_that_breaks_off_is_a_video_without_a_duration_and_leaves_nothing(
    config: Any,
) -> None:
    async with served(config) as site:
        session, pieces = await site.open(), list[bytes]()
        async with site.talker(session) as talker:
            async with recording_of(site, session) as socket:
                taking = asyncio.create_task(take(socket, pieces))
                await talker.append(HUM)
                await until(lambda: len(pieces) > 2)
            assert await taking is None
            encodings = site.service.session(session).media.encodings
            await until(lambda: not encodings._video)
    with av.open(io.BytesIO(b"".join(pieces))) as container:
        assert container.duration is None
        assert sum(1 for _ in container.decode(video=0)) > 10


async def test_a_session_is_recorded_a_few_times_at_once_and_not_more(config: Any) -> None:
    async with served(config) as site:
        session = await site.open()
        sockets = [await recording_of(site, session) for _ in range(4)]
        with pytest.raises(websockets.InvalidStatus) as refused:
            await recording_of(site, session)
        assert refused.value.response.status_code == 429
        for socket in sockets:
            await socket.send("stop")
            assert await take(socket, []) == b""  # there was no picture yet
        with pytest.raises(websockets.InvalidStatus) as refused:
            await recording_of(site, "nobody")
        assert refused.value.response.status_code == 404
        again = await recording_of(site, session)
        await again.close()
