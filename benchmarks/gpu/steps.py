"""Whole steps of a pipeline over many faces: sound in, planes out, as an engine takes them."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.card import wall_ms
from benchmarks.gpu.faces import fill, read
from benchmarks.gpu.pipelines import PIPELINES, renderer_of
from benchmarks.timing import quantiles
from pipelines.batch import Batch, frame_bytes
from pipelines.composed_batched import BatchedPipeline
from pipelines.graph import Eager, Graphs
from pipelines.pipeline import FPS, HOP_SAMPLES, SAMPLE_RATE_HZ, Size
from pipelines.tape import Tape

FRAME_MS = 1000.0 / FPS


def sound(slots: int, hops: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Voices, each of its own pitch, speaking and pausing: float32 [hops, slots, 640]."""
    chance = np.random.default_rng(0)
    t = np.arange(hops * HOP_SAMPLES) / SAMPLE_RATE_HZ
    pitch = 90.0 + 130.0 * chance.random((slots, 1))
    tones = sum(np.sin(2.0 * math.pi * pitch * k * t) / k for k in range(1, 9))
    loud = np.clip(np.sin(2.0 * math.pi * (0.7 * t + chance.random((slots, 1)))), 0.0, 1.0)
    voices = 0.1 * loud * tones + 0.002 * chance.standard_normal((slots, len(t)))
    return voices.astype(np.float32).reshape(slots, hops, HOP_SAMPLES).transpose(1, 0, 2)


class Talking:
    """A pipeline of `slots` faces that all talk.

    faces: as `benchmarks.gpu.bake` wrote them. graphs: None are those of the device.
    """

    def __init__(
        self, name: str, faces: Path, slots: int, sizes: tuple[Size, ...], device: torch.device,
        graphs: Graphs | None = None,
    ) -> None:  # fmt: skip
        gc.collect()  # what others held goes now, and not in the middle of a capture
        self.device = device
        baked = read(faces, name)
        renderer = renderer_of(name, slots, baked.sizes, device)
        with torch.inference_mode():
            self.bytes_per_face = fill(renderer, baked)
        motion = PIPELINES[name].motion()
        self.pipeline = BatchedPipeline(slots, sizes, motion, renderer, device, graphs=graphs)
        batches = (Batch.of(slots, sizes, self.pipeline.motion_dim) for _ in range(2))
        self._batches = itertools.cycle(batches)
        self.batch = next(self._batches)
        self._sound, self._hop = sound(slots, 2 * FPS), 0

    def reset(self) -> None:
        """All slots from the beginning, each by a seed of its own."""
        for slot in range(self.pipeline.slots):
            self.pipeline.reset(slot, slot)
        self._hop = 0

    def begin(self, drawn: int, size: Size) -> Callable[[], None]:
        """The first `drawn` slots hear a hop and are drawn; see `StepsAhead.begin`."""
        self.batch = batch = next(self._batches)
        heard = self._sound[self._hop % len(self._sound)]
        self._hop += 1
        batch.hops[:] = heard
        batch.speech[:] = np.abs(heard).max(1) > 0.02
        batch.active[:drawn], batch.active[drawn:] = True, False
        batch.draw[:] = batch.active
        batch.size[:] = size
        return self.pipeline.begin(batch)

    def pictures(self, drawn: int, size: Size) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Planes of a step, [drawn, bytes]."""
        self.begin(drawn, size)()
        return self.batch.planes[:drawn, : frame_bytes(size)].copy()


def step_times(talking: Talking, drawn: int, size: Size, times: int, limit_s: float) -> Any:
    """What a step takes, milliseconds from handing in sound to pictures in the host's memory; what
    it takes where each begins while the one before leaves; and what crosses the bus."""
    found = wall_ms(lambda: talking.begin(drawn, size)(), times, talking.device, limit_s)
    figure = quantiles(found, digits=3)
    assert figure is not None
    return figure | {
        "in_time": figure["p99"] < FRAME_MS,
        "overlapped": round(_overlapped_ms(talking, drawn, size, len(found)), 3),
        "bus_bytes_in": talking.batch.memory[talking.batch.parts[0]].nbytes,
        "bus_bytes_out": drawn * frame_bytes(size)
        + talking.batch.memory[talking.batch.parts[1]].nbytes,
        "mb_per_face": round(talking.bytes_per_face / 1e6, 1),
    }


def _overlapped_ms(talking: Talking, drawn: int, size: Size, times: int) -> float:
    """The mean, one after another without a break."""
    arrived = talking.begin(drawn, size)
    begin = time.perf_counter()
    for _ in range(times):
        following = talking.begin(drawn, size)
        arrived()
        arrived = following
    arrived()
    return 1e3 * (time.perf_counter() - begin) / times


def graph_against_eager(
    name: str, faces: Path, slots: int, size: Size, device: torch.device, steps: int
) -> dict[str, int]:
    """How far pictures of graphs are from those of the same pipeline without them, in grey levels,
    and again after both were reset in the middle. On a CPU a tape stands for graphs."""
    captured = Tape() if device.type == "cpu" else None
    pair = [Talking(name, faces, slots, (size,), device, each) for each in (captured, Eager())]
    found = {}
    for when in ("fresh", "after a reset"):
        for talking in pair:
            talking.reset()
        apart = 0
        for _ in range(steps):
            graphed, eager = (talking.pictures(slots, size) for talking in pair)
            apart = max(apart, int(np.abs(graphed.astype(np.int16) - eager).max()))
        found[when] = apart
    return found


def idle_slots_stay(talking: Talking, size: Size) -> dict[str, int]:
    """How far a slot's pictures differ, drawn alone and drawn among all: grey levels."""
    slots = talking.pipeline.slots
    talking.reset()
    alone = [talking.pictures(1, size)[0] for _ in range(3)]
    talking.reset()
    among = [talking.pictures(slots, size)[0] for _ in range(3)]
    apart = [np.abs(a.astype(np.int16) - b).max() for a, b in zip(alone, among, strict=True)]
    return {"largest": int(max(apart))}
