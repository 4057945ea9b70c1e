"""The step loop: order, look-ahead, skipping, and that nothing ever crosses sessions."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from pipelines.motion.space import MOTION_DIM
from pipelines.presets import HOP_SAMPLES, PRESETS
from realtime.engine import INBOX_HOPS, UNDRAWN_HOPS, Engine
from realtime.errors import AtCapacity
from realtime.inference import InferenceDied, Stepped
from realtime.inference_worker import WorkerConfig
from realtime.ingest import Hop
from realtime.metrics import Metrics
from realtime.scheduler import Admission


class EchoInference:
    """Draws a picture that tells the identity and the level of the hop heard for its slot."""

    look_ahead = 2 * HOP_SAMPLES

    def __init__(self, slots: int) -> None:
        self.config = WorkerConfig(PRESETS["portrait"], slots, "cpu", Path(), 0)
        self.identities: dict[int, int] = {}
        self.set_ups = 0
        self.dies = False

    async def start(self):
        pass

    async def stop(self):
        pass

    async def prepare(self, key, size):
        await asyncio.sleep(0)

    async def set_up(self, slot, key, size, seed):
        self.set_ups += 1
        self.identities[slot] = int(key)

    async def step(self, rows, max_size):
        await asyncio.sleep(0)
        if self.dies:
            raise InferenceDied
        slots = self.config.slots
        frames = {
            slot: np.array([[self.identities[slot], int(samples[0])]])
            for slot, samples, _, draw in rows
            if draw
        }
        return Stepped(np.zeros((slots, MOTION_DIM), np.float32), [0] * slots, frames, 0.001)


def hop(n: int, level: float) -> Hop:
    return Hop(
        start=n * HOP_SAMPLES,
        samples=np.full(HOP_SAMPLES, level, np.float32),
        voice=np.zeros(1920, np.int16),
        speech=False,
        arrived=float(n),
    )


def keep(frames: list):
    """A deliver callback that keeps what it gets."""

    def deliver(frame):
        frames.append(frame)
        return True

    return deliver


@pytest.fixture
async def engine():
    gate = Admission(max_sessions=3, cores=2.0, load_share=0.75, cuda=False)
    engine = Engine(EchoInference(3), gate, Metrics())
    await engine.start()
    yield engine
    await engine.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_frames_come_in_order_and_lag_by_the_look_ahead(engine):
    got = []
    slot = await engine.open("7", 256, 0, keep(got))
    for n in range(6):
        engine.submit(slot, hop(n, n))
        await until(lambda: not slot.inbox)
    await until(lambda: len(got) == 4)
    assert [frame.start for frame in got] == [n * HOP_SAMPLES for n in range(4)]
    assert [frame.arrived for frame in got] == [0.0, 1.0, 2.0, 3.0]
    assert [frame.planes.tolist() for frame in got] == [[[7, n + 2]] for n in range(4)]


async def test_a_slot_that_is_behind_hears_everything_but_draws_the_newest(engine):
    got = []
    slot = await engine.open("1", 256, 0, keep(got))
    for n in range(6):
        engine.submit(slot, hop(n, n))
    await until(lambda: len(got) == 4)
    assert [frame.planes is None for frame in got] == [True, True, True, False]


async def test_a_slot_that_is_always_behind_still_shows_a_picture_now_and_then(engine):
    got = []

    def deliver(frame):
        got.append(frame)
        if len(got) < 60:
            engine.submit(slot, hop(len(got) + 3, 0.0))
        return False

    slot = await engine.open("1", 256, 0, deliver)
    for n in range(4):
        engine.submit(slot, hop(n, 0.0))
    await until(lambda: len(got) >= 60)
    drawn = [n for n, frame in enumerate(got[:58]) if frame.planes is not None]
    apart = np.diff(drawn)
    assert len(apart) >= 5
    assert set(apart.tolist()) == {UNDRAWN_HOPS + 1}


async def test_overflow_drops_the_oldest_hop_only(engine):
    got = []
    slot = await engine.open("1", 256, 0, keep(got))
    for n in range(INBOX_HOPS + 3):
        engine.submit(slot, hop(n, n))
    assert [h.start for h in slot.inbox] == [n * HOP_SAMPLES for n in range(3, INBOX_HOPS + 3)]
    await until(lambda: bool(got) and got[-1].start == (INBOX_HOPS) * HOP_SAMPLES)


async def test_nothing_crosses_between_sessions(engine):
    got: dict[int, list] = {1: [], 2: [], 3: []}
    slots = {i: await engine.open(str(i), 256, 0, keep(got[i])) for i in got}
    for n in range(20):
        for i, slot in slots.items():
            engine.submit(slot, hop(n, 100 * i + n))
        await until(lambda: not any(s.inbox for s in slots.values()))
    await until(lambda: all(len(frames) == 18 for frames in got.values()))
    for i, frames in got.items():
        assert {frame.planes[0, 0] for frame in frames} == {i}
        assert {frame.planes[0, 1] // 100 for frame in frames} == {i}


async def test_an_ended_session_gets_nothing_and_leaves_nothing_to_the_next(engine):
    old, new = [], []
    slot = await engine.open("1", 256, 0, keep(old))
    for n in range(5):
        engine.submit(slot, hop(n, 100))
    engine.close(slot)
    others = [await engine.open("9", 256, 0, keep([])) for _ in range(2)]
    again = await engine.open("2", 256, 0, keep(new))  # every row is taken: one is the old one
    assert slot.index in {again.index, *(o.index for o in others)}
    seen = len(old)
    for n in range(4):
        engine.submit(again, hop(n, 200))
        engine.submit(slot, hop(n, 100))
        await until(lambda: not again.inbox)
    await until(lambda: len(new) == 2)
    assert len(old) == seen
    assert all(frame.planes.tolist() == [[2, 200]] for frame in new)


async def test_the_one_too_many_is_refused_and_costs_nothing(engine):
    slots = [await engine.open("1", 256, 0, keep([])) for _ in range(3)]
    set_ups = engine.inference.set_ups
    with pytest.raises(AtCapacity):
        await engine.open("1", 256, 0, keep([]))
    assert engine.inference.set_ups == set_ups
    engine.close(slots[0])
    await engine.open("1", 256, 0, keep([]))


async def test_the_owner_hears_when_inference_dies():
    heard = asyncio.Event()
    gate = Admission(max_sessions=3, cores=2.0, load_share=0.75, cuda=False)
    engine = Engine(EchoInference(1), gate, Metrics(), on_death=heard.set)
    await engine.start()
    slot = await engine.open("1", 256, 0, keep([]))
    engine.inference.dies = True
    engine.submit(slot, hop(0, 0))
    async with asyncio.timeout(5):
        await heard.wait()
    await engine.stop()
