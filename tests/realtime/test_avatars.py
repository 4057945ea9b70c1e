"""Uploads over time: enrolled for long, deleted meanwhile, interrupted, kept by older versions."""

import asyncio
import base64
import dataclasses
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
from PIL import Image

from pipelines.identity import IdentityFeatures, IdentityStore
from realtime.avatars import library as library_module
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.records import read_record
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from realtime.errors import (
    AtCapacity,
    AvatarNotReady,
    AvatarRejected,
    BodyTooLarge,
    StorageError,
    UnknownAvatar,
    UnknownPipeline,
)
from realtime.metrics import Metrics
from tests.support.gated import STAGES, VIDEO, Gate, gated_installed
from tests.support.peers import until

LIMIT_S = 60.0  # a process starts in one second, or in many on a busy machine


@pytest.fixture(autouse=True)
def _gated():
    with gated_installed():
        yield


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "gate")


@pytest.fixture
def config(tmp_path, gate):
    return ServerConfig(
        pipeline="gated",
        options={"gated": {"gate": str(gate.folder)}},
        data_dir=tmp_path / "data",
        cast_dir=tmp_path / "cast",
        max_avatars=2,
        max_video_bytes=1000,
    )


@pytest_asyncio.fixture
async def library(config):
    library = AvatarLibrary(config, Metrics())
    yield library
    await library.close()


def png(shade: int = 90) -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", (80, 60), (shade, 120, 150)).save(out, "PNG")
    return out


def photo(name: str = "Someone", shade: int = 90) -> Upload:
    return Upload(name=name, photo=png(shade))


def video(name: str = "Someone", tail: bytes = b"") -> Upload:
    return Upload(name=name, video=io.BytesIO(VIDEO + tail))


def files(config: ServerConfig) -> set[str]:
    """Suffixes of all files of uploads, and what lies beside them."""
    found = {"".join(path.suffixes) for path in (config.data_dir / "avatars").iterdir()}
    for folder in ("identities", "enrolments", "pictures"):
        place = config.data_dir / folder
        found |= {folder} if place.exists() and any(place.iterdir()) else set()
    return found


async def reached(gate: Gate, stage: int) -> None:
    await until(lambda: len(gate.done) > stage)


async def enrolled(library: AvatarLibrary, avatar) -> None:
    await until(lambda: library.state(avatar) == "ready")


async def test_a_photo_becomes_an_avatar_and_is_deleted_without_a_trace(library, config, gate):
    gate.open()
    avatar = await library.create(photo(" Someone "), wait_s=LIMIT_S)
    said = library.describe(avatar)
    assert (said["name"], said["state"], said["material"]) == ("Someone", "ready", ["photo"])
    assert library.has_features(await library.ensure(avatar, "gated"))
    shown = await asyncio.gather(*(library.picture(avatar) for _ in range(5)))
    assert len(set(shown)) == 1
    assert shown[0].startswith(b"\xff\xd8")
    assert files(config) == {".jpg", ".json", "identities", "pictures"}
    await library.delete(avatar)
    assert files(config) == set()
    with pytest.raises(UnknownAvatar):
        await library.ensure(avatar, "gated")


async def test_a_video_enrols_while_its_sender_goes_on(library, config, gate):
    gate.open(0, 1)
    avatar = await library.create(video(), wait_s=LIMIT_S)
    assert library.state(avatar) == "enrolling"
    await until(lambda: library.describe(avatar)["stage"] == "stage 2")
    assert library.describe(avatar)["progress"] == 0.5
    with pytest.raises(AvatarNotReady, match=r"50%: stage 2"):
        await library.ensure(avatar, "gated", wait_s=0)
    with pytest.raises(UnknownAvatar):
        await library.picture(avatar)
    gate.open()
    await enrolled(library, avatar)
    assert library.has_features(await library.ensure(avatar, "gated", wait_s=0))
    assert (await library.picture(avatar)).startswith(b"\xff\xd8")
    assert gate.done == list(range(STAGES))
    assert files(config) == {".mp4", ".json", "identities", "pictures"}


