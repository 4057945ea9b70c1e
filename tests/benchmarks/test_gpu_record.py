"""A run on a card that is stopped, or dies of a kernel, goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import part as parts
from benchmarks.gpu.kernels import Call, Op
from benchmarks.gpu.part import in_processes, measure
from benchmarks.gpu.parts import Bench, each_of
from benchmarks.gpu.record import FAILED, Record
from kernels.bounds import Work

HERE = {"on": "a card"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "gpu.json"


def figures(**given: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is given, and how often it was asked for."""
    for name, value in given.items():
        yield name, value if callable(value) else lambda value=value: value


def broken() -> Any:
    raise RuntimeError("CUDA out of memory")


def test_what_was_measured_is_not_measured_again(path: Path) -> None:
    measure("steps", figures(one=1, two=2), Record(path, HERE, "a"), 60.0)
    asked: list[str] = []
    again = figures(one=lambda: asked.append("one"), three=lambda: asked.append("three") or 3)
    measure("steps", again, Record(path, HERE, "b"), 60.0)
    assert asked == ["three"]
    assert json.loads(path.read_text())["figures"]["steps"] == {"one": 1, "two": 2, "three": 3}


def test_another_card_begins_anew(path: Path) -> None:
    measure("steps", figures(one=1), Record(path, HERE, "a"), 60.0)
    assert not Record(path, {"on": "another"}, "b").has("steps", "one")
    assert Record(path, HERE, "b").has("steps", "one")


def test_what_failed_is_told_and_tried_again_in_another_run(path: Path) -> None:
    record = Record(path, HERE, "a")
    measure("steps", figures(one=broken, two=2), record, 60.0)
    found = json.loads(path.read_text())["figures"]["steps"]
    assert found["one"][FAILED] == "RuntimeError: CUDA out of memory"
    assert found["two"] == 2
    assert Record(path, HERE, "a").has("steps", "one")
    measure("steps", figures(one=1), Record(path, HERE, "b"), 60.0)
    assert json.loads(path.read_text())["figures"]["steps"]["one"] == 1


def test_what_there_was_no_time_for_is_named_until_it_is_had(path: Path) -> None:
    measure("steps", figures(one=1, two=2), Record(path, HERE, "a"), -1.0)
    assert json.loads(path.read_text())["left_out"] == ["steps: one", "steps: two"]
    measure("steps", figures(one=1), Record(path, HERE, "b"), 60.0)
    assert json.loads(path.read_text())["left_out"] == ["steps: two"]


PART = """
import os, sys, time
from pathlib import Path
from benchmarks.gpu.part import measure
from benchmarks.gpu.kernels import Call, Op
from benchmarks.gpu.parts import Bench, each_of
from benchmarks.gpu.record import Record
from kernels.bounds import Work

def die(): os.abort()
def hang(): time.sleep(600)
def poison(): raise RuntimeError("CUDA error: an illegal memory access was encountered")

work = {"one": lambda: 1, "two": {"dies": die, "hangs": hang, "poisons": poison}[sys.argv[2]]}
work["three"] = lambda: 3
measure("steps", iter(work.items()), Record(Path(sys.argv[1]), {"on": "a card"}, "a"), 60.0)
"""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("dies", "its process ended with -6"),
        ("poisons", "RuntimeError: CUDA error: an illegal memory access"),
        ("hangs", "still measured 0 s after the part's end"),
    ],
)
def test_a_fresh_process_goes_on_behind_what_killed_one(
    path: Path, fault: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "GRACE_S", 0.0)
    command = [sys.executable, "-c", PART, str(path), fault]
    if fault == "hangs":  # killed once its time is over; then there is none left in this run
        in_processes("steps", path, "a", 20.0, lambda left: command)
    else:
        in_processes("steps", path, "a", 600.0, lambda left: command)
    found = json.loads(path.read_text())["figures"]["steps"]
    assert found["one"] == 1
    assert found["two"][FAILED].startswith(why)
    assert ("three" in found) == (fault != "hangs")


def test_a_part_that_cannot_begin_is_told(path: Path) -> None:
    in_processes("steps", path, "a", 600.0, lambda left: [sys.executable, "-c", "import nothing"])
    [(name, found)] = json.loads(path.read_text())["figures"]["steps"].items()
    assert (name, found[FAILED]) == ("before any figure", "its process ended with 1")


def test_one_kernel_that_fails_costs_no_other_its_figure(tmp_path: Path) -> None:
    """But where the card answers no more, nothing after it is worth anything."""
    path = tmp_path / "gpu.json"
    record = Record(path, HERE, "a")
    bench = Bench(torch.device("cpu"), tmp_path, record)
    ops = [Op("kernels", name, lambda op, arguments: Work(1, 1)) for name in ("good", "bad")]
    calls = [Call(op, {}) for op in (*ops, ops[0])]

    def measured(call: Call, why: str = "too wide") -> int:
        if call.op.name == "bad":
            raise RuntimeError(why)
        return 7

    found = each_of(bench, calls, measured)
    assert found["0 good"] == found["2 good"] == 7
    assert found["1 bad"] == {"failed": "RuntimeError: too wide", "run": "a"}
    record.put("kernels", "right", found)
    assert record.has("kernels", "right")
    assert not Record(path, HERE, "b").has("kernels", "right")  # is tried again
    with pytest.raises(RuntimeError, match="CUDA error"):
        each_of(bench, calls, partial(measured, why="CUDA error: an illegal instruction"))
