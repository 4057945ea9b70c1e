"""All slots at once, captured and replayed: the same as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batch import Batch, frame_bytes
from pipelines.composed import TIMED_HOPS, ComposedPipeline
from pipelines.composed_batched import BatchedPipeline
from pipelines.graph import Eager, Graphs
from pipelines.identity import IdentityFeatures
from pipelines.motion.diffusion import load_motion
from pipelines.motion.model import MotionModel
from pipelines.pieces import first_rows, pieces, row_counts
from pipelines.pipeline import HOP_SAMPLES, HasBackends, Releases, Size, StepsAhead
from pipelines.streaming import named_tensors
from pipelines.tape import Tape
from tests.pipelines.test_composed import Grey
from tests.support.grey import BatchedGrey, GreyState
from tests.support.small_motion import Nodding
from tests.support.static_steps import check_step

SLOTS = 5
SIZES: tuple[Size, ...] = ((8, 6), (16, 12))
UNFORESEEN: Size = (6, 4)


def face(shade: int) -> IdentityFeatures:
    return IdentityFeatures("0" * 64, {"grey": np.array([shade], np.uint8)}, {})


def batched(
    graphs: Graphs, motion: MotionModel | None = None, slots: int = SLOTS
) -> BatchedPipeline:
    return BatchedPipeline(
        slots, SIZES, motion or Nodding(), BatchedGrey(slots), "cpu",
        sizes_for=lambda identity: (UNFORESEEN, *SIZES), graphs=graphs,
    )  # fmt: skip


class Exported(Nodding):
    """As if another library computed it: nothing of it may be captured."""

    steps = 0

    def step(self, *args: Any) -> Tensor:
        self.steps += 1
        return super().step(*args)


def one_by_one(motion: MotionModel | None = None) -> ComposedPipeline:
    return ComposedPipeline(
        SLOTS, SIZES, motion or Nodding(), Grey(SLOTS), sizes_for=lambda _: (UNFORESEEN, *SIZES)
    )


def batch_of(slots: int = SLOTS) -> Batch:
    batch = Batch.of(slots, SIZES, BatchedGrey.motion_dim)
    batch.size[:] = SIZES[-1]
    return batch


def fill(batch: Batch, n: int, chance: np.random.Generator) -> None:
    """One hop of slots that speak, pause, are cut off and drawn in several sizes."""
    batch.hops[:] = chance.normal(0.0, 0.1, batch.hops.shape)
    batch.speech[:] = chance.random(batch.slots) < 0.7
    batch.active[:] = chance.random(batch.slots) < 0.8
    batch.draw[:] = batch.active & (chance.random(batch.slots) < 0.7)
    batch.clear[:] = batch.active & (chance.random(batch.slots) < 0.2)
    batch.listens[:] = chance.random(batch.slots) < 0.1
    sizes = (*SIZES, UNFORESEEN)
    for slot in range(batch.slots):
        batch.size[slot] = sizes[(slot + n) % 3]


def set_up(pipeline: BatchedPipeline | ComposedPipeline) -> None:
    for slot in range(SLOTS):
        pipeline.set_identity(slot, face(20 * slot), SIZES[-1])
        pipeline.reset(slot, seed=slot + 7)


@pytest.mark.parametrize("graphs", [Tape(), Eager()])
@pytest.mark.parametrize("make", [Nodding, load_motion])
def test_slots_at_once_are_as_one_by_one(graphs: Graphs, make: type[MotionModel]) -> None:
    ours, theirs = batched(graphs, make()), one_by_one(make())
    at_once, alone = batch_of(), batch_of()
    chance = np.random.default_rng(0)
    for pipeline in (ours, theirs):
        set_up(pipeline)
    for n in range(8):
        fill(at_once, n, chance)
        alone.memory[alone.parts[0]] = at_once.memory[at_once.parts[0]]
        for pipeline in (ours, theirs):
            if n == 4:
                pipeline.reset(2, seed=99)
                pipeline.set_identity(1, face(200), SIZES[-1])
                pipeline.set_controls(3, {"expression": 0.5})
        ours.step(at_once)
        theirs.step(alone)
        assert np.array_equal(at_once.drawn, alone.drawn)
        drawn, on = np.flatnonzero(alone.drawn), np.flatnonzero(alone.active)
        for slot in drawn:
            assert np.array_equal(at_once.picture(slot), alone.picture(slot))
        # Products over several rows may be summed in another order than over one.
        assert np.allclose(at_once.motion[on], alone.motion[on], atol=1e-4)
        assert np.array_equal(at_once.behaviour[on], alone.behaviour[on])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_slots_are_as_on_a_cpu() -> None:
    """By graphs, pinned batches and copies in a stream of their own; two steps at a time."""
    sides = (
        BatchedPipeline(SLOTS, SIZES, Nodding(), BatchedGrey(SLOTS, "cuda"), "cuda"),
        BatchedPipeline(SLOTS, SIZES, Nodding(), BatchedGrey(SLOTS), "cpu"),
    )
    batches = [[batch_of() for _ in range(2)] for _ in sides]
    chance = np.random.default_rng(0)
    for pipeline in sides:
        set_up(pipeline)
    for n in range(0, 12, 2):
        for m in range(2):
            fill(batches[0][m], n + m, chance)
            batches[1][m].memory[:] = batches[0][m].memory
        for pipeline, pair in zip(sides, batches, strict=True):
            for wait in [pipeline.begin(batch) for batch in pair]:
                wait()
        for ours, theirs in zip(*batches, strict=True):
            assert np.array_equal(ours.planes, theirs.planes)
            assert np.array_equal(ours.behaviour, theirs.behaviour)
            assert np.allclose(ours.motion, theirs.motion, atol=1e-4)


def test_a_pipeline_has_forgotten_its_captures() -> None:
    pipeline = batched(Tape())
    fresh = BatchedGrey(SLOTS).init_state(SLOTS)
    for name, value in named_tensors(fresh).items():
        assert torch.equal(value, named_tensors(pipeline._renderer_state)[name]), name
    motion = named_tensors(pipeline.motion.init_state(SLOTS))
    for name, value in motion.items():
        assert torch.equal(value, named_tensors(pipeline._motion_state)[name]), name


def test_first_calls_touch_one_slot_and_every_number_and_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the thread that steps, before anybody waits for it: with no graph, as photos' own sizes
    are drawn."""
    pipeline, batches = batched(Tape()), [batch_of() for _ in range(2)]
    set_up(pipeline)
    held = [value for state in pipeline._states for value in named_tensors(state).values()]
    before = [value.clone() for value in held]
    renderer, done, locked = pipeline.renderer, [], []

    def draw(size: Size, rows: Tensor, *others: Any) -> None:
        assert (rows == 2).all()
        done.append(len(rows))

    def still(size: Size, slot: int, planes: Tensor) -> None:
        assert (slot, len(planes)) == (2, frame_bytes(size))
        done.append(size)

    monkeypatch.setattr(renderer, "draw", draw)
    monkeypatch.setattr(renderer, "still", still)
    monkeypatch.setattr(pipeline._transfer, "host", locked.append)
    turns = sum(1 for _ in pipeline.first_calls(2, batches))
    assert locked == batches
    counts = list(row_counts(SLOTS))
    assert sorted(done[: len(counts)]) == counts
    assert sorted(done[len(counts) :]) == sorted(SIZES)
    assert turns == len(locked) + 1 + len(done)
    for value, was in zip(held, before, strict=True):
        assert torch.equal(value, was)
    assert not torch.is_inference_mode_enabled()