async def test_a_photo_that_takes_long_is_acknowledged_and_shown_meanwhile(library, gate):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    sent = io.BytesIO()
    Image.fromarray(noise).save(sent, "PNG")
    avatar = await library.create(Upload(name="Someone", photo=sent), wait_s=0.01)
    assert library.state(avatar) == "enrolling"
    shown = await library.picture(avatar)
    assert len(shown) > 65_536  # more than goes through a pipe at once
    assert Image.open(io.BytesIO(shown)).size == (384, 384)
    gate.open()
    await enrolled(library, avatar)


async def test_what_is_deleted_while_it_is_enrolled_leaves_nothing(library, config, gate):
    gate.open(0)
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await reached(gate, 0)
    waiting = asyncio.create_task(library.ensure(avatar, "gated"))
    await asyncio.sleep(0)
    await library.delete(avatar)
    with pytest.raises(UnknownAvatar, match="deleted"):
        await waiting
    assert files(config) == set()
    gate.open()
    assert library.state(await library.create(photo(), wait_s=LIMIT_S)) == "ready"


async def test_what_is_deleted_before_its_enrolment_began_is_not_enrolled(library, config, gate):
    """A session asks for the face, and while its key is made of the files it is deleted."""
    gate.open()
    avatar = await library.create(photo(), wait_s=LIMIT_S)
    library._features.store.path(await library.ensure(avatar, "gated")).unlink()
    waiting = asyncio.create_task(library.ensure(avatar, "gated"))
    await asyncio.sleep(0)  # it waits for the thread that makes the key
    deleting = asyncio.create_task(library.delete(avatar))
    with pytest.raises(UnknownAvatar, match="deleted"):
        await waiting
    await deleting
    assert files(config) == set()


async def test_enrolment_comes_first_until_sessions_may_run(library, gate):
    def niceness() -> set[int]:
        return {child.nice() for child in psutil.Process().children() if child.is_running()}

    before = niceness()
    gate.open(0)
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await reached(gate, 0)
    assert 15 not in niceness() - before
    library.yield_to_sessions()
    assert 15 in niceness()
    gate.open()
    await enrolled(library, avatar)


async def test_an_upload_counts_from_its_beginning_to_its_failure(library, gate):
    gate.open()
    gate.set_fate("refuse")
    first = asyncio.create_task(library.create(photo("One"), wait_s=LIMIT_S))
    second = asyncio.create_task(library.create(photo("Two", 91), wait_s=LIMIT_S))
    await asyncio.sleep(0)  # they have begun
    with pytest.raises(AtCapacity, match="at most 2"):
        await library.create(photo("Three", 92))
    for task in (first, second):
        with pytest.raises(AvatarRejected, match="nobody in it") as refused:
            await task
        assert refused.value.code == "no_face"
    gate.set_fate("")
    await library.create(photo("Four"), wait_s=LIMIT_S)  # there is room again


async def test_a_crash_fails_the_upload_under_way_and_no_other(library, config, gate):
    gate.open()
    gate.set_fate("crash")
    with pytest.raises(AvatarRejected, match="made the enrolment fail") as refused:
        await library.create(photo(), wait_s=LIMIT_S)
    assert refused.value.code == "enrolment_failed"
    assert files(config) == set()
    gate.set_fate("")
    assert library.state(await library.create(photo(), wait_s=LIMIT_S)) == "ready"


async def test_a_fault_of_the_pipeline_fails_the_upload_under_way_and_not_the_next(library, gate):
    gate.open()
    gate.set_fate("break")
    first = asyncio.create_task(library.create(photo("One"), wait_s=LIMIT_S))
    await until(lambda: library._features._photos._turn.locked())
    second = asyncio.create_task(library.create(photo("Two", 91), wait_s=LIMIT_S))
    with pytest.raises(AvatarRejected, match="made the enrolment fail"):
        await first
    assert library.state(await second) == "ready"


async def test_a_failed_video_says_why_and_can_be_deleted(library, config, gate):
    gate.open()
    gate.set_fate("crash")
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await until(lambda: library.state(avatar) == "failed")
    assert library.describe(avatar)["error"]["code"] == "enrolment_failed"
    with pytest.raises(AvatarRejected, match="made the enrolment fail"):
        await library.ensure(avatar, "gated")
    await library.delete(avatar)
    assert files(config) == set()


async def test_an_enrolment_that_stands_still_is_ended(library, gate):
    gate.open()
    await library.create(photo("One"), wait_s=LIMIT_S)  # the process is up
    gate.set_fate("stall")
    library._features._photos._stall_s = 0.5
    with pytest.raises(AvatarRejected, match="no progress"):
        await library.create(photo("Two", 91), wait_s=LIMIT_S)


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
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])
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


