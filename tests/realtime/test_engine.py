"""The step loop: order, look-ahead, skipping, and that nothing ever crosses sessions."""

import asyncio

import numpy as np
import pytest
import torch

from pipelines.avatar import HOP_SAMPLES, StepResult
from pipelines.motion.space import MOTION_DIM
from realtime.engine import INBOX_HOPS, Engine
from realtime.errors import AtCapacity
from realtime.ingest import Hop
from realtime.metrics import Metrics
from realtime.scheduler import Admission


class EchoPipeline:
    """Draws a picture that tells the identity and the level of the hop heard for its slot."""

    device = "cpu"
    look_ahead = 2 * HOP_SAMPLES

    def __init__(self, slots: int, batch: bool = False) -> None:
        self.slots = slots
        self.device = "cpu"
        self.identities: dict[int, int] = {}
        self.resets: list[int] = []

    def reset(self, slot, seed):
        self.resets.append(slot)

    def size(self, slot):
        return 256

    def set_size(self, slot, size):
        pass

    def set_identity(self, slot, identity):
        self.identities[slot] = identity

    def set_controls(self, slot, controls):
        pass

    def step(self, hops, speech, active, render):
        frames = {}
        for slot in torch.nonzero(render).flatten().tolist():
            frames[slot] = torch.tensor([[self.identities[slot], int(hops[slot, 0].item())]])
        motion = hops[:, :1].repeat(1, MOTION_DIM)
        return StepResult(motion, torch.zeros(self.slots, dtype=torch.int8), frames)


def hop(n: int, level: float) -> Hop:
    return Hop(
        start=n * HOP_SAMPLES,
        samples=np.full(HOP_SAMPLES, level, np.float32),
        voice=np.zeros(1920, np.int16),
        speech=False,
        arrived=float(n),
        concealed=0,
    )


@pytest.fixture
async def engine():
    gate = Admission(max_sessions=3, cores=2.0, load_share=0.75, cuda=False)
    engine = Engine(EchoPipeline(3), gate, Metrics())
    await engine.start()
    yield engine
    await engine.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_frames_come_in_order_and_lag_by_the_look_ahead(engine):
    got = []
    slot = await engine.open(7, 256, 0, got.append)
    for n in range(6):
        engine.submit(slot, hop(n, n))
        await until(lambda: not slot.inbox)
    await until(lambda: len(got) == 4)
    assert [frame.start for frame in got] == [n * HOP_SAMPLES for n in range(4)]
    assert [frame.arrived for frame in got] == [0.0, 1.0, 2.0, 3.0]
    assert [frame.planes.tolist() for frame in got] == [[[7, n + 2]] for n in range(4)]


async def test_a_slot_that_is_behind_hears_everything_but_draws_the_newest(engine):
    got = []
    slot = await engine.open(1, 256, 0, got.append)
    for n in range(6):
        engine.submit(slot, hop(n, n))
    await until(lambda: len(got) == 4)
    assert [frame.planes is None for frame in got] == [True, True, True, False]


async def test_overflow_drops_the_oldest_hop_only(engine):
    got = []
    slot = await engine.open(1, 256, 0, got.append)
    for n in range(INBOX_HOPS + 3):
        engine.submit(slot, hop(n, n))
    assert [h.start for h in slot.inbox] == [
        n * HOP_SAMPLES for n in range(3, INBOX_HOPS + 3)
    ]
    await until(lambda: bool(got) and got[-1].start == (INBOX_HOPS) * HOP_SAMPLES)


async def test_nothing_crosses_between_sessions(engine):
    got: dict[int, list] = {1: [], 2: [], 3: []}
    slots = {i: await engine.open(i, 256, 0, got[i].append) for i in got}
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
    slot = await engine.open(1, 256, 0, old.append)
    for n in range(5):
        engine.submit(slot, hop(n, 100))
    engine.close(slot)
    others = [await engine.open(9, 256, 0, lambda frame: None) for _ in range(2)]
    again = await engine.open(2, 256, 0, new.append)  # every row is taken: one is the old one
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
    slots = [await engine.open(1, 256, 0, lambda frame: None) for _ in range(3)]
    resets = len(engine.pipeline.resets)
    with pytest.raises(AtCapacity):
        await engine.open(1, 256, 0, lambda frame: None)
    assert len(engine.pipeline.resets) == resets
    engine.close(slots[0])
    await engine.open(1, 256, 0, lambda frame: None)
