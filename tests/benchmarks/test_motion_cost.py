"""What a hop of motion costs is asked of real processes, in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.motion import CHECKOUT, Rounds, Worker, measure, open_sides, ratio, table
from benchmarks.weights_by_path import named
from tests.support.said import sound, untrained


def test_a_ratio_is_that_of_rounds_taken_in_turn() -> None:
    slow = Rounds([[2.0, 2.0, 9.0], [40.0], [6.0]])  # the machine was busy in the second round
    fast = Rounds([[1.0], [20.0], [2.0]])
    assert ratio(slow, fast) == 2.0
    assert fast.figures()["p50"] == 2.0


def test_workers_answer_in_turn_and_those_that_cannot_run_are_left_out(tmp_path: Path) -> None:
    weights = untrained(tmp_path / "model.safetensors")
    heard = tmp_path / "sound.npy"
    np.save(heard, sound(1.0))
    with named(weights) as name:
        sides = open_sides(None, ("torch", "nothing"), heard, name)
        assert list(sides) == ["torch"]
        with sides["torch"]:
            found = measure(sides, (1, 3), rounds=2, hops=4)["torch"]
            memory = sides["torch"].memory
    assert [len(times) for times in found[3].rounds] == [4, 4]
    assert all(ms > 0.0 for held in found.values() for times in held.rounds for ms in times)
    assert 0.0 < memory["grown_mb"] < memory["resident_mb"]
    row = {str(n): held.figures() for n, held in found.items()} | memory
    line = table({"torch": row | {"most_over_least_slots": 1.5}}, (1, 3)).splitlines()[-1]
    assert line.startswith("| torch | ")


def test_a_worker_that_ended_says_so(tmp_path: Path) -> None:
    worker = Worker(CHECKOUT, "torch", tmp_path / "none.npy", "none")
    with worker, pytest.raises(RuntimeError, match="ended"):
        worker.step(1, 1)