async def test_two_of_one_photo_leave_nothing_either(library, config, gate):
    gate.open()
    avatars = [await library.create(photo(name), wait_s=LIMIT_S) for name in ("One", "Two")]
    assert await library.ensure(avatars[0], "gated") == await library.ensure(avatars[1], "gated")
    await library.delete(avatars[0])
    assert library.has_features(await library.ensure(avatars[1], "gated"))
    await library.delete(avatars[1])
    assert files(config) == set()


async def test_a_second_avatar_of_one_photo_is_pictured_as_it_will_be_drawn(library, gate):
    gate.open()
    one, two = [await library.create(photo(name), wait_s=LIMIT_S) for name in ("One", "Two")]
    assert await library.picture(two) == await library.picture(one)


async def test_a_picture_being_drawn_of_a_deleted_avatar_is_not_kept(
    library, config, gate, monkeypatch
):
    gate.open()
    avatar = await library.create(photo(), wait_s=LIMIT_S)

    async def draw(*job):
        await library.delete(avatar)
        return base64.b64encode(b"a picture").decode()

    monkeypatch.setattr(library._features, "run", draw)
    assert await library.picture(avatar) == b"a picture"
    assert files(config) == set()


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


async def test_damaged_features_are_made_again(library, gate):
    gate.open()
    avatar = await library.create(photo(), wait_s=LIMIT_S)
    key = await library.ensure(avatar, "gated")
    features = library.identities / f"{key}.safetensors"
    features.write_bytes(b"")
    with pytest.raises(KeyError):
        IdentityStore(library.identities).load(key)
    assert not library.has_features(key)
    assert await library.ensure(avatar, "gated") == key
    assert IdentityStore(library.identities).load(key).preview.shape == (64, 64, 3)


async def test_a_damaged_file_does_not_spoil_a_picture(library, gate):
    gate.open()
    avatar = await library.create(photo(), wait_s=LIMIT_S)
    key = await library.ensure(avatar, "gated")
    (library.identities / f"{key}.safetensors").write_bytes(bytes(100))
    assert (await library.picture(avatar)).startswith(b"\xff\xd8")


async def test_damaged_records_are_left_alone(config, gate):
    gate.open()
    library = AvatarLibrary(config, Metrics())
    await library.create(photo("Kept"), wait_s=LIMIT_S)
    await library.create(photo("Broken", 91), wait_s=LIMIT_S)
    await library.close()
    uploads = config.data_dir / "avatars"
    [record] = uploads.glob("broken-*.json")
    record.write_text('{"name": "Bro')
    again = AvatarLibrary(config, Metrics())
    await again.resume()
    assert [avatar.name for avatar in again.list()] == ["Kept"]
    assert record.with_suffix(".jpg").exists()
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


async def test_old_features_are_swept_but_none_that_a_picture_is_made_of(
    library, config, gate, monkeypatch
):
    monkeypatch.setattr(library_module, "UNUSED_BYTES", 0)
    gate.open()
    avatar = await library.create(photo(), wait_s=LIMIT_S)
    key = await library.ensure(avatar, "gated")
    [record] = (config.data_dir / "avatars").glob("*.json")
    made = library.identities / f"{key}.safetensors"
    old, stray = (library.identities / f"{digit * 64}.safetensors" for digit in "01")
    for path in (old, stray):
        shutil.copy(made, path)
    fields = json.loads(record.read_text())
    record.write_text(json.dumps(fields | {"keys": [key, old.stem]}))  # of other weights
    made.unlink()
    again = AvatarLibrary(config, Metrics())
    again._sweep()
    assert [path.stem for path in library.identities.iterdir()] == [old.stem]
    shutil.copy(old, made)
    again._sweep()
    assert [path.stem for path in library.identities.iterdir()] == [key]
    await again.close()


async def test_a_full_disk_is_told_in_words(library, config, gate, monkeypatch):
    gate.open()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(library_module, "write_record", full)
        with pytest.raises(StorageError, match="disk is full"):
            await library.create(photo(), wait_s=LIMIT_S)
    assert files(config) <= {"identities"}
    await library.create(photo(), wait_s=LIMIT_S)


