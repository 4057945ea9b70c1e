"""Avatars of somebody's video, over HTTP and from the command line."""

import asyncio
import dataclasses
import json

import pytest

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from realtime.avatars.features import Enrolment
from realtime.enrol import EnrolJob, enrol
from tests.realtime.conftest import CAST, running
from tests.support.damage import cut
from tests.support.peers import until
from tests.support.videos import drawn_clip, write_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    drawn = drawn_clip()
    return write_clip(tmp_path_factory.mktemp("video") / "me.mp4", drawn.pictures, drawn.sound)


def kept(data_dir):
    """Suffixes of the files of uploads."""
    return {path.suffix for path in (data_dir / "avatars").iterdir()}


async def settled(http, where):
    """What the server says of an avatar once it is ready or never will be."""
    while (said := (await http.get(where)).json())["state"] == "enrolling":
        assert said["stage"]
        await asyncio.sleep(0.1)
    return said


async def test_a_photo_with_a_video_over_http(config, clip, tmp_path, monkeypatch):
    config = dataclasses.replace(config, data_dir=tmp_path)
    stages = set()
    report = Enrolment.report

    def listening(enrolment, share, stage):  # who asks now and then may miss a short one
        stages.add(stage)
        report(enrolment, share, stage)

    monkeypatch.setattr(Enrolment, "report", listening)
    async with running(config) as server:
        files = {
            "image": ("me.png", CAST[0].read_bytes()),
            "video": ("me.mp4", clip.read_bytes()),
        }
        answer = await server.http.post("/v1/avatars", files=files, data={"name": "Me"})
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        said = answer.json()
        assert (said["state"], said["material"]) == ("enrolling", ["photo", "video"])
        said = await settled(server.http, where)
        assert said["state"] == "ready", said
        assert "too little to learn from" in said["note"]
        assert said["material"] == ["photo"]
        assert stages >= {"following the face"}
        await until(lambda: kept(tmp_path) == {".jpg", ".json", ".learnt"})
        assert (await server.http.get(said["image"])).status_code == 200
        assert (await server.http.delete(where)).status_code == 204
        assert kept(tmp_path) == set()


async def test_a_video_that_cannot_be_used_says_why(config, clip, tmp_path):
    config = dataclasses.replace(config, data_dir=tmp_path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes())
    cut(broken, 0.8)
    async with running(config) as server:
        files = {"video": ("me.mp4", broken.read_bytes())}
        answer = await server.http.post("/v1/avatars", files=files)
        assert answer.status_code == 202, answer.text
        avatar = server.service.avatars.get(answer.json()["id"])
        await until(lambda: server.service.avatars.state(avatar) == "failed")
        error = (await server.http.get(answer.headers["location"])).json()["error"]
        assert error["code"] == "not_a_video"
        assert "damaged or cut off" in error["message"]


def test_a_video_from_the_command_line(config, clip, tmp_path):
    config = dataclasses.replace(config, data_dir=tmp_path)
    told = []
    job = EnrolJob(name="Me", video=clip)
    avatar, note = enrol(job, config, lambda share, stage: told.append(stage), told.append)
    assert avatar.startswith("me-")
    assert "too little to learn from" in note
    assert "following the face" in told
    assert kept(tmp_path) == {".jpg", ".json", ".learnt"}
    record = json.loads((tmp_path / "avatars" / f"{avatar}.json").read_text())
    assert record["files"].keys() == {"photo", "learnt"}
