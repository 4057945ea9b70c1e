"""Streams over a real inference process: order, pictures, calls, several clients, what stays."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from realtime.engine.client import Engine
from realtime.engine.handle import StreamRequest
from realtime.engine.memory import PictureMemory
from realtime.engine.supervisor import EngineAddress
from realtime.errors import AtCapacity, EngineError, NotReady
from realtime.media import HOP_SAMPLES, Size
from tests.support.engines import (
    LARGE,
    MEDIUM,
    PATIENCE_S,
    EchoOptions,
    Speaker,
    colours,
    face,
    hop,
    luma,
    running,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def key(folder):
    return face(folder, 77)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(folder):
    async with running(folder) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def speak(engine, key):
    """Opens speakers on the shared engine, and closes them in the end."""
    speakers = []

    async def open(key: str = key, size: Size = LARGE, seed: int = 5) -> Speaker:
        speakers.append(await Speaker.open(engine, key, size, seed))
        return speakers[-1]

    yield open
    for speaker in speakers:
        await speaker.stream.close()


@pytest_asyncio.fixture(loop_scope="module")
async def speaker(speak):
    return await speak()


async def test_frames_come_in_order_and_lag_by_the_look_ahead(speaker):
    levels = [n / 16 for n in range(12)]
    await speaker.say(*levels)
    assert [f.start for f in speaker.frames] == [n * HOP_SAMPLES for n in range(10)]
    assert [f.arrived for f in speaker.frames] == list(range(10))
    assert [colours(f.picture) for f in speaker.frames] == [(luma(x), 77, 5) for x in levels[2:]]
    assert [f.motion[0] for f in speaker.frames] == pytest.approx(levels[2:])
    assert [f.motion[1] for f in speaker.frames] == list(range(3, 13))
    assert all((f.picture.width, f.picture.height) == LARGE for f in speaker.frames)


async def test_a_stream_has_a_still_picture_before_any_sound(speaker):
    assert colours(speaker.stream.still) == (0, 77, 5)
    assert (speaker.stream.still.width, speaker.stream.still.height) == LARGE
    assert speaker.stream.look_ahead == 2 * HOP_SAMPLES
    assert 0 < speaker.stream.expected_latency_s <= 0.040


async def test_behaviour_and_facts_come_with_the_frames(speaker):
    for n in range(4):
        speaker.send(0.1, speech=n >= 3)
    await until(lambda: len(speaker.frames) == 2)
    assert [f.behaviour for f in speaker.frames] == ["idle", "speaking"]
    facts = speaker.stream.facts()
    assert (facts.size, facts.rung, facts.dropped_hops) == (LARGE, 0, 0)


async def test_controls_and_face_change_while_a_stream_runs(speaker, folder):
    await speaker.say(0.1, 0.1, 0.1)
    await speaker.stream.set_controls({"strength": 1.75})
    await speaker.stream.set_identity(face(folder, 99))
    (frame,) = await speaker.say(0.1)
    assert frame.motion[3] == 1.75
    assert frame.motion[1] == 4  # its state went on
    assert colours(frame.picture)[1] == 99


async def test_an_unknown_face_is_refused_in_words_and_takes_no_slot(engine, speak):
    for _ in range(9):
        with pytest.raises(EngineError, match="cannot load the avatar"):
            await engine.open(StreamRequest("echo", "0" * 64, LARGE))
    speaker = await speak()
    with pytest.raises(EngineError, match="cannot load the avatar"):
        await speaker.stream.set_identity("0" * 64)
    assert await speaker.say(0.1, 0.1, 0.1)


async def test_what_cannot_be_opened_says_why(engine, key):
    with pytest.raises(NotReady, match="'other' is not loaded"):
        await engine.open(StreamRequest("other", key, LARGE))
    with pytest.raises(EngineError, match="one of 64x36, 128x72, 256x144"):
        await engine.open(StreamRequest("echo", key, (512, 512)))
    with pytest.raises(NotReady, match="'other' is not loaded"):
        await engine.check("other", LARGE)
    await engine.check("echo", LARGE)


async def test_the_one_too_many_is_refused(speak):
    speakers = [await speak() for _ in range(4)]
    with pytest.raises(AtCapacity, match="every slot"):
        await speak()
    await speakers[0].stream.close()
    await speak()


async def test_clear_forgets_unheard_hops_and_tells_the_pipeline(folder, key, tmp_path):
    gate = tmp_path / "gate"
    async with running(folder, EchoOptions(gate=gate)) as engine:
        speaker = await Speaker.open(engine, key)
        await speaker.say(0.1, 0.1, 0.1)
        gate.touch()
        for _ in range(5):  # the first of them is in a step, the others wait
            speaker.send(0.2)
        speaker.stream.clear()
        speaker.send(0.3)
        gate.unlink()
        await until(lambda: speaker.last == 6)
        heard = [f.motion for f in speaker.frames[1:]]
        assert heard[-1][0] == pytest.approx(0.3)
        assert [m[2] for m in heard] == [0] * (len(heard) - 1) + [1]
        assert heard[-1][1] <= 3 + 2 + 1
        (frame,) = await speaker.say(0.4)
        assert frame.motion[2] == 1  # once only


async def test_nothing_of_a_stream_reaches_the_next_in_its_slot(folder, key, tmp_path):
    gate = tmp_path / "gate"
    async with running(folder, EchoOptions(gate=gate), slots=1) as engine:
        old = await Speaker.open(engine, key)
        await old.say(0.1, 0.1, 0.1)
        gate.touch()
        for _ in range(4):
            old.send(0.7)
        await old.stream.close()
        seen = len(old.frames)
        gate.unlink()
        new = await Speaker.open(engine, face(folder, 9))
        old.send(0.7)
        await new.say(*[0.2] * 6)
        assert len(old.frames) == seen
        assert [colours(f.picture) for f in new.frames] == [(luma(0.2), 9, 0)] * 4
        assert [f.motion[1] for f in new.frames] == [3, 4, 5, 6]


async def test_streams_side_by_side_never_mix(speak, folder):
    speakers = [await speak(face(folder, 10 + n), (LARGE, MEDIUM)[n % 2], seed=n) for n in range(4)]
    for k in range(20):
        await asyncio.gather(*(s.say(0.1 * n + 0.02 * k) for n, s in enumerate(speakers)))
    for n, speaker in enumerate(speakers):
        assert [f.start // HOP_SAMPLES for f in speaker.frames] == list(range(18))
        for k, frame in enumerate(speaker.frames):
            assert colours(frame.picture) == (luma(0.1 * n + 0.02 * (k + 2)), 10 + n, n)


async def test_a_failing_step_ends_its_stream_and_no_other(engine, speak):
    good, bad = await speak(), await speak()
    for _ in range(2):
        await asyncio.gather(good.say(0.1, 0.1), bad.say(0.1, 0.1))
    bad.send(0.95)
    await until(lambda: bad.ends)
    assert bad.ends == ["the avatar cannot be drawn any more: RuntimeError: too loud"]
    assert await good.say(0.1, 0.2)
    assert not good.ends
    assert engine.state == "ready"
    with pytest.raises(EngineError, match="has ended"):
        await bad.stream.set_controls({"strength": 1.0})
    again = await speak()
    assert await again.say(0.1, 0.1, 0.1)


async def test_no_picture_changes_while_it_is_read(folder, key, monkeypatch):
    """A reader that takes its time: what it reads stays, and the stream is heard meanwhile."""
    read: list[tuple[int, int]] = []

    def take(self, batch, row, size):
        read.append((batch, row))  # and neither copied nor given back

    async with running(folder) as engine:
        speaker = await Speaker.open(engine, key)
        await speaker.say(0.1, 0.1, 0.1)  # the place of the still is free again
        monkeypatch.setattr(PictureMemory, "take", take)
        for k in range(12):
            speaker.send(0.2 + k / 50)
            await until(lambda k=k: speaker.last == k + 1)
        memory = speaker.stream._link._memories[1]
        assert len(read) == len(set(read)) == 2  # one in each batch, and no more
        shown = {int(memory.batches[batch].planes[row, 0]) for batch, row in read}
        assert shown == {luma(0.2), luma(0.22)}
        assert speaker.stream.facts().skipped == 10
        assert speaker.frames[-1].motion[1] == 15  # every hop was heard
        monkeypatch.undo()
        for batch, row in read:
            memory.give_back(batch, row)
        (frame,) = await speaker.say(0.8)
        assert colours(frame.picture)[0] == luma(0.8)


async def test_a_slow_machine_shares_its_pictures(folder, key):
    """Two hops are said for each frame that comes back: it cannot keep up, and nobody starves."""
    async with running(folder, EchoOptions(draw_s=0.01)) as engine:
        speakers = [await Speaker.open(engine, key) for _ in range(2)]

        def drawn() -> list[int]:
            return [sum(f.picture is not None for f in s.frames) for s in speakers]

        while sum(drawn()) < 40:
            before = sum(len(s.frames) for s in speakers)
            for speaker in speakers:
                speaker.send()
            if speakers[0].spoken > 2:
                await until(lambda before=before: sum(len(s.frames) for s in speakers) > before)
        assert max(drawn()) - min(drawn()) <= 4
        for speaker in speakers:
            assert [f.start for f in speaker.frames] == sorted(f.start for f in speaker.frames)


async def test_pipelines_are_loaded_beside_running_ones(folder, key):
    async with running(folder) as engine:
        speaker = await Speaker.open(engine, key)
        loading = asyncio.create_task(engine.load("echo2", EchoOptions(build_s=2.0)))
        await until(lambda: engine.health().pipelines.get("echo2") == "loading")
        with pytest.raises(NotReady, match="loading"):
            await engine.open(StreamRequest("echo2", key, LARGE))
        await speaker.say(*[0.1] * 5)
        assert not loading.done()
        await loading
        other = await engine.open(StreamRequest("echo2", key, LARGE, seed=3))
        assert colours(other.still) == (0, 77, 3)
        assert await speaker.say(0.1)
        with pytest.raises(EngineError, match="other options"):
            await engine.load("echo2", EchoOptions())
        with pytest.raises(EngineError, match="unknown pipeline 'echo3'"):
            await engine.load("echo3", EchoOptions())
        assert engine.health().pipelines["echo"] == "ready"


async def test_warming_up_tells_the_costs_and_disturbs_nobody(engine, key, speak):
    speaker = await speak()
    await engine.warm_up("echo", key, LARGE)
    costs = engine.health().costs
    assert set(costs) >= {"echo motion", "echo draw 64x36", "echo draw 256x144"}
    await speaker.say(0.1, 0.1, 0.1)
    assert [f.motion[1] for f in speaker.frames] == [3]


async def test_encoding_times_reach_admission(engine):
    for _ in range(10):
        engine.measured_encode(LARGE, 0.004, 0.005)
    await until(lambda: engine.health().costs.get("encode 256x144") == 4.0)


def speak_elsewhere(address: EngineAddress, key: str, seed: int, line: Connection) -> None:
    """Another media process: opens a stream, speaks, tells what it saw, and waits for a word."""

    async def main() -> None:
        engine = Engine.attach(address)
        await engine.start()
        speaker = await Speaker.open(engine, key, seed=seed)
        frames = await speaker.say(*[seed / 10] * 6)
        line.send([colours(f.picture) for f in frames])
        await asyncio.to_thread(line.recv)
        await engine.stop()

    asyncio.run(main())


async def test_two_media_processes_use_one_inference_process(engine, key, speak):
    spawn = multiprocessing.get_context("spawn")
    lines, others = [], []
    try:
        for seed in (1, 2):
            line, far = spawn.Pipe()
            args = (engine.address, key, seed, far)
            others.append(spawn.Process(target=speak_elsewhere, args=args))
            lines.append(line)
            others[-1].start()
            far.close()
        own = await speak(seed=3)
        await own.say(*[0.3] * 6)
        await until(lambda: all(line.poll() for line in lines))
        seen = [*(line.recv() for line in lines), [colours(f.picture) for f in own.frames]]
        assert seen == [[(luma(s / 10), 77, s)] * 4 for s in (1, 2, 3)]
        await until(lambda: engine.health().sessions == 3)
        others[0].kill()  # its stream's slot is free again, and nobody else notices
        await until(lambda: engine.health().sessions == 2)
        assert await own.say(0.3)
        lines[1].send("enough")
        await until(lambda: engine.health().sessions == 1)
    finally:
        for line, other in zip(lines, others, strict=True):
            line.close()
            await asyncio.to_thread(other.join, PATIENCE_S)
            other.close()


async def test_a_stranger_is_shown_out(engine):
    stranger = Engine.attach(EngineAddress(engine.address.name, b"?" * 32))
    with pytest.raises(EngineError, match="has ended"):
        await stranger.start()
    assert stranger.state == "stopped"


async def test_an_opening_that_is_cancelled_leaves_nothing(engine, key, speak):
    for delay in (0, 0.0005, 0.001, 0.002, 0.004, 0.008) * 3:
        opening = asyncio.create_task(engine.open(StreamRequest("echo", key, LARGE)))
        await asyncio.sleep(delay)
        opening.cancel()
        for result in await asyncio.gather(opening, return_exceptions=True):
            if not isinstance(result, BaseException):
                await result.close()
    speakers = []
    async with asyncio.timeout(PATIENCE_S):
        while len(speakers) < 4:  # every slot
            try:
                speakers.append(await speak())
            except AtCapacity:  # an answer to nobody is still under way
                await asyncio.sleep(0.005)
    for speaker in speakers:
        assert await speaker.say(0.1, 0.1, 0.1)


async def test_hundreds_of_streams_leave_nothing(engine, key, speak):
    process = psutil.Process(engine.pid)

    async def one() -> None:
        speaker = await Speaker.open(engine, key)
        for _ in range(3):
            speaker.send(0.1)
        await speaker.stream.close()

    def held() -> tuple[int, ...]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text().count("vivavoce-pictures")
        return (
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            maps,
            process.num_fds(),
            process.num_threads(),
        )

    for _ in range(10):
        await one()
    before = held()
    for _ in range(200):
        await one()
    await until(lambda: held() == before)
    speaker = await speak()
    assert len(await speaker.say(*[0.1] * 5)) == 3


async def test_motion_belongs_to_whoever_holds_the_frame(speaker):
    """Later steps write into the same memory."""
    frames = await speaker.say(0.1, 0.2, 0.3, 0.4)
    assert [float(f.motion[0]) for f in frames] == pytest.approx([0.3, 0.4])
    assert not np.shares_memory(frames[0].motion, frames[1].motion)


async def test_a_stream_that_was_closed_is_silent(engine, speak):
    speaker = await speak()
    await speaker.stream.close()
    await speaker.stream.close()
    speaker.stream.submit(hop(0))
    speaker.stream.clear()
    await engine.check("echo", LARGE)
    assert not speaker.frames