def test_idle_slots_stay_as_they_are_beside_padded_rows() -> None:
    pipeline, batch = batched(Tape()), batch_of()
    set_up(pipeline)
    batch.active[:] = batch.draw[:] = True
    pipeline.step(batch)
    state = pipeline._renderer_state
    assert isinstance(state, GreyState)
    before = {name: value.clone() for name, value in named_tensors(state).items()}
    planes = batch.planes.copy()
    batch.active[:] = batch.draw[:] = [False, True, False, True, True]  # 3, by the graph of 4
    pipeline.step(batch)
    for name, value in named_tensors(state).items():
        assert torch.equal(value[[0, 2]], before[name][[0, 2]]), name
    assert state.drawn.tolist() == [1, 2, 1, 2, 2]
    assert np.array_equal(batch.planes[[0, 2]], planes[[0, 2]])
    assert not np.array_equal(batch.planes[1], planes[1])


def test_a_step_may_begin_before_the_last_one_has_arrived() -> None:
    pipeline = batched(Tape())
    assert isinstance(pipeline, StepsAhead)
    set_up(pipeline)
    batches = batch_of(), batch_of()
    for batch in batches:
        batch.active[:] = batch.draw[:] = True
    begun = [pipeline.begin(batch) for batch in batches]
    for each in begun:
        each.arrived()
    for n, batch in enumerate(batches):
        assert [int(batch.picture(s)[0, 0]) for s in range(SLOTS)] == [
            20 * s + n + 1 for s in range(SLOTS)
        ]


def test_its_steps_can_be_captured() -> None:
    pipeline = batched(Eager(), load_motion())
    check_step(pipeline._advance)
    for count in row_counts(SLOTS):
        check_step(pipeline._draw_into, SIZES[0], torch.zeros(count, frame_bytes(SIZES[0])))
    every = torch.ones(SLOTS, dtype=torch.bool)
    for state in pipeline._states:
        check_step(state.reset, every)


def test_the_still_picture_is_drawn_before_any_sound() -> None:
    pipeline, batch = batched(Eager()), batch_of()
    set_up(pipeline)
    batch.size[2] = SIZES[0]
    pipeline.still(2, batch)
    assert (batch.picture(2) == 40).all()
    assert not batch.planes[2, frame_bytes(SIZES[0]) :].any()
    assert not batch.planes[[0, 1, 3, 4]].any()


