"""`vivavoce_client` pushes speech: it is played whole, cut short, and shown by those who watch."""

import asyncio
import dataclasses
import math
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
import pytest_asyncio
from vivavoce_client import Client, Refused, SessionEnded

from benchmarks.service.peer import SoundTrack
from tests.realtime.conftest import running
from tests.support.listening import listening
from tests.support.peers import PATIENCE_S
from tests.support.plugins import installed
from tests.support.sounds import SPEECH
from tests.support.toy import write_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAR = 308
"""A column of the toy's white bar, whose height is the root mean square of what is heard."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(config, tmp_path_factory):
    """Of a server whose pictures show what is heard, with an avatar for it."""
    folder = tmp_path_factory.mktemp("push")
    clip = write_video(folder / "clip.mkv")
    with installed("toy_pipeline"):
        both = dataclasses.replace(config, pipelines=("toy",), data_dir=folder / "data")
        async with (
            running(both) as server,
            listening(server.transport.app) as url,
            Client(url) as client,
        ):
            client.toy = await client.enrol(video=clip, pipeline="toy")
            yield client


def opened(client, **more):
    return client.open(avatar=client.toy["id"], pipeline="toy", **more)


def tone(seconds: float, rate_hz: int = 24_000, level: float = 8_000.0) -> np.ndarray:
    n = np.arange(round(seconds * rate_hz))
    return (level * np.sin(2 * np.pi * 200 * n / rate_hz)).astype(np.int16)


def shown(frame) -> float:
    """What the picture says of the loudness."""
    column = frame.picture.to_ndarray(format="gray")[:, BAR]
    return float((column > 200).mean())


async def test_an_utterance_is_played_whole(client):
    async with opened(client) as session:
        await session.push(tone(0.6))
        await session.push(tone(0.4))
        await session.commit()
        stopped = await session.wait_for(
            "output_audio_buffer.stopped", since=0, timeout_s=PATIENCE_S
        )
        assert stopped["played_ms"] == 1_000


@asynccontextmanager
async def speaking(session, pcm):
    """It says that again and again."""

    async def speak() -> None:
        while True:
            await session.push(pcm)
            await session.commit()
            await session.wait_for("output_audio_buffer.stopped", timeout_s=math.inf)

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_each_picture_is_of_its_sound(client):
    levels = np.random.default_rng(5).integers(2, 30, 1_500) * 1_000
    speech = np.concatenate([tone(0.04, level=level) for level in levels])
    loud, high = [0.0], []  # of all frames; of those with a picture of their own: place and height
    async with opened(client) as session, speaking(session, speech):
        async for frame in session.frames():
            loud.append(float(np.sqrt(np.mean((frame.sound / 32_768) ** 2))))
            if frame.fresh and loud[-1] > 0.02:  # a busy machine leaves many out
                high.append((len(loud) - 1, shown(frame)))
            if len(high) == 25:
                break
    places, heights = (np.array(column) for column in zip(*high[:-1], strict=True))
    apart = {lag: np.abs(np.array(loud)[places + lag] - heights).mean() for lag in (-1, 0, 1)}
    assert apart[0] < 0.4 * min(apart[-1], apart[1])  # and not of the sound beside it


async def test_barge_in_tells_how_much_was_played(client):
    async with opened(client) as session:
        await session.push(tone(30))
        await session.commit()
        await session.wait_for("output_audio_buffer.started", since=0, timeout_s=PATIENCE_S)
        played_ms = await session.clear()
        assert 0 <= played_ms < 30_000
        assert (await session.describe())["state"] != "gone"
        await session.push(tone(0.4, 16_000), 16_000)  # the next utterance may have another rate
        with pytest.raises(ValueError, match="this utterance has 16000 Hz"):
            await session.push(tone(0.2), 24_000)
        await session.commit()
        stopped = await session.wait_for("output_audio_buffer.stopped", timeout_s=PATIENCE_S)
        assert stopped["played_ms"] == 400


async def test_pcm_may_be_bytes_and_must_be_16_bit_mono(client):
    async with opened(client, media=False) as session:
        await session.push(tone(0.2).tobytes())
        with pytest.raises(ValueError, match=r"int16 \[n\], not float32"):
            await session.push(tone(0.2).astype(np.float32))
        with pytest.raises(ValueError, match=r"\[2, 2400\]"):
            await session.push(tone(0.2).reshape(2, 2_400))
        await session.discard()


async def test_another_program_may_push_and_a_third_may_watch(client):
    async with (
        opened(client, microphone=SoundTrack(SPEECH)) as session,
        client.attach(session.id) as other,
    ):
        await other.push(tone(0.4))
        await other.commit()
        stopped = await session.wait_for(
            "output_audio_buffer.stopped", since=0, timeout_s=PATIENCE_S
        )
        assert stopped["played_ms"] == 400
        await session.wait_for(
            "input_audio_buffer.speech_started", since=0, timeout_s=PATIENCE_S
        )  # of the user's microphone


async def test_who_pushes_into_what_is_over_is_told(client):
    async with opened(client, media=False) as session:
        await client.api.call("DELETE", f"/v1/sessions/{session.id}")
        with pytest.raises(SessionEnded):
            await session.wait_for("avatar.motion", timeout_s=PATIENCE_S)
        with pytest.raises(SessionEnded):
            await session.push(tone(0.2))
    with pytest.raises(Refused):
        async with client.attach("nothing"):
            pass
