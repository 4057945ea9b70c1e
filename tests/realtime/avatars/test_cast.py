"""The cast is prepared while the server is open already."""

import asyncio

import pytest

from realtime.avatars.library import AvatarLibrary
from realtime.metrics import Metrics
from tests.support.peers import until
from tests.support.uploads import png


@pytest.fixture
def config(config):
    config.cast_dir.mkdir()
    for n, name in enumerate(("ada", "bo", "cy")):
        (config.cast_dir / f"{name}.png").write_bytes(png(90 + n).getvalue())
    return config


async def features(library, name: str):
    return library._features.store.path(await library._features.key(library.get(name), "gated"))


async def test_the_cast_is_prepared_once(library, config, gate):
    gate.open()
    assert library.cast_to_prepare == 3
    library.prepare_cast()
    await until(lambda: library.cast_to_prepare == 0)
    assert library._features._photos.pid is None  # nothing stays in memory for it
    assert len(gate.done) == 12
    again = AvatarLibrary(config, Metrics())
    again.prepare_cast()
    await until(lambda: again.cast_to_prepare == 0)
    await again.close()
    assert len(gate.done) == 12


async def test_whoever_wants_a_face_waits_for_one_other_at_the_most(library, gate):
    library.prepare_cast()
    await until(lambda: library._features._photos._turn.locked())
    wanting = asyncio.create_task(library.prepare(library.get("cy"), "gated"))
    await until(lambda: len(library._features._under_way) == 2)
    gate.open()
    await wanting
    await until(lambda: library.cast_to_prepare == 0)
    made = [(await features(library, name)).stat().st_mtime_ns for name in ("ada", "cy", "bo")]
    assert made == sorted(made)


async def test_a_face_that_cannot_be_enrolled_keeps_no_other_waiting(library, gate, caplog):
    gate.open()
    gate.set_fate("break")  # once
    library.prepare_cast()
    await until(lambda: library.cast_to_prepare == 0)
    made = [(await features(library, name)).exists() for name in ("ada", "bo", "cy")]
    assert made == [False, True, True]
    assert "cast member Ada cannot be enrolled" in caplog.text


async def test_closing_ends_it_and_the_next_start_goes_on(library, config, gate):
    library.prepare_cast()
    await until(lambda: library._features._photos._turn.locked())
    await library.close()
    gate.open()
    again = AvatarLibrary(config, Metrics())
    again.prepare_cast()
    await until(lambda: again.cast_to_prepare == 0)
    await again.close()
    assert (await features(again, "cy")).exists()
