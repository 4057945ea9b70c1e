"""An avatar system that paints what it was given, for tests of the engine.

The picture's luma tells the hop heard last, its chroma the face and the row's steps; the motion
says how many hops were heard, how often the row was cleared, and its one control.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.batch import Batch
from pipelines.pipeline import HOP_SAMPLES, Control, Size

LOUD = 0.9
"""A level from here on makes the step of its row fail."""


@dataclass(frozen=True)
class EchoOptions:
    """Ways to be slow or to fail."""

    build_s: float = 0.0
    draw_s: float = 0.0
    broken: str = ""
    """Why it cannot be built."""
    gate: Path | None = None
    """Steps wait while this file exists."""
    backends: tuple[tuple[str, float], ...] = ()
    """What can compute it, and in how many milliseconds it would say that it does."""


class EchoSystem:
    """See the module's docstring."""

    summary = "paints what it was given"
    sizes: tuple[Size, ...] = ((64, 36), (128, 72), (256, 144))
    controls = (Control("strength", "goes into the motion"),)
    motion_names = ("level", "heard", "cleared", "strength")
    accepts = frozenset({"photo"})
    keeps_video = True
    Options = EchoOptions

    def __init__(self, name: str) -> None:
        self.name = name

    def key(self, material: Any, options: Any) -> str:
        return str(material.digest())

    def enrol(self, material: Any, options: Any, progress: Any) -> Any:
        raise NotImplementedError

    def build(self, slots: int, options: EchoOptions, device: str) -> EchoPipeline:
        time.sleep(options.build_s)
        if options.broken:
            raise ValueError(options.broken)
        return (EchoByAny if options.backends else EchoPipeline)(slots, options)


class EchoPipeline:
    """See the module's docstring."""

    look_ahead = 2 * HOP_SAMPLES
    motion_dim = 4

    def __init__(self, slots: int, options: EchoOptions) -> None:
        self.slots = slots
        self._options = options
        self._tone = np.zeros(slots, np.uint8)
        self._seed = np.zeros(slots, np.uint8)
        self._heard = np.zeros(slots, int)
        self._cleared = np.zeros(slots, int)
        self._strength = np.ones(slots)

    def prepare(self, identity: Any, size: Size) -> None:
        assert size in SYSTEM.sizes

    def set_identity(self, slot: int, identity: Any, size: Size) -> None:
        self._tone[slot] = int(identity.arrays["tone"])

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        self._strength[slot] = values["strength"]

    def reset(self, slot: int, seed: int) -> None:
        self._seed[slot] = seed
        self._heard[slot] = self._cleared[slot] = 0
        self._strength[slot] = 1.0

    def still(self, slot: int, batch: Batch) -> None:
        self._paint(slot, batch, 0)

    def step(self, batch: Batch) -> None:
        while self._options.gate is not None and self._options.gate.exists():
            time.sleep(0.01)
        levels = batch.hops[:, 0]
        if (levels[batch.active] >= LOUD).any():
            raise RuntimeError("too loud")
        self._heard += batch.active
        self._cleared += batch.active & batch.clear
        for slot in np.flatnonzero(batch.active):
            batch.motion[slot] = (
                levels[slot],
                self._heard[slot],
                self._cleared[slot],
                self._strength[slot],
            )
            batch.behaviour[slot] = 2 if batch.speech[slot] else 0
        for slot in np.flatnonzero(batch.draw):
            time.sleep(self._options.draw_s)
            self._paint(int(slot), batch, min(255, round(abs(float(levels[slot])) * 255)))
            batch.drawn[slot] = True

    def _paint(self, slot: int, batch: Batch, luma: int) -> None:
        width, height = (int(n) for n in batch.size[slot])
        picture = batch.picture(slot)
        picture[:height] = luma
        picture[height : height + height // 4] = self._tone[slot]
        picture[height + height // 4 :] = self._seed[slot]
        assert picture.shape == (height * 3 // 2, width)


class EchoByAny(EchoPipeline):
    """One that has a choice of back ends."""

    def __init__(self, slots: int, options: EchoOptions) -> None:
        super().__init__(slots, options)
        self.backends = tuple(name for name, _ in options.backends)

    def use_backend(self, name: str) -> None:
        self.backends = (name,)

    def time_backends(self) -> dict[str, float]:
        return dict(self._options.backends)


SYSTEM = EchoSystem("echo")
SECOND = EchoSystem("echo2")
