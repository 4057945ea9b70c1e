"""A server on a machine that has prepared nothing yet: who waits for whom, and who yields."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from realtime.avatars.process import NICE
from tests.realtime.conftest import running
from tests.support.peers import until
from tests.support.sounds import SPEECH

CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))


@pytest.fixture
def config(config, tmp_path):
    cast = tmp_path / "cast"
    cast.mkdir()
    for portrait in CAST[:2]:
        shutil.copy(portrait, cast)
    return dataclasses.replace(config, data_dir=tmp_path / "data", cast_dir=cast)


async def test_it_opens_with_the_first_face_and_prepares_the_others_meanwhile(config):
    async with running(config) as server:
        avatars = server.service.avatars
        assert (await server.http.get("/ready")).status_code == 200
        first, second = avatars.list()
        key = await avatars.ensure(first, "portrait", wait_s=0)
        assert (await server.http.get("/health")).json()["cast_to_prepare"] > 0
        await until(lambda: avatars.cast_to_prepare == 0)
        assert await avatars.ensure(second, "portrait", wait_s=0) != key
        assert (await server.http.get("/health")).json()["cast_to_prepare"] == 0


@pytest.mark.skipif(os.nice(0) >= NICE, reason="everything yields as much here")
async def test_enrolment_yields_while_somebody_is_there(config):
    async with running(config) as server:
        await until(lambda: server.service.avatars.cast_to_prepare == 0)
        photos = server.service.avatars._features._photos

        async def niceness_after(photo: bytes) -> int:
            answer = await server.http.post("/v1/avatars", files={"image": photo})
            assert answer.status_code == 201, answer.text
            return os.getpriority(os.PRIO_PROCESS, photos.pid)

        one, two, three = (portrait.read_bytes() for portrait in CAST[2:5])
        assert await niceness_after(one) == os.nice(0)
        async with server.client(SPEECH):
            assert await niceness_after(two) == NICE
        await until(lambda: not server.service.sessions)
        assert await niceness_after(three) == os.nice(0)
