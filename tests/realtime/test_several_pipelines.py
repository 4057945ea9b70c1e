"""Two pipelines in one running server, one of them from another distribution."""

import dataclasses

import numpy as np
import pytest
import pytest_asyncio

from benchmarks.service.peer import AvatarClient
from tests.realtime.conftest import running
from tests.support.peers import until
from tests.support.plugins import installed
from tests.support.sounds import SILENCE, SPEECH
from tests.support.toy import write_video

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    with installed("toy_pipeline"):
        both = dataclasses.replace(config, pipelines=("toy",), data_dir=folder)
        async with running(both) as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clips(server, tmp_path_factory):
    """Two avatars of videos, one dark and one light."""
    made = []
    for name, base in (("Dark", 40), ("Light", 120)):
        video = write_video(tmp_path_factory.mktemp("video") / "clip.mkv", 6, base).read_bytes()
        answer = await server.http.post(
            "/v1/avatars",
            files={"video": ("clip.mkv", video)},
            data={"name": name, "pipeline": "toy"},
        )
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "enrolling"
        made.append(answer.headers["location"])
    found = []
    for where in made:
        await made_ready(server, where)
        found.append((await server.http.get(where)).json())
    return found


async def made_ready(server, where: str) -> None:
    avatar = server.service.avatars.get(where.rpartition("/")[2])
    await until(lambda: server.service.avatars.state(avatar) == "ready")


def brightness(picture) -> float:
    """Mean luma, the bar that shows the sound left out."""
    return float(picture.to_ndarray(format="gray")[:, :280].mean())


async def test_both_are_described(server):
    first, second, *_ = (await server.http.get("/v1/pipelines")).json()["pipelines"]
    assert [(p["name"], p["loaded"]) for p in (first, second)] == [
        ("portrait", True),
        ("toy", True),
    ]
    assert (second["sizes"], second["accepts"]) == ([[320, 180]], ["video"])
    [control] = second["controls"]
    assert (control["name"], control["min"], control["max"]) == ("brightness", 0.25, 2.0)


async def test_each_session_has_the_pipeline_that_it_names(server, clips):
    dark, light = clips
    async with (
        server.client(SPEECH) as face,
        server.client(SILENCE, avatar=dark["id"], pipeline="toy") as clip,
    ):
        await until(lambda: len(face.pictures) > 10 and len(clip.pictures) > 25)
        picture = clip.pictures[-1]
        assert (face.pictures[-1].width, face.pictures[-1].height) == (256, 256)
        assert (picture.width, picture.height) == (320, 180)
        before = brightness(picture)
        await until(lambda: clip.channel.readyState == "open")
        clip.send(type="session.update", controls={"brightness": 2.0})
        await until(lambda: brightness(clip.pictures[-1]) > 1.5 * before)
        clip.send(type="session.update", controls={"brightness": 1.0}, avatar=light["id"])
        await until(lambda: abs(brightness(clip.pictures[-1]) - 140) < 25)
        clip.send(type="session.update", controls={"expression": 1.0})
        await until(lambda: any(e["type"] == "error" for e in clip.events))
        [error] = [e["error"] for e in clip.events if e["type"] == "error"]
        assert "there is no 'expression'" in error["message"]
        described = (await server.http.get(f"/v1/sessions/{clip.session['id']}")).json()
        assert (described["pipeline"], described["width"], described["height"]) == ("toy", 320, 180)


async def test_the_state_moves_on_while_nobody_speaks(server, clips):
    async with server.client(SILENCE, avatar=clips[0]["id"], pipeline="toy") as clip:
        await until(lambda: len(clip.pictures) > 30)
        levels = [brightness(picture) for picture in clip.pictures[10:]]
        assert np.ptp(levels) > 16  # six pictures there and back, 8 steps of grey apart


async def test_faces_that_do_not_suit_are_refused_in_words(server, clips):
    photo = server.service.avatars.list()[0].id
    error = await refused(server, {"pipeline": "toy", "avatar": photo})
    assert error["code"] == "unsuited_material"
    assert "of video, not of photo" in error["message"]


async def test_a_pipeline_is_loaded_on_demand_where_that_is_allowed(config, tmp_path):
    with installed("toy_pipeline"):
        willing = dataclasses.replace(
            config, load_on_demand=True, load_memory_bytes=0, pipelines=(), data_dir=tmp_path
        )
        async with running(willing) as server:
            error = await refused(server, {"pipeline": "toy"})
            assert error["code"] == "pipeline_not_loaded"
            assert "is being loaded" in error["message"]
            loaded = lambda: server.service.engine.health().pipelines.get("toy")  # noqa: E731
            await until(lambda: loaded() == "ready")
            error = await refused(server, {"pipeline": "toy"})
            assert "no avatar for the pipeline 'toy' yet" in error["message"]


async def refused(server, body) -> dict:
    client = AvatarClient(SILENCE)
    try:
        answer = await server.http.post("/v1/sessions", json=await client.body(**body))
    finally:
        await client.close()
    assert answer.status_code >= 400
    return answer.json()["error"]
