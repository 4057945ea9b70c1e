"""Uploads while they are enrolled: shown, deleted, failing, one beside another."""

import asyncio
import base64
import io

import numpy as np
import pytest
from PIL import Image

from realtime.avatars.uploads import Upload
from realtime.errors import AtCapacity, AvatarNotReady, AvatarRejected, UnknownAvatar
from tests.support.gated import STAGES
from tests.support.peers import until
from tests.support.uploads import LIMIT_S, enrolled, files, photo, reached, video


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