def test_another_library_computes_the_motion_between_two_graphs() -> None:
    exported = Exported()
    ours = BatchedPipeline(
        SLOTS, SIZES, Nodding(), BatchedGrey(SLOTS), "cpu", exported, graphs=Tape()
    )
    theirs = batched(Tape())
    assert isinstance(ours, HasBackends)
    assert ours.backends == ("torch", "onnxruntime")
    assert exported.steps == 1  # which opened and captured it, so that no step does
    times = ours.time_backends()
    assert times.keys() == {"torch", "onnxruntime"}
    assert exported.steps == 1 + TIMED_HOPS
    ours.use_backend("onnxruntime")
    assert ours.backends == ("onnxruntime",)
    set_up(ours)
    for _ in ours.first_calls(0, ()):
        pass
    assert exported.steps == 2 + TIMED_HOPS  # in the thread that steps, before anybody waits
    chance, batches = np.random.default_rng(1), (batch_of(), batch_of())
    for pipeline in (ours, theirs):
        set_up(pipeline)
    for n in range(4):
        fill(batches[0], n, chance)
        batches[1].memory[batches[1].parts[0]] = batches[0].memory[batches[0].parts[0]]
        for pipeline, batch in zip((ours, theirs), batches, strict=True):
            pipeline.step(batch)
        assert np.array_equal(batches[0].memory, batches[1].memory)
    assert exported.steps == 2 + TIMED_HOPS + 4


def test_a_batch_of_other_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"captured for 5 slots and 45 channels.*a batch of 4 and"):
        batched(Eager()).step(batch_of(4))


def test_a_renderer_of_other_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="a renderer of 2 slots in a pipeline of 3"):
        BatchedPipeline(3, SIZES, Nodding(), BatchedGrey(2), "cpu")


def test_a_size_that_an_identity_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="pictures of 2 x 2; there are 6 x 4, 8 x 6, 16 x 12"):
        batched(Eager()).set_identity(0, face(1), (2, 2))


@pytest.mark.parametrize(
    ("slots", "counts"), [(1, (1,)), (2, (1, 2)), (5, (1, 2, 4, 5)), (8, (1, 2, 4, 8))]
)
def test_there_are_graphs_for_one_two_four_and_all(slots: int, counts: tuple[int, ...]) -> None:
    assert row_counts(slots) == counts


@pytest.mark.parametrize(
    ("pictures", "numbers"),
    [
        (0, ()), (1, (1,)), (3, (4,)), (8, (8,)), (9, (8, 1)), (12, (16,)), (33, (32, 1)),
        (47, (32, 16)), (48, (64,)), (65, (64, 1)), (100, (100,)), (99, (100,)),
    ],
)  # fmt: skip
def test_many_pictures_are_drawn_in_pieces(pictures: int, numbers: tuple[int, ...]) -> None:
    assert pieces(pictures, slots=100) == numbers


def test_pieces_are_of_the_right_slots() -> None:
    slots = 13
    pipeline, batch = batched(Tape(), slots=slots), batch_of(slots)
    for slot in range(slots):
        pipeline.set_identity(slot, face(10 * slot), SIZES[-1])
    batch.active[:] = True
    batch.draw[:] = True
    batch.draw[4] = batch.draw[7] = batch.draw[11] = False
    batch.size[3] = SIZES[0]
    for step in (1, 2):
        pipeline.step(batch)
        drawn = np.flatnonzero(batch.draw)
        assert [int(batch.picture(s)[0, 0]) for s in drawn] == [10 * s + step for s in drawn]
        assert not batch.planes[~batch.draw].any()


def test_rows_that_are_left_over_repeat_the_last() -> None:
    wanted = torch.tensor([False, True, False, True, True])
    assert first_rows(wanted, 4).tolist() == [1, 3, 4, 4]
    assert first_rows(wanted, 2).tolist() == [1, 3]
    assert first_rows(torch.zeros(3, dtype=torch.bool), 2).tolist() == [0, 0]


def test_one_slot_alone() -> None:
    pipeline, batch = batched(Tape(), slots=1), batch_of(1)
    pipeline.set_identity(0, face(9), SIZES[-1])
    batch.active[:] = batch.draw[:] = True
    batch.hops[:] = np.zeros(HOP_SAMPLES)
    pipeline.step(batch)
    assert (batch.picture(0) == 10).all()


def test_a_renderer_is_told_of_slots_that_nobody_watches() -> None:
    pipeline = batched(Eager())
    assert isinstance(pipeline, Releases)
    pipeline.release(1)  # of one that does not mind
    released: list[int] = []
    pipeline.renderer.release = released.append  # type: ignore[attr-defined]
    pipeline.release(2)
    assert released == [2]
