"""A source and a sink from outside the product, in a live session with a real peer and engine."""

import asyncio

import numpy as np
import pytest

from benchmarks.service.peer import AvatarClient
from pipelines.registry import find_system
from realtime.session import Session
from realtime.session_config import SessionConfig
from realtime.sinks.webrtc.offer import parse_offer
from realtime.sinks.webrtc.settings import RtcConfig
from tests.support.chimes import Chimes, Notebook
from tests.support.peers import until
from tests.support.sounds import SILENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")

TONE_HZ = 700.0


def strongest_hz(sound: np.ndarray) -> float:
    """The loudest frequency of a second of sound at 48 kHz."""
    second = sound[-48_000:].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))))
    return float(np.argmax(spectrum) * 48_000 / len(second))


async def test_the_tone_and_the_face_reach_the_peer_and_the_sink(server):
    service = server.service
    session = Session(
        id="chimes",
        avatar=service.avatars.list()[0],
        system=find_system("portrait"),
        size=(256, 256),
        seed=0,
        opener=service.engine,
        avatars=service.avatars,
        metrics=service.metrics,
        clock=service.clock,
        config=SessionConfig(webrtc=RtcConfig(loopback=True)),
        speech=Chimes(TONE_HZ),
    )

    async def answer(offer):
        peer = await session.connect(parse_offer(offer["sdp"]))
        return {"sdp": peer.answer_sdp}

    client = AvatarClient(SILENCE)
    async with session:
        notebook = Notebook(session.stream)
        writing = asyncio.create_task(notebook.run())
        await client.connect(answer)
        await until(lambda: len(client.pictures) > 5)
        await until(lambda: sum(map(len, client.voice[-60:])) >= 48_000)
        await until(lambda: sum(picture.fresh for picture in notebook.pictures) > 5)
        await until(lambda: len(notebook.voices) > 50)
        heard = np.concatenate(client.voice)
        assert strongest_hz(heard) == pytest.approx(TONE_HZ, abs=3)
        noted = np.concatenate([voice.pcm for voice in notebook.voices])
        assert strongest_hz(noted) == pytest.approx(TONE_HZ, abs=3)
        notebook.close()  # nobody notices
        await writing
        before = len(client.pictures)
        await until(lambda: len(client.pictures) > before + 5)
    await client.close()
    assert np.all(np.diff([picture.start for picture in notebook.pictures]) % 640 == 0)
    image = notebook.pictures[-1].image
    assert (image.width, image.height) == (256, 256)
