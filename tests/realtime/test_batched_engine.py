"""The engine over a pipeline as a GPU has it: batches, graphs (a tape here), the ladder, faces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.composed_batched import BatchedPipeline
from pipelines.identity import IdentityFeatures
from pipelines.motion.model import MotionModel
from pipelines.photo.framing import sizes_for
from pipelines.pipeline import Size
from pipelines.tape import Tape
from realtime.engine.handle import StreamRequest
from realtime.engine.host import PipelineHost
from realtime.media import HOP_SAMPLES
from tests.realtime.test_engine_desk import Bench
from tests.support.engines import LARGE, face
from tests.support.grey import BatchedGrey
from tests.support.small_motion import Nodding

SLOTS = 4


class Tones(BatchedGrey):
    """Shades of the faces that the engine's tests have."""

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self.shades[slot] = int(identity.arrays["tone"])


def build(system: Any, slots: int, options: Any, device: str) -> BatchedPipeline:
    motion: MotionModel = Nodding()
    sizes = partial(sizes_for, system)
    return BatchedPipeline(
        slots, system.sizes, motion, Tones(slots), "cpu", sizes_for=sizes, graphs=Tape()
    )


@pytest.fixture
def bench(tmp_path, monkeypatch):
    from vivavoce_echo import EchoSystem

    monkeypatch.setattr(EchoSystem, "build", build)
    monkeypatch.setattr(Bench, "_watched", lambda self, pipeline: pipeline)
    made = Bench(tmp_path, "cuda", slots=SLOTS)
    assert isinstance(made.host, PipelineHost)
    assert isinstance(made.host.pipeline, BatchedPipeline)
    return made


def shade(bench: Bench, frame: Any) -> int:
    planes = bench.host.memory.batches[frame.batch].planes[frame.row]
    width, height = frame.size
    shown = planes[: width * height * 3 // 2]
    assert (shown == shown[0]).all()
    return int(shown[0])


def test_streams_are_drawn_in_batches_each_its_own_face(bench):
    keys = [face(bench.desk._config.identities, tone) for tone in (10, 60, 110)]
    opened = [bench.call("open", StreamRequest("echo", key, LARGE)) for key in keys]
    for each, tone in zip(opened, (10, 60, 110), strict=True):
        assert bench.host.memory.batches[each.batch].planes[each.row, 0] == tone  # the still
        bench.read(each)
    for n in range(6):
        speak = [each for m, each in enumerate(opened) if m != n % 4]
        for each in speak:
            bench.hear(each, n)
        bench.work()
        frames, bench.peer.frames = bench.peer.frames, []
        assert {frame.stream for frame in frames} == {each.stream for each in speak}
        for frame in frames:
            assert frame.drawn
            assert frame.start == n * HOP_SAMPLES
            m = [each.stream for each in opened].index(frame.stream)
            heard = sum(k % 4 != m for k in range(n + 1))
            assert shade(bench, frame) == (10, 60, 110)[m] + heard
            bench.read(frame)


def test_a_row_that_is_given_to_another_starts_over(bench):
    opened = bench.open()
    bench.read(opened)
    for n in range(3):
        bench.hear(opened, n)
        bench.work()
        bench.read(bench.peer.frames[-1])
    bench.call("close", opened.stream)
    others = [bench.open() for _ in range(SLOTS)]
    again = next(each for each in others if each.row == opened.row)
    bench.read(again)
    bench.peer.frames.clear()
    bench.hear(again, 0)
    bench.work()
    assert shade(bench, bench.peer.frames[0]) == 77 + 1


def test_a_face_that_changes_is_seen_by_steps_captured_before(bench):
    opened = bench.open()
    bench.read(opened)
    bench.call("set_identity", opened.stream, face(bench.desk._config.identities, 200))
    bench.hear(opened, 0)
    bench.work()
    assert shade(bench, bench.peer.frames[0]) == 201


def test_the_ladder_makes_the_pictures_of_a_batch_smaller(bench):
    opened = [bench.open() for _ in range(2)]
    for each in opened:
        bench.read(each)
    bench.desk._streams.scheduler.encoders_late(0.0)
    for each in opened:
        bench.hear(each, 0)
    bench.work()
    assert [frame.size for frame in bench.peer.frames] == [(128, 72)] * 2
    assert [shade(bench, frame) for frame in bench.peer.frames] == [78, 78]


def test_warming_up_begins_with_what_takes_long_the_first_time(bench, monkeypatch):
    """So that no stream's first step, still or frame of a photo's own size does."""
    host = bench.desk._hosts["echo"]
    step, first_calls, order = host.pipeline.step, host.pipeline.first_calls, []

    def stepped(batch):
        order.append("step")
        step(batch)

    def called(slot, batches):
        assert tuple(batches) == host.memory.batches
        for turn in first_calls(slot, batches):
            order.append("first call")
            yield turn

    monkeypatch.setattr(host.pipeline, "step", stepped)
    monkeypatch.setattr(host.pipeline, "first_calls", called)
    bench.call("warm_up", "echo", bench.key, LARGE)
    assert order.count("first call") >= 2
    assert "first call" not in order[order.index("step") :]


def test_warming_up_leaves_slots_as_new(bench):
    bench.call("warm_up", "echo", bench.key, LARGE)
    costs = bench.costs.describe()
    drawn = {
        f"echo draw {size} x {n}" for size in ("64x36", "128x72", "256x144") for n in (1, 2, 4)
    }
    assert costs.keys() >= {"echo step"} | drawn
    opened = bench.open()
    bench.read(opened)
    bench.hear(opened, 0)
    bench.work()
    assert shade(bench, bench.peer.frames[0]) == 78
    assert torch.is_inference_mode_enabled() is False
    assert np.isfinite(bench.peer.frames[0].motion).all()
