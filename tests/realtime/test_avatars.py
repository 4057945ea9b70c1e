"""Uploads over time: deleted while they are enrolled, kept by an older version."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from pipelines.parts import parts_of
from realtime import avatars
from realtime.avatars import AvatarLibrary
from realtime.config import ServerConfig
from realtime.errors import AtCapacity, AvatarRejected, UnknownAvatar
from realtime.metrics import Metrics

pytestmark = pytest.mark.asyncio(loop_scope="module")
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:2]
PHOTO = CAST[0]


def opened(folder: Path) -> AvatarLibrary:
    return AvatarLibrary(folder, folder / "no cast", 2, Metrics(), ServerConfig().preset)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(tmp_path_factory):
    """A folder with one upload."""
    pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
    folder = tmp_path_factory.mktemp("kept")
    library = opened(folder)
    await library.create("Someone", PHOTO.read_bytes())
    await library.close()
    return folder


@pytest_asyncio.fixture(loop_scope="module")
async def library(kept, tmp_path):
    """The same in a folder of its own, its features not made yet."""
    folder = shutil.copytree(kept, tmp_path / "data")
    for features in (folder / "identities").iterdir():
        features.unlink()
    library = opened(folder)
    yield library
    await library.close()


async def test_what_is_deleted_while_it_is_enrolled_leaves_nothing(library):
    [avatar] = library.list()
    enrolling = asyncio.create_task(library.ensure(avatar))
    await asyncio.sleep(0)  # it has begun
    await library.delete(avatar)
    assert await enrolling == avatar.key
    assert not list(library.identities.iterdir())
    with pytest.raises(UnknownAvatar, match="deleted"):
        await library.ensure(avatar)
    assert not library._locks


async def test_an_upload_counts_from_its_beginning_to_its_failure(library):
    first = asyncio.create_task(library.create("Two", b"no picture"))
    await asyncio.sleep(0)  # it has begun
    with pytest.raises(AtCapacity, match="at most 2"):
        await library.create("Three", PHOTO.read_bytes())
    with pytest.raises(AvatarRejected):
        await first
    with pytest.raises(AvatarRejected):  # there is room again
        await library.create("Four", b"no picture")


async def test_an_upload_that_the_program_did_not_survive_leaves_nothing(library):
    [avatar] = library.list()
    uploads = library.identities.parent / "avatars"
    [photo] = uploads.glob("*.jpg")
    killed = photo.with_name("killed-0a1b2c.jpg")
    shutil.copy(CAST[1], killed)
    (uploads / "killed-3d4e5f.part").write_text('{"name": "So')
    key = parts_of(ServerConfig().preset).identity_key(killed.read_bytes())
    for made in (avatar.key, key):
        (library.identities / f"{made}.safetensors").touch()
    library.sweep()
    assert sorted(path.suffix for path in uploads.iterdir()) == [".jpg", ".json"]
    assert photo.exists()
    assert [path.stem for path in library.identities.iterdir()] == [avatar.key]


async def test_old_features_are_swept_but_none_that_a_picture_is_made_of(
    library, kept, monkeypatch
):
    monkeypatch.setattr(avatars, "UNUSED_BYTES", 0)
    [avatar] = library.list()
    [made] = (kept / "identities").iterdir()
    old, stray = (library.identities / f"{digit * 64}.safetensors" for digit in "01")
    for path in (old, stray):
        shutil.copy(made, path)
    library._keys[avatar.id].append(old.stem)  # those of another preset
    library.sweep()
    assert [path.stem for path in library.identities.iterdir()] == [old.stem]
    assert (await library.picture(avatar)).startswith(b"\xff\xd8")
    shutil.copy(made, library.identities)
    library.sweep()
    assert [path.stem for path in library.identities.iterdir()] == [avatar.key]


async def test_an_upload_of_which_only_the_features_were_kept_is_taken_over(kept, tmp_path):
    folder = shutil.copytree(kept, tmp_path / "data")
    [photo], [record] = ((folder / "avatars").glob(f"*.{kind}") for kind in ("jpg", "json"))
    photo.unlink()
    [features] = (folder / "identities").iterdir()
    record.write_text(json.dumps({"name": "Someone", "key": features.stem}))
    for _ in range(2):  # the second finds what the first has written
        library = opened(folder)
        try:
            [avatar] = library.list()
            assert avatar.name == "Someone"
            assert await library.ensure(avatar) != features.stem
        finally:
            await library.close()
    await library.delete(avatar)
    assert not list(library.identities.iterdir())
    assert not list((folder / "avatars").iterdir())
