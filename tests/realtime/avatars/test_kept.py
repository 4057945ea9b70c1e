"""What is kept of avatars: damaged, swept, on a full disk, by older releases."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.identity import IdentityFeatures, IdentityStore
from realtime.avatars import collection as collection_module
from realtime.avatars import deletion
from realtime.avatars.library import AvatarLibrary
from realtime.errors import StorageError
from realtime.metrics import Metrics
from tests.support.uploads import LIMIT_S, files, photo, png


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


async def test_uploads_keep_their_order(library, config, gate):
    gate.open()
    for second, name in enumerate(("Walter", "Amira")):
        await library.create(photo(name, 90 + second), wait_s=LIMIT_S)
        [record] = (config.data_dir / "avatars").glob(f"{name.lower()}-*.json")
        fields = json.loads(record.read_text())
        record.write_text(json.dumps(fields | {"made": f"2026-01-01T00:00:0{second}+00:00"}))
    again = AvatarLibrary(config, Metrics())
    names = [avatar.name for avatar in again.list()]
    await again.close()
    assert names == ["Walter", "Amira"]


async def test_old_features_are_swept_but_none_that_a_picture_is_made_of(
    library, config, gate, monkeypatch
):
    monkeypatch.setattr(deletion, "UNUSED_BYTES", 0)
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
    again._deletion.sweep()
    assert [path.stem for path in library.identities.iterdir()] == [old.stem]
    shutil.copy(old, made)
    again._deletion.sweep()
    assert [path.stem for path in library.identities.iterdir()] == [key]
    await again.close()


async def test_a_full_disk_is_told_in_words(library, config, gate, monkeypatch):
    gate.open()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(collection_module, "write_record", full)
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
