"""Steps that are captured once and replayed, on a CPU by a tape."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pipelines.graph import CudaGraphs, Eager, GraphedStep, Graphs, graphs_of, without_graphs
from pipelines.motion.diffusion import load_motion
from pipelines.pipeline import HOP_SAMPLES
from pipelines.streaming import SlotState, masked_write, named_tensors, shapes_are_fixed
from pipelines.tape import Tape

SLOTS = 3


@dataclass
class Summed(SlotState):
    total: Tensor  # [B, 2]


def add(state: Summed, table: Tensor, x: Tensor, active: Tensor) -> Tensor:
    """A step with a view, a table and a state."""
    total = state.total + x.unsqueeze(1)[:, 0] * table
    masked_write(state.total, total, active)
    return total.flip(1)


def graphed(graphs: Graphs) -> tuple[GraphedStep[Tensor], Summed, Tensor]:
    state, table = Summed(torch.zeros(SLOTS, 2)), torch.ones(SLOTS, 2)
    inputs = {"x": torch.zeros(SLOTS, 2), "active": torch.ones(SLOTS, dtype=torch.bool)}
    step = GraphedStep("adding", lambda x, active: add(state, table, x, active), inputs, graphs)
    state.reset(torch.ones(SLOTS, dtype=torch.bool))
    return step, state, table


@pytest.mark.parametrize("graphs", [Tape(), Eager()])
def test_a_replay_gives_what_the_step_gives(graphs: Graphs) -> None:
    step, state, table = graphed(graphs)
    expected = Summed(torch.zeros(SLOTS, 2))
    chance = torch.Generator().manual_seed(0)
    for n in range(6):
        x, active = torch.randn(SLOTS, 2, generator=chance), torch.arange(SLOTS) != n % SLOTS
        if n == 3:
            anew = torch.arange(SLOTS) == 1
            state.reset(anew)
            expected.reset(anew)
            table[2] = 5.0  # a new face
        ours = add(expected, table, x, active)
        held = step(x=x, active=active)
        assert torch.equal(held, ours)
        assert torch.equal(state.total, expected.total)
        assert held is step.made


def test_a_tape_keeps_nothing_of_what_a_step_makes_on_its_way() -> None:
    """What a drawing makes comes to gigabytes."""
    x, made = torch.ones(3), []

    def function() -> Tensor:
        twice = x * 2
        row = twice[1:]
        row += 1
        made.append(weakref.ref(twice))
        return torch.cat([twice, x])

    again, held = Tape().capture(function)
    assert [each() for each in made] == [None, None]
    x[2] = 5.0
    again()
    assert held.tolist() == [2, 3, 11, 1, 1, 5]


def test_what_was_decided_stays_decided() -> None:
    """As in a graph: else a test with a tape would pass what a card fails."""
    factor = [1.0]
    inputs = {"x": torch.ones(2)}
    step = GraphedStep("scaling", lambda x: x * factor[0], inputs, Tape())
    factor[0] = 2.0
    assert step(x=torch.ones(2)).tolist() == [1.0, 1.0]
    eager = GraphedStep("scaling", lambda x: x * factor[0], inputs, Eager())
    assert eager(x=torch.ones(2)).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(1, 2), r"adding was captured with x of shape \(3, 2\) and cannot take \(1, 2"),
        (torch.zeros(3, 2, dtype=torch.float64), "x of type torch.float32 and cannot take torch.f"),
        (torch.zeros(3, 2, device="meta"), "x of device cpu and cannot take meta"),
    ],
)
def test_other_shapes_types_and_devices_are_refused(x: Tensor, says: str) -> None:
    step, state, _ = graphed(Tape())
    with pytest.raises(ValueError, match=says):
        step(x=x, active=torch.ones(SLOTS, dtype=torch.bool))
    assert not state.total.any()


def test_other_inputs_are_refused() -> None:
    step, _, _ = graphed(Tape())
    with pytest.raises(ValueError, match="adding was captured for x, active; got x"):
        step(x=torch.zeros(SLOTS, 2))


def test_shapes_are_fixed_while_a_step_is_captured_and_no_longer() -> None:
    seen = []
    GraphedStep("looking", lambda: seen.append(shapes_are_fixed()), {}, Eager())
    assert seen == [True]
    assert not shapes_are_fixed()


def test_graphs_are_of_the_device() -> None:
    assert isinstance(graphs_of("cpu"), Eager)
    with without_graphs():
        assert isinstance(graphs_of("cuda"), Eager)


@torch.inference_mode()
def test_the_motion_of_portrait_replays() -> None:
    """A real step: a cache, a diffusion head, noise by counters, a voice that is cut off."""
    motion = load_motion()
    features = motion.features()
    sides = [(features.init_state(SLOTS), motion.init_state(SLOTS)) for _ in range(2)]
    speech, controls = torch.ones(SLOTS, dtype=torch.bool), torch.ones(SLOTS, 5)
    every = torch.ones(SLOTS, dtype=torch.bool)

    def step(side: int, hops: Tensor, active: Tensor, clear: Tensor) -> Tensor:
        heard, state = sides[side]
        heard.clear(clear)
        state.clear(clear)
        rows = features.step(hops, heard, active)
        return motion.step(rows, speech, controls, state, active)

    inputs = {"hops": torch.zeros(SLOTS, HOP_SAMPLES), "active": every, "clear": ~every}
    own = {name: value.clone() for name, value in inputs.items()}
    replayed = GraphedStep(
        "motion",
        lambda **given: step(1, **given),
        own,
        Tape(),
    )
    for part in sides[1]:
        part.reset(every)
    chance = torch.Generator().manual_seed(0)
    for n in range(12):
        given = {
            "hops": 0.1 * torch.randn(SLOTS, HOP_SAMPLES, generator=chance),
            "active": torch.arange(SLOTS) != n % 4,
            "clear": torch.arange(SLOTS) == (1 if n == 8 else -1),
        }
        if n == 6:
            for heard, state in sides:
                heard.reset(torch.arange(SLOTS) == 2)
                state.reset(torch.arange(SLOTS) == 2)
        assert torch.equal(step(0, **given), replayed(**given))
    for ours, theirs in zip(*sides, strict=True):
        held = named_tensors(theirs)
        for name, value in named_tensors(ours).items():
            assert torch.equal(value, held[name]), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_replays() -> None:
    state, table = Summed(torch.zeros(SLOTS, 2).cuda()), torch.ones(SLOTS, 2).cuda()
    active = torch.ones(SLOTS, dtype=torch.bool).cuda()
    step = GraphedStep(
        "adding",
        lambda x: add(state, table, x, active),
        {"x": torch.zeros(SLOTS, 2).cuda()},
        CudaGraphs("cuda"),
    )
    state.reset(active)
    x = torch.rand(SLOTS, 2).cuda()
    assert torch.equal(step(x=x), x.flip(1))
    assert torch.equal(step(x=x), (2 * x).flip(1))
