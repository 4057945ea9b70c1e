"""`vivavoce_client` and a running server: sessions, avatars, and what is said of refusals."""

import asyncio

import httpx
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from vivavoce_client import Client, Refused, Unreachable
from vivavoce_client.frames import FPS, SOUND_SAMPLES

from benchmarks.service.peer import SoundTrack
from tests.realtime.conftest import URL
from tests.support.peers import PATIENCE_S, until
from tests.support.sounds import hum

pytestmark = pytest.mark.asyncio(loop_scope="module")

TONE_HZ = 600.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server):
    async with Client(URL, transport=server.transport) as client:
        yield client


async def read(session, count: int) -> list:
    """The next frames of a session."""
    frames = []
    async for frame in session.frames():
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


async def test_a_microphone_session_gives_frames_and_events(server, client):
    frames = []
    voice = SoundTrack(hum(TONE_HZ))
    async with client.open(audio="microphone", microphone=voice, size=256) as session:
        async for frame in session.frames():
            frames.append(frame)
            if len(frames) >= 75 and all(frame.sound.any() for frame in frames[-25:]):
                break
        first = await anext(session.events())
        assert (first["type"], first["session"]["id"]) == ("session.created", session.id)
        await session.update(controls={"blink_rate": 0.0})
        updated = await session.wait_for("session.updated", since=0, timeout_s=PATIENCE_S)
        assert updated["session"]["controls"]["blink_rate"] == 0.0
        assert await session.wait_for("stats", since=0, timeout_s=PATIENCE_S)
        assert (await session.describe())["connected"]
    assert not server.service.sessions
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(len(frames)) / FPS)
    assert frames[-1].image().shape == (256, 256, 3)
    assert {len(frame.sound) for frame in frames} == {SOUND_SAMPLES}
    second = np.concatenate([frame.sound for frame in frames[-25:]]).astype(float)
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))))
    assert np.argmax(spectrum) == pytest.approx(TONE_HZ, abs=3)


async def test_iterators_end_with_the_session(server, client):
    async with client.open(audio="microphone") as session:
        reading = asyncio.create_task(read(session, 10_000))
        hearing = asyncio.create_task(_count(session.events()))
        await until(lambda: session.feed.count > 2)
        await server.service.sessions[session.id].close("test_over")
        await reading
        assert await hearing > 2
    assert not server.service.sessions


async def _count(events) -> int:
    return len([event async for event in events])


async def test_the_servers_words_are_the_errors(client):
    with pytest.raises(Refused, match="no avatar is called") as refused:
        async with client.open(audio="microphone", avatar="nobody"):
            pass
    assert (refused.value.status, refused.value.code) == (404, "unknown_avatar")
    with pytest.raises(Refused) as refused:
        await client.avatar("nobody")
    assert refused.value.retry_after_s is None


async def test_a_proxys_error_is_told_as_it_is():
    def broken(request):
        return httpx.Response(502, text="<h1>Bad Gateway</h1>", headers={"retry-after": "7"})

    async with Client(URL, transport=httpx.MockTransport(broken)) as client:
        with pytest.raises(Refused, match="Bad Gateway") as refused:
            await client.avatars()
    assert (refused.value.code, refused.value.retry_after_s) == ("http_502", 7)


async def test_a_server_that_is_not_there_is_unreachable():
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(Unreachable, match="does not answer"):
            await client.avatars()
        with pytest.raises(Unreachable):
            await client.ready(timeout_s=0.0)


async def test_the_key_goes_with_every_call():
    seen = []

    def answer(request):
        seen.append((request.url.path, request.headers["authorization"]))
        return httpx.Response(201, json={"token": "t", "expires_at": 1, "avatars": []})

    address = "https://avatars.example/face/"
    async with Client(address, key="k", transport=httpx.MockTransport(answer)) as client:
        await client.avatars()
        assert (await client.token(["view"], session="s", expires_s=60))["token"] == "t"
    assert seen == [("/face/v1/avatars", "Bearer k"), ("/face/v1/tokens", "Bearer k")]


async def test_an_avatar_is_made_of_a_photo_and_deleted(client, cast_dir):
    told = []
    avatar = await client.enrol(
        image=next(cast_dir.glob("*.png")),
        name="Anna",
        progress=lambda share, stage: told.append((share, stage)),
    )
    assert (avatar["name"], avatar["state"], told[-1]) == ("Anna", "ready", (1.0, "ready"))
    assert avatar["id"] in {known["id"] for known in await client.avatars()}
    await client.delete_avatar(avatar["id"])
    await client.delete_avatar(avatar["id"])  # it is gone, which was wanted
    assert avatar["id"] not in {known["id"] for known in await client.avatars()}


async def test_a_photo_without_a_face_is_refused_in_words(client, tmp_path):
    photo = tmp_path / "wall.png"
    Image.new("RGB", (400, 400), (90, 120, 150)).save(photo)
    with pytest.raises(Refused) as refused:
        await client.enrol(image=photo)
    assert refused.value.code == "no_face"
