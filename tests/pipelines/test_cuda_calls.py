"""What a GPU would be asked to do, and in which order: on a runtime that only writes it down."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from pipelines import transfer
from pipelines.batch import Batch
from pipelines.graph import CudaGraphs, GraphedStep
from pipelines.transfer import Drawn, OnDevice, Transfer
from tests.support.cuda_calls import Runtime

SLOTS, SIZES = 4, ((8, 4), (8, 8))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    made = Runtime(monkeypatch)
    monkeypatch.setattr(transfer, "stream_of", lambda device: made.copies)
    return made


def test_a_step_is_warmed_up_and_captured_aside_in_one_pool(runtime: Runtime) -> None:
    graphs, runs = CudaGraphs("cuda"), []

    def step(x: torch.Tensor) -> torch.Tensor:
        runtime.log.append("step")
        runs.append(x)
        return x

    held = torch.zeros(2)
    made = GraphedStep("stepping", step, {"x": held}, graphs)
    assert runtime.log == [
        "aside waits for compute", "in aside:", "step", "step", "step", "compute waits for aside",
        "capture in aside, pool", "step", "captured",
    ]  # fmt: skip
    runtime.log.clear()
    assert made(x=torch.ones(2)) is held
    assert runtime.log == ["replay"]
    assert held.tolist() == [1.0, 1.0]  # copied to where the graph reads


def test_all_steps_are_captured_in_one_stream(runtime: Runtime) -> None:
    """Of several none would have memory of another's, and PyTorch has but 32 for everybody."""
    graphs = CudaGraphs("cuda")
    for n in range(40):
        GraphedStep(f"step {n}", lambda: None, {}, graphs)
    assert runtime.streams == 1


def batch_of() -> Batch:
    return Batch.of(SLOTS, SIZES, 3)


def test_pictures_leave_in_a_stream_of_their_own(runtime: Runtime) -> None:
    here = OnDevice(SLOTS, 3, torch.device("cpu"))
    copies = Transfer(here)
    batches = batch_of(), batch_of()
    drawn = [Drawn(np.arange(2), torch.full((2, 96), 7, dtype=torch.uint8))]
    for batch in batches:
        copies.host(batch)
    assert runtime.log == [f"pin {batches[0].memory.size}", "the host waits for copies"] * 2
    runtime.log.clear()
    begun = [copies.take_out(batches[n % 2], drawn) for n in range(3)]
    assert runtime.log == [
        "event 1 in compute", "copies waits for compute", "in copies:", "event 2 in copies",
        "event 3 in compute", "copies waits for compute", "in copies:", "event 4 in copies",
        "compute waits for event 2",  # whose place is written anew
        "event 5 in compute", "copies waits for compute", "in copies:", "event 6 in copies",
    ]  # fmt: skip
    runtime.log.clear()
    begun[1].computed()
    begun[1].arrived()
    assert runtime.log == ["the host waits for event 3", "the host waits for event 4"]


@pytest.mark.parametrize("pins", [0, 1])
def test_memory_is_unpinned_before_it_is_freed(monkeypatch: pytest.MonkeyPatch, pins: int) -> None:
    """And after what is still on its way to it. What was not pinned is not unpinned."""
    runtime = Runtime(monkeypatch, pins=pins)
    monkeypatch.setattr(transfer, "stream_of", lambda device: runtime.copies)
    copies, batch = Transfer(OnDevice(SLOTS, 3, torch.device("cpu"))), batch_of()
    weakref.finalize(batch.hops.base, runtime.log.append, "freed")
    copies.host(batch)
    del batch
    runtime.log.clear()
    gc.collect()
    assert not runtime.log
    del copies
    gc.collect()
    assert runtime.log == ["the host waits for copies", *["unpin"] * (pins == 0), "freed"]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [0, 2, 3], [3], [1, 3]])
@pytest.mark.parametrize("size", SIZES)
def test_rows_are_copied_to_where_they_belong(rows: list[int], size: tuple[int, int]) -> None:
    """Those that fill their rows in runs, others one by one."""
    here, batch = OnDevice(SLOTS, 3, torch.device("cpu")), batch_of()
    count = size[0] * size[1] * 3 // 2
    planes = torch.arange(1, len(rows) + 3, dtype=torch.uint8)[:, None].repeat(1, count)
    Transfer(here).take_out(batch, [Drawn(np.array(rows), planes)]).arrived()
    expected = np.zeros((SLOTS, batch.planes.shape[1]), np.uint8)
    expected[rows, :count] = np.arange(1, len(rows) + 1)[:, None]
    assert np.array_equal(batch.planes, expected)


def test_memory_that_cannot_be_pinned_is_told_and_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(monkeypatch, pins=1)
    monkeypatch.setattr(transfer, "stream_of", lambda device: runtime.copies)
    here, batch = OnDevice(SLOTS, 3, torch.device("cpu")), batch_of()
    copies = Transfer(here)
    batch.hops[:] = 0.5
    copies.bring_in(batch)
    assert "could not be pinned (error 1)" in caplog.text
    assert bool((here.tensors["hops"] == 0.5).all())