async def test_a_folder_that_cannot_be_written_prevents_no_start(config, monkeypatch, caplog):
    def refused(*args, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    library = AvatarLibrary(config, Metrics())
    library.claim("server")
    await library.resume()
    with pytest.raises(StorageError, match="cannot be written"):
        await library.create(photo(), wait_s=LIMIT_S)
    await library.close()
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("upload", "error", "complaint"),
    [
        (lambda: Upload(name="x"), AvatarRejected, "none was sent"),
        (lambda: Upload(name="\n", photo=png()), AvatarRejected, "1 to 60 characters"),
        (lambda: Upload(name="x", video=io.BytesIO(b"GIF89a")), AvatarRejected, "not a video"),
        (lambda: Upload(name="x", video=io.BytesIO(VIDEO), source=png()), AvatarRejected, "agrees"),
        (lambda: video(tail=bytes(1000)), BodyTooLarge, "1000 bytes"),
        (lambda: Upload(name="x", photo=io.BytesIO(b"GIF89a")), AvatarRejected, "GIF"),
        (
            lambda: Upload(name="x", photo=png(), pipeline="dreams"),
            UnknownPipeline,
            "unknown pipeline 'dreams'",
        ),
        (
            lambda: Upload(name="x", video=io.BytesIO(VIDEO), pipeline="anitalker"),
            AvatarRejected,
            "'anitalker' makes avatars of photo, not of video",
        ),
    ],
)
async def test_material_that_is_refused(library, config, upload, error, complaint):
    with pytest.raises(error, match=complaint):
        await library.create(upload(), wait_s=LIMIT_S)
    uploads = config.data_dir / "avatars"
    assert not uploads.exists() or not list(uploads.iterdir())


async def test_an_avatar_of_other_material_is_refused_in_words(library, gate):
    gate.open()
    avatar = await library.create(video(), wait_s=LIMIT_S)
    assert library.describe(avatar)["pipelines"] == ["gated"]
    with pytest.raises(AvatarRejected, match="Someone cannot be used: the pipeline 'anitalker'"):
        await library.ensure(avatar, "anitalker")


async def test_a_template_keeps_whose_face_it_shows_and_that_they_agree(library, config, gate):
    gate.open()
    face = await library.create(photo("Face"), wait_s=LIMIT_S)
    template = Upload(
        name="Swapped", video=io.BytesIO(VIDEO), source=face, consent=" I agree. ", pipeline="gated"
    )
    avatar = await library.create(template, wait_s=LIMIT_S)
    await enrolled(library, avatar)
    assert library.describe(avatar)["material"] == ["source", "video"]
    await library.delete(face)
    record = read_record(config.data_dir / "avatars" / f"{avatar.id}.json", IdentityStore(Path()))
    assert record.material.consent == "I agree."
    assert record.material.source is not None
    assert record.material.source.exists()


async def test_records_of_the_last_release_are_taken_over(library, config, gate):
    uploads = config.data_dir / "avatars"
    uploads.mkdir(parents=True)
    (uploads / "someone-0a1b2c.jpg").write_bytes(png().getvalue())
    (uploads / "someone-0a1b2c.json").write_text('{"name": "Someone", "keys": []}')
    gate.open()
    again = AvatarLibrary(config, Metrics())
    await again.resume()
    [avatar] = again.list()
    assert again.describe(avatar)["state"] == "ready"
    key = await again.ensure(avatar, "gated")
    assert json.loads((uploads / "someone-0a1b2c.json").read_text())["keys"] == [key]
    await again.delete(avatar)
    assert files(config) == set()
    await again.close()


async def test_an_upload_of_which_only_the_features_were_kept_is_taken_over(config, gate):
    store = IdentityStore(config.data_dir / "identities")
    canvas = np.full((64, 64, 3), 100, np.uint8)
    store.save(IdentityFeatures("a" * 64, {"canvas": canvas}, {}))
    uploads = config.data_dir / "avatars"
    uploads.mkdir(parents=True)
    record = uploads / "someone-0a1b2c.json"
    record.write_text(json.dumps({"name": "Someone", "key": "a" * 64}))
    gate.open()
    for _ in range(2):  # the second finds what the first has written
        library = AvatarLibrary(config, Metrics())
        try:
            [avatar] = library.list()
            assert avatar.name == "Someone"
            assert await library.ensure(avatar, "gated") != "a" * 64
        finally:
            await library.close()
    await library.delete(avatar)
    assert files(config) == set()


