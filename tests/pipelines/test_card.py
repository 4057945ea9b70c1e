"""Threads that use a card while a library beside PyTorch captures a graph on it."""

from __future__ import annotations

import ctypes
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines import card, graph
from pipelines.exported import runner
from pipelines.graph import CudaGraphs, GraphedStep, capturing
from tests.support.cuda_calls import Runtime


@pytest.mark.parametrize(("status", "told"), [(0, False), (3, True)])
def test_a_thread_says_that_it_minds_its_own_captures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, told: bool
) -> None:
    modes = []

    def exchange(mode: Any) -> int:
        modes.append(mode._obj.value)
        return status

    driver = SimpleNamespace(cuThreadExchangeStreamCaptureMode=exchange)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    with caplog.at_level(logging.WARNING):
        card.set_up_thread()
    assert modes == [1]  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert bool(caplog.records) is told


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")
def test_where_there_is_no_driver_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        card.set_up_thread()
    assert "captures of other threads may disturb this one" in caplog.text


def test_onnx_runtime_captures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first run of each binding, in each thread: what it captured is the thread's. Those that
    follow replay, whoever captures meanwhile."""
    runtime = Runtime(monkeypatch)
    ran: list[tuple[int, bool]] = []

    def run(binding: object, turn: int) -> None:
        free = graph._CAPTURING.acquire(blocking=False)
        if free:
            graph._CAPTURING.release()
        ran.append((turn, free))

    session: Any = SimpleNamespace(run_with_iobinding=run)
    stream: Any = runtime.copies
    options: Any = [0, 1]
    in_stream = runner._InStream(stream, options)

    def four_steps() -> None:
        for turn in (0, 1, 0, 1):
            in_stream(session, None, turn)

    four_steps()
    assert ran == [(0, False), (1, False), (0, True), (1, True)]
    other = threading.Thread(target=four_steps)
    other.start()
    other.join()
    assert ran[4:] == ran[:4]


def test_no_two_graphs_are_captured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(monkeypatch)
    graphs = CudaGraphs("cuda")
    with capturing():
        other = threading.Thread(target=GraphedStep, args=("step", lambda: None, {}, graphs))
        other.start()
        other.join(0.2)
        assert other.is_alive()
        assert not any(line.startswith("capture") for line in runtime.log)
    other.join()
    assert "captured" in runtime.log
