"""The engine that steps in this process: every frame, at once, the same each time."""

from __future__ import annotations

import pytest

from realtime.engine.handle import StreamRequest
from realtime.engine.local import LocalEngine
from realtime.errors import AtCapacity, EngineError, NotReady
from realtime.media import HOP_SAMPLES
from tests.support.engines import LARGE, EchoOptions, Speaker, colours, face, hop, luma


@pytest.fixture
def key(tmp_path):
    return face(tmp_path, 77)


@pytest.fixture
def engine(tmp_path):
    return LocalEngine("echo", EchoOptions(), tmp_path)


async def test_every_frame_comes_before_submit_returns(engine, key):
    speaker = await Speaker.open(engine, key, seed=3)
    assert colours(speaker.stream.still) == (0, 77, 3)
    for n in range(50):
        speaker.send(n / 64)
        assert len(speaker.frames) == max(0, n - 1)
    assert [f.start for f in speaker.frames] == [n * HOP_SAMPLES for n in range(48)]
    assert [f.arrived for f in speaker.frames] == list(range(48))
    levels = [n / 64 for n in range(2, 50)]
    assert [colours(f.picture) for f in speaker.frames] == [(luma(x), 77, 3) for x in levels]
    assert speaker.stream.facts().size == LARGE


async def test_frames_stay_as_they_were_when_later_ones_come(engine, key):
    speaker = await Speaker.open(engine, key)
    frames = await speaker.say(0.1, 0.2, 0.3, 0.4)
    assert [f.motion[0] for f in frames] == pytest.approx([0.3, 0.4])
    assert [colours(f.picture)[0] for f in frames] == [luma(0.3), luma(0.4)]


async def test_controls_face_and_clear_reach_the_pipeline(engine, key, tmp_path):
    stream = await engine.open(StreamRequest("echo", key, LARGE, controls={"strength": 0.25}))
    speaker = Speaker(stream)
    (frame,) = await speaker.say(0.1, 0.1, 0.1)
    assert frame.motion[3] == 0.25
    await stream.set_controls({"strength": 1.5})
    await stream.set_identity(face(tmp_path, 9))
    stream.clear()
    frames = await speaker.say(0.1, 0.1)
    assert [(f.motion[2], f.motion[3]) for f in frames] == [(1, 1.5), (1, 1.5)]
    assert colours(frames[0].picture)[1] == 9


async def test_slots_are_given_back(engine, key):
    stream = await engine.open(StreamRequest("echo", key, LARGE))
    with pytest.raises(AtCapacity, match="all 1 slots"):
        await engine.open(StreamRequest("echo", key, LARGE))
    await stream.close()
    await stream.close()
    stream.submit(hop(0))
    speaker = await Speaker.open(engine, key)
    (frame,) = await speaker.say(0.1, 0.1, 0.1)
    assert frame.motion[1] == 3


async def test_what_cannot_be_says_why(engine, key, tmp_path):
    with pytest.raises(EngineError, match="the lens is missing"):
        LocalEngine("echo", EchoOptions(broken="the lens is missing"), tmp_path)
    with pytest.raises(EngineError, match="unknown pipeline"):
        LocalEngine("nobody", None, tmp_path)
    with pytest.raises(EngineError, match="cannot load the avatar"):
        await engine.open(StreamRequest("echo", "0" * 64, LARGE))
    with pytest.raises(EngineError, match="must be one of"):
        await engine.open(StreamRequest("echo", key, (1, 1)))
    with pytest.raises(NotReady):
        await engine.open(StreamRequest("portrait", key, LARGE))
    await (await engine.open(StreamRequest("echo", key, LARGE))).close()  # the slot was not lost
