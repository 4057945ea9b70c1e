"""Videos that are learnt from and not kept."""

import asyncio
import dataclasses
import io
import json

import pytest
from PIL import Image

from realtime.avatars.library import AvatarLibrary
from realtime.avatars.uploads import Upload
from realtime.metrics import Metrics
from tests.support.gated import STAGES, VIDEO
from tests.support.peers import until
from tests.support.uploads import enrolled, files, png, video


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
            while avatar.id in library._collection:
                await asyncio.sleep(0.01)
            return settled

        library._features.settle = slow
        await settling.wait()
        await library.delete(avatar)
        await until(lambda: not library._creation._first)
        assert files(learning) == set()
    finally:
        await library.close()