@pytest.fixture
def learning(config, gate):
    options = {"learner": {"gate": str(gate.folder)}}
    return dataclasses.replace(config, pipeline="learner", options=options)


@pytest.mark.parametrize("given", [None, png])
async def test_a_video_that_was_learnt_from_is_not_kept(learning, gate, given):
    """What was learnt, and its picture where there is no photo, stand for it ever after."""
    gate.open()
    library = AvatarLibrary(learning, Metrics())
    try:
        sent = Upload(name="Someone", video=io.BytesIO(VIDEO), photo=given and given())
        avatar = await library.create(sent)
        assert files(learning) == {".jpg", ".json", ".learnt", "identities"}
        said = library.describe(avatar)
        assert (said["state"], said["note"]) == ("ready", "It was learnt.")
        assert said["material"] == ["photo"]
        key = await library.ensure(avatar, "learner")
        library._features.store.path(key).unlink()
        assert await library.ensure(avatar, "learner") == key  # made again, without the video
        made = library._features.store.load(key)
        assert made.arrays["style"].tolist() == [0.5, 1.0, 0.0, 0.0]
    finally:
        await library.close()
    again = AvatarLibrary(learning, Metrics())
    try:
        await again.resume()
        assert again.describe(again.get(avatar.id)) == said
        assert await again.ensure(again.get(avatar.id), "learner") == key
        if given is None:
            with Image.open(again.get(avatar.id).material.photo) as picture:
                assert picture.size == (60, 40)
        await again.delete(again.get(avatar.id))
        assert files(learning) == set()
    finally:
        await again.close()


async def test_the_same_video_twice_is_learnt_once_and_kept_by_neither(learning, gate):
    gate.open()
    library = AvatarLibrary(learning, Metrics())
    try:
        both = [await library.create(video(name)) for name in ("One", "Two")]
        assert gate.done == list(range(STAGES))
        assert files(learning) == {".jpg", ".json", ".learnt", "identities"}
        await library.delete(both[0])
        assert library.has_features(await library.ensure(both[1], "learner"))
    finally:
        await library.close()


async def test_what_a_crash_left_while_a_video_was_let_go_is_tidied_up(learning, gate):
    """Killed when what was learnt is there already, and again when the video is not deleted yet."""
    gate.open()
    library = AvatarLibrary(learning, Metrics())
    avatar = await library.create(video(), wait_s=0)
    await until(lambda: gate.done == list(range(STAGES)))
    await enrolled(library, avatar)
    await library.close()
    uploads = learning.data_dir / "avatars"
    record = uploads / f"{avatar.id}.json"
    fields = json.loads(record.read_text())
    (uploads / f"{avatar.id}.mp4").write_bytes(VIDEO)
    again = AvatarLibrary(learning, Metrics())
    await again.resume()
    assert files(learning) == {".jpg", ".json", ".learnt", "identities"}  # the video went
    await again.close()
    before = {"name": "Someone", "files": {"video": f"{avatar.id}.mp4"}, "state": "enrolling"}
    record.write_text(json.dumps(fields | before | {"note": ""}))
    (uploads / f"{avatar.id}.mp4").write_bytes(VIDEO)
    again = AvatarLibrary(learning, Metrics())
    await again.resume()
    await enrolled(again, again.get(avatar.id))
    assert again.describe(again.get(avatar.id))["note"] == "It was learnt."
    await again.close()
    assert files(learning) == {".jpg", ".json", ".learnt", "identities"}


async def test_what_is_deleted_while_its_video_is_let_go_leaves_nothing(learning, gate):
    library = AvatarLibrary(learning, Metrics())
    try:
        gate.open()
        avatar = await library.create(video(), wait_s=0)
        settling = asyncio.Event()
        settle = library._features.settle

        async def slow(*args):
            settled = await settle(*args)
            settling.set()
            while avatar.id in library._records:
                await asyncio.sleep(0.01)
            return settled

        library._features.settle = slow
        await settling.wait()
        await library.delete(avatar)
        await until(lambda: not library._first)
        assert files(learning) == set()
    finally:
        await library.close()
