"""A session with real peers over loopback: they come, watch, control and go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np

from realtime.clock import MonotonicClock
from realtime.life import Life
from realtime.metrics import Metrics
from realtime.session import Session
from realtime.session_config import SessionConfig
from realtime.sinks.webrtc.offer import WATCH, parse_offer
from realtime.sources.pushed import PushedSpeech
from tests.support.peers import LOOPBACK, SIZE, Client, draw_card, until
from tests.support.sessions import FakeFace, FakeFaces, FakeOpener, FakeSystem
from tests.support.streams import FakeHandle
from tests.support.whip import HttpPeer


@asynccontextmanager
async def opened(speech: PushedSpeech | None = None) -> AsyncIterator[Session]:
    clock = MonotonicClock()
    handle = FakeHandle(
        clock,
        size=(SIZE, SIZE),
        draw=lambda n: av.VideoFrame.from_ndarray(draw_card(n * 640), "yuv420p"),
    )
    session = Session(
        id="session",
        avatar=FakeFace("anna"),
        system=FakeSystem(),  # type: ignore[arg-type]
        size=(SIZE, SIZE),
        seed=0,
        opener=FakeOpener(handle),
        avatars=FakeFaces(),
        metrics=Metrics(),
        clock=clock,
        config=SessionConfig(webrtc=LOOPBACK),
        speech=speech,
    )
    async with session:
        yield session


async def join(session: Session, *, microphone: bool) -> tuple[Client, list[dict[str, Any]]]:
    """A client that watches; the events it hears."""
    client = Client(microphone)
    events: list[dict[str, Any]] = []
    client.channel.on("message", lambda text: events.append(json.loads(text)))
    peer = await session.connect(parse_offer(await client.offer()))
    await client.accept(peer.answer_sdp)
    await until(lambda: events and all(got.frames for got in client.received.values()))
    return client, events


def loudness(sound: av.AudioFrame) -> int:
    """Peak of a piece of sound."""
    return int(np.abs(sound.to_ndarray()).max())


async def test_viewers_join_and_leave_a_session_with_a_microphone() -> None:
    async with opened() as session:
        speaker, heard = await join(session, microphone=True)
        assert heard[0]["type"] == "session.created"
        await until(lambda: any(v.to_ndarray().any() for v in speaker.received["audio"].frames))
        for _ in range(2):
            viewer, told = await join(session, microphone=False)
            sounds = viewer.received["audio"].frames
            await until(lambda sounds=sounds: sounds and loudness(sounds[-1]) > 4_000)
            viewer.channel.send('{"type": "session.update", "controls": {"gaze": 0.5}}')
            await until(lambda: any(e["type"] == "session.updated" for e in heard))
            heard.clear()
            await viewer.close()
            await until(lambda: len(session.parties) == 1)
            assert told[-1]["type"] != "error"
        assert len(session.media.encodings._video) == 1
        pictures = speaker.received["video"].frames
        count = len(pictures)
        await until(lambda: len(pictures) > count + 5)
        await speaker.close()
        await until(lambda: session.life is Life.CLOSED)


async def test_six_viewers_cost_no_further_encode() -> None:
    def counts(session: Session) -> tuple[float, int]:
        name = "vivavoce_stage_milliseconds_count"
        encodes = session._metrics.registry.get_sample_value(name, {"stage": "encode"})
        assert encodes is not None
        return encodes, session.stream.pictures.stats.shown

    async with opened() as session:
        viewers = [HttpPeer(("audio", "recvonly"), ("video", "recvonly")) for _ in range(6)]
        for viewer in viewers:
            peer = await session.connect(parse_offer(await viewer.offer(), WATCH))
            await viewer.accept(peer.answer_sdp)
        await until(lambda: all(viewer.frames["video"] for viewer in viewers))
        encodes, shown = counts(session)
        await until(lambda: counts(session)[1] >= shown + 50)
        later, shown_later = counts(session)
        assert later - encodes <= shown_later - shown + 1
        await until(lambda: all(len(viewer.frames["video"]) > 20 for viewer in viewers))
        for viewer in viewers:
            await viewer.close()
        await until(lambda: session.life is Life.CLOSED)


async def test_pushed_speech_is_seen_and_heard_and_the_user_is_listened_to() -> None:
    speech = PushedSpeech(16_000)
    async with opened(speech) as session:
        client, events = await join(session, microphone=True)
        sounds = client.received["audio"].frames
        assert not any(loudness(sound) > 1_000 for sound in sounds)
        n = np.arange(16_000)
        pcm = (12_000 * np.sin(2 * np.pi * 300 * n / 16_000)).astype(np.int16)
        speech.push(pcm, MonotonicClock().now())
        speech.commit()
        await until(lambda: loudness(sounds[-1]) > 4_000)
        await until(lambda: any(e["type"] == "output_audio_buffer.stopped" for e in events))
        stopped = next(e for e in events if e["type"] == "output_audio_buffer.stopped")
        assert stopped["played_ms"] == 1_000
        await until(lambda: session.microphone.stats.received > 20)
        speech.push(np.tile(pcm, 20), MonotonicClock().now())
        await until(lambda: sum(e["type"] == "output_audio_buffer.started" for e in events) == 2)
        client.channel.send('{"type": "output_audio_buffer.clear"}')
        await until(lambda: any(e["type"] == "output_audio_buffer.cleared" for e in events))
        await until(lambda: loudness(sounds[-1]) < 200)
        await client.close()
