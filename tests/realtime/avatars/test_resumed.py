"""Enrolments and uploads over restarts: interrupted, killed, acknowledged or not."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines.identity import IdentityStore
from realtime.avatars.library import AvatarLibrary
from realtime.metrics import Metrics
from tests.support.gated import STAGES, VIDEO
from tests.support.peers import until
from tests.support.uploads import LIMIT_S, enrolled, files, png, reached, video


async def test_a_restart_goes_on_where_the_enrolment_was(library, config, gate):
    gate.open(0, 1)
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await reached(gate, 1)
    await library.close()
    again = AvatarLibrary(config, Metrics())
    try:
        assert again.state(avatar) == "enrolling"
        await again.resume()
        gate.open()
        await enrolled(again, avatar)
    finally:
        await again.close()
    assert gate.done == list(range(STAGES))
    assert files(config) == {".mp4", ".json", "identities"}


SERVER = """
import asyncio, io, sys
from pathlib import Path
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from realtime.metrics import Metrics
from tests.support.gated import VIDEO

async def main():
    data, gate = sys.argv[1:]
    config = ServerConfig(pipeline="gated", options={"gated": {"gate": gate}},
                          data_dir=Path(data), cast_dir=Path(data) / "none")
    library = AvatarLibrary(config, Metrics())
    library.claim("server of this test")
    await library.create(Upload(name="Someone", video=io.BytesIO(VIDEO)), wait_s=60)
    await library.create(Upload(name="Two", video=io.BytesIO(VIDEO + b"2")), wait_s=60)
    print("acknowledged", flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_killed_server(config, gate, tmp_path):
    gate.open(0, 1)
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = [sys.executable, str(script), str(config.data_dir), str(gate.folder)]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ["PYTHONPATH"]])
    server = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    )
    try:
        assert server.stdout is not None
        assert await server.stdout.readline() == b"acknowledged\n"
        await reached(gate, 1)
        library = AvatarLibrary(config, Metrics())
        with pytest.raises(ValueError, match=rf"server of this test, process {server.pid}\b"):
            library.claim("second server")
        children = psutil.Process(server.pid).children(recursive=True)
        assert children
    finally:
        server.send_signal(signal.SIGKILL)
        await server.communicate()
    await until(lambda: not any(map(psutil.pid_exists, (c.pid for c in children))))
    library.claim("second server")  # the lock died with its holder
    try:
        await library.resume()
        gate.open()
        for avatar in library.list():
            await enrolled(library, avatar)
        assert [avatar.name for avatar in library.list()] == ["Someone", "Two"]
    finally:
        await library.close()
    assert gate.done == [0, 1, *range(2, STAGES), *range(STAGES)]


async def test_who_is_interrupted_goes_on_there_the_next_time(library, config, gate):
    gate.open(0, 1)
    first = asyncio.create_task(library.create(video()))
    await reached(gate, 1)
    first.cancel()
    await asyncio.wait({first})
    assert files(config) == {"enrolments"}
    gate.open()
    assert library.state(await library.create(video())) == "ready"
    assert gate.done == list(range(STAGES))
    assert files(config) == {".mp4", ".json", "identities"}


async def test_what_lies_in_the_folder_prevents_no_start(config, gate, caplog):
    stray = config.data_dir / "avatars" / "lost+found"
    stray.mkdir(parents=True)
    features = config.data_dir / "identities" / f"{'0' * 64}.safetensors"
    features.mkdir(parents=True)
    library = AvatarLibrary(config, Metrics())
    await library.resume()
    assert stray.exists()
    with pytest.raises(KeyError):
        IdentityStore(library.identities).load("0" * 64)
    await library.close()


async def test_an_acknowledged_upload_outlives_a_server_without_its_pipeline(config, gate):
    gate.open(0, 1)
    library = AvatarLibrary(config, Metrics())
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await reached(gate, 1)
    await library.close()
    record = config.data_dir / "avatars" / f"{avatar.id}.json"
    fields = json.loads(record.read_text())
    record.write_text(json.dumps(fields | {"pipeline": "missing"}))
    without = AvatarLibrary(config, Metrics())
    await without.resume()
    await until(lambda: without.state(avatar) == "failed")
    assert without.describe(avatar)["error"]["code"] == "pipeline_not_loaded"
    await without.close()
    record.write_text(json.dumps(fields | {"state": "failed", "code": "pipeline_not_loaded"}))
    again = AvatarLibrary(config, Metrics())
    await again.resume()
    gate.open()
    await enrolled(again, avatar)
    await again.close()


async def test_uploads_that_nobody_was_told_of_are_swept(config, gate):
    uploads = config.data_dir / "avatars"
    uploads.mkdir(parents=True)
    (uploads / "killed-0a1b2c.jpg").write_bytes(png().getvalue())
    (uploads / "killed-3d4e5f.json.part").write_text('{"name": "So')
    (uploads / "killed-6a7b8c.mp4").write_bytes(VIDEO)
    fields = {"name": "Unsaid", "keys": ["0" * 64], "files": {"video": "killed-6a7b8c.mp4"}}
    (uploads / "killed-6a7b8c.json").write_text(json.dumps(fields | {"state": "uploading"}))
    identities = config.data_dir / "identities"
    identities.mkdir()
    (identities / f"{'0' * 64}.safetensors").touch()
    library = AvatarLibrary(config, Metrics())
    await library.resume()
    assert library.list() == []
    assert files(config) == set()
    await library.close()
