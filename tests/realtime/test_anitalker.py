"""The server with the `anitalker` pipeline, on untrained weights: from microphone to peer."""

import asyncio
import dataclasses
import json
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio

from benchmarks.service.signals import write_wav
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.cli import main
from realtime.config import ServerConfig
from realtime.media import VOICE_SAMPLES
from realtime.metrics import Metrics
from tests.realtime.conftest import running
from tests.support.peers import until
from tests.support.small import write_weights
from tests.support.sounds import SPEECH

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHIPPED = Path(__file__).parents[2] / "weights"
CAST = sorted((SHIPPED.parent / "cast").glob("*.png"))


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """Our untrained weights under names of their own, beside those that are shipped."""
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    for part in ("renderer", "motion"):
        (folder / f"anitalker-{part}.safetensors").rename(folder / f"small-{part}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))  # the worker processes inherit it
        yield folder


@pytest.fixture(scope="module")
def config(cast_dir, weights_dir, tmp_path_factory):
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    return ServerConfig(
        pipeline="anitalker",
        options={
            "anitalker": {"renderer_weights": "small-renderer", "motion_weights": "small-motion"}
        },
        cast_dir=cast_dir,
        data_dir=tmp_path_factory.mktemp("data"),
        size=256,
        max_sessions=2,
        load_share=10.0,
        connect_timeout_s=120.0,
        ping_timeout_s=120.0,
        enrol_wait_s=600.0,
        drain_timeout_s=1.0,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(config):
    async with running(config) as server:
        yield server


async def test_says_what_it_runs(server):
    first, *_ = (await server.http.get("/v1/pipelines")).json()["pipelines"]
    assert (first["name"], first["loaded"]) == ("anitalker", True)
    assert first["sizes"] == [[256, 256], [512, 512], [720, 720]]


async def test_a_face_speaks_and_changes_live(server):
    first, second = (a["id"] for a in (await server.http.get("/v1/avatars")).json()["avatars"])
    async with server.client(SPEECH, avatar=first, pipeline="anitalker") as client:
        await until(lambda: len(client.pictures) > 30 and client.channel.readyState == "open")
        before = client.pictures[-1].to_ndarray(format="rgb24").astype(int)
        assert before.shape == (256, 256, 3)
        client.send(type="session.update", motion_events=True)
        await until(lambda: any(e["type"] == "avatar.motion" for e in client.events))
        motion = next(e for e in client.events if e["type"] == "avatar.motion")
        assert list(motion["values"]) == [f"code{n}" for n in range(20)]
        created = next(e for e in client.events if e["type"] == "session.created")
        assert created["session"]["pipeline"] == "anitalker"
        where = f"/v1/sessions/{client.session['id']}"
        assert (await server.http.patch(where, json={"avatar": second})).status_code == 200
        newest = lambda: client.pictures[-1].to_ndarray(format="rgb24").astype(int)  # noqa: E731
        await until(lambda: np.abs(newest() - before).mean() > 8)
        stats = lambda: [e for e in client.events if e["type"] == "stats"]  # noqa: E731
        await until(lambda: any(e["step_ms"] and e["drawn_fps"] > 0 for e in stats()))
        assert all(e["drawn_fps"] <= e["fps"] for e in stats())


async def test_an_upload_serves_whichever_pipeline_runs(config, tmp_path):
    """Enrolled for one pipeline, used with another, and gone from the disk when deleted."""
    libraries = []
    try:
        for name in ("anitalker", "portrait"):
            own = dataclasses.replace(config, pipeline=name, data_dir=tmp_path, cast_dir=tmp_path)
            library = AvatarLibrary(own, Metrics())
            libraries.append(library)
            if not library.list():
                with CAST[0].open("rb") as photo:
                    await library.create(Upload(name="Someone", photo=photo))
            [avatar] = library.list()
            before = list(library.identities.iterdir())
            assert (await library.picture(avatar)).startswith(b"\xff\xd8")
            assert list(library.identities.iterdir()) == before  # a page enrols nobody
            assert library.has_features(await library.prepare(avatar, name))
        assert len(list(libraries[0].identities.iterdir())) == 2
        assert libraries[0].list()[0].id == avatar.id
        await libraries[1].delete(avatar)
        assert not list(libraries[1].identities.iterdir())
        assert not list((tmp_path / "avatars").iterdir())
    finally:
        for library in libraries:
            await library.close()


async def test_renders_a_clip(config, weights_dir, tmp_path):
    sound = (SPEECH[: VOICE_SAMPLES * 12] / np.float32(32768)).astype(np.float32)
    stats = tmp_path / "stats.json"
    said = await asyncio.to_thread(
        main,
        [
            "render", "--pipeline", "anitalker", "--avatar", str(CAST[0]), "--size", "256",
            "--renderer-weights", "small-renderer", "--motion-weights", "small-motion",
            "--audio", str(write_wav(tmp_path / "in.wav", sound)), "--stats", str(stats),
            "--out", str(tmp_path / "out.mp4"), "--data-dir", str(tmp_path / "data"),
        ],
    )  # fmt: skip
    assert said == 0
    with av.open(str(tmp_path / "out.mp4")) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(pictures) == 12
    assert pictures[0].shape == (256, 256, 3)
    assert json.loads(stats.read_text())["look_ahead_ms"] == 80.0


async def test_missing_weights_end_in_one_line(weights_dir, capsys, tmp_path):
    arguments = ["serve", "--pipeline", "anitalker", "--renderer-weights", "nothing"]
    assert main([*arguments, "--port", "0", "--data-dir", str(tmp_path)]) == 1
    [line] = capsys.readouterr().err.strip().splitlines()  # flags of an older release, at that
    assert "no weights called 'nothing'" in line
    assert "vivavoce weights import" in line
