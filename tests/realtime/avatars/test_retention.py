"""Uploads whose time is over go, at a start and while the server runs; each has its owner."""

import asyncio
import dataclasses
import json
import os

from realtime.access.caller import Caller, acting
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.retention import LOOK_EVERY_S, forget_old_uploads
from realtime.metrics import Metrics
from tests.support.fakes import ManualClock, settle
from tests.support.uploads import LIMIT_S, photo


def age(library, avatar, made):
    """Have an upload be made at another time."""
    record = library._collection.records[avatar.id]
    library._collection.records[avatar.id] = dataclasses.replace(record, made=made)


async def test_old_uploads_go_with_all_that_was_made_of_them(config, gate):
    gate.open()
    library = AvatarLibrary(dataclasses.replace(config, retention_days=30), Metrics())
    clock = ManualClock()
    old = await library.create(photo("Old"), wait_s=LIMIT_S)
    young = await library.create(photo("Young", 91), wait_s=LIMIT_S)
    key = await library.ensure(old, "gated")
    age(library, old, "2020-01-01T00:00:00Z")
    chore = asyncio.create_task(forget_old_uploads(library, clock))
    await settle()
    assert old in library.list()
    await clock.advance(LOOK_EVERY_S + 1)
    async with asyncio.timeout(LIMIT_S):
        while old in library.list() or library.has_features(key):
            await asyncio.sleep(0.01)
    assert library.list() == [young]
    assert [path.stem for path in (config.data_dir / "avatars").glob("*.json")] == [young.id]
    chore.cancel()
    await library.close()


async def test_they_go_at_a_start_too_by_the_time_of_their_file_if_need_be(config, gate):
    gate.open()
    library = AvatarLibrary(config, Metrics())
    avatar = await library.create(photo("Old"), wait_s=LIMIT_S)
    await library.close()
    [path] = (config.data_dir / "avatars").glob("*.json")
    record = json.loads(path.read_text())
    assert record.pop("made").endswith("Z")
    path.write_text(json.dumps(record | {"made": 7}))
    os.utime(path, (1e9, 1e9))
    kept = AvatarLibrary(config, Metrics())  # without a limit uploads stay until deleted
    await kept.resume()
    assert [a.id for a in kept.list()] == [avatar.id]
    await kept.close()
    again = AvatarLibrary(dataclasses.replace(config, retention_days=1), Metrics())
    await again.resume()
    assert again.list() == []
    await again.close()


async def test_an_upload_stays_its_owners_after_a_restart(config, gate):
    gate.open()
    library = AvatarLibrary(config, Metrics())
    alice, bob = (Caller(kind="key", owner=name, key=name) for name in ("alice", "bob"))
    with acting(alice):
        avatar = await library.create(photo("Mine"), wait_s=LIMIT_S)
    await library.close()
    again = AvatarLibrary(config, Metrics())
    with acting(bob):
        assert again.list() == []
    with acting(alice):
        assert [a.id for a in again.list()] == [avatar.id]
    assert [a.id for a in again.list()] == [avatar.id]  # whoever runs the server
    await again.close()
