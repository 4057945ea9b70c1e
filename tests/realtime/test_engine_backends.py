"""What computes a pipeline: measured where streams are served, by rule where clips are rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime.engine.backends import BackendInUse
from realtime.engine.local import LocalEngine
from realtime.errors import EngineError
from tests.support.engines import EchoOptions, running

BOTH = EchoOptions(backends=(("onnxruntime", 3.0), ("torch", 1.25)))
ONE = EchoOptions(backends=(("torch", 1.25),))


async def in_use(folder: Path, options: EchoOptions, **settings: Any) -> dict[str, BackendInUse]:
    async with running(folder, options, **settings) as engine:
        return engine.health().backends


async def test_streams_get_the_faster_one_and_both_times_are_told(tmp_path: Path) -> None:
    found = (await in_use(tmp_path, BOTH))["echo"]
    assert found.describe() == {"name": "torch", "torch_ms": 1.25, "onnxruntime_ms": 3.0}
    assert str(found) == "torch (a hop takes onnxruntime 3.00 ms, torch 1.25 ms)"


async def test_a_wish_is_followed_without_measuring(tmp_path: Path) -> None:
    found = (await in_use(tmp_path, BOTH, backend="onnxruntime"))["echo"]
    assert found.describe() == {"name": "onnxruntime"}
    assert str(found) == "onnxruntime"


async def test_where_there_is_one_nothing_is_measured(tmp_path: Path) -> None:
    assert await in_use(tmp_path, ONE) == {"echo": BackendInUse("torch", {})}
    assert await in_use(tmp_path, EchoOptions()) == {}


async def test_a_wish_that_cannot_be_fulfilled_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="computed by onnxruntime here, only by torch"):
        await in_use(tmp_path, ONE, backend="onnxruntime")
    assert await in_use(tmp_path, EchoOptions(), backend="onnxruntime") == {}, "it has no choice"


def test_clips_are_computed_by_the_first_whatever_is_faster(tmp_path: Path) -> None:
    def computed(wish: Any, options: EchoOptions = BOTH) -> BackendInUse | None:
        return LocalEngine("echo", options, tmp_path, backend=wish).backend

    assert computed("auto") == BackendInUse("onnxruntime", {})
    assert computed("torch") == BackendInUse("torch", {})
    assert computed("auto", EchoOptions()) is None
    with pytest.raises(EngineError, match="`vivavoce export` makes what is missing"):
        computed("onnxruntime", ONE)


def test_it_lets_go_of_what_it_does_not_use(tmp_path: Path) -> None:
    engine: Any = LocalEngine("echo", BOTH, tmp_path)
    assert engine.pipeline.backends == ("onnxruntime",)
