"""Help for tests of the engine: a system that echoes, faces for it, sound for it, patience."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipelines.identity import IdentityFeatures, IdentityStore
from realtime.engine.client import Engine
from realtime.engine.config import EngineConfig
from realtime.engine.handle import StreamRequest
from realtime.media import HOP_SAMPLES, Frame, Hop, Size

sys.path.insert(0, str(Path(__file__).parent / "echo"))  # found by entry point, as if installed

from vivavoce_echo import EchoOptions

LARGE: Size = (256, 144)
MEDIUM: Size = (128, 72)
PATIENCE_S = 120.0
"""For anything to happen, on a machine with every core busy."""


def face(folder: Path, tone: int) -> str:
    """Store a face for the echo system; returns its key."""
    key = f"{tone:064x}"
    IdentityStore(folder).save(IdentityFeatures(key, {"tone": np.array(tone)}, {}))
    return key


def hop(n: int, level: float = 0.5, *, speech: bool = False) -> Hop:
    """Hop number n of one level; it arrived at the time n."""
    samples = np.full(HOP_SAMPLES, level, np.float32)
    return Hop(n * HOP_SAMPLES, samples, np.zeros(1920, np.int16), speech, float(n))


def colours(frame: av.VideoFrame | None) -> tuple[int, int, int]:
    """Luma (the level heard), chroma (the face's tone, the seed); each must be even all over."""
    assert frame is not None
    values = []
    for plane in frame.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        area = lines[: plane.height, : plane.width]
        assert (area == area[0, 0]).all()
        values.append(int(area[0, 0]))
    return values[0], values[1], values[2]


def luma(level: float) -> int:
    """What `colours` says of a level."""
    return round(float(np.float32(level)) * 255)


async def until(condition: Callable[[], Any]) -> None:
    """Return when `condition` holds; fail where it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    folder: Path, options: EchoOptions | None = None, **settings: Any
) -> AsyncIterator[Engine]:
    """A started engine with the echo system, stopped at the end. Admits as many as it has slots."""
    chosen = {"load_share": 1e6, "slots": 4, "max_sessions": 100} | settings
    pipelines = chosen.pop("pipelines", (("echo", options or EchoOptions()),))
    engine = Engine(EngineConfig(pipelines=pipelines, identities=folder, **chosen))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


class Speaker:
    """A stream that speaks, one hop at a time, and keeps what comes back."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.frames: list[Frame] = []
        self.ends: list[str] = []
        self.spoken = 0
        stream.on_frame = self.frames.append
        stream.on_end = self.ends.append

    @classmethod
    async def open(cls, engine: Any, key: str, size: Size = LARGE, seed: int = 0) -> Speaker:
        """Open a stream of the echo system."""
        return cls(await engine.open(StreamRequest("echo", key, size, seed=seed)))

    def send(self, level: float = 0.5, *, speech: bool = False) -> None:
        """Hand in the next hop."""
        self.stream.submit(hop(self.spoken, level, speech=speech))
        self.spoken += 1

    async def say(self, *levels: float) -> list[Frame]:
        """Hand in hops, each after the frame of the one before has come; what came for them."""
        before = len(self.frames)
        for level in levels:
            self.send(level)
            due = max(0, self.spoken - self.stream.look_ahead // HOP_SAMPLES)
            if due:
                await until(lambda due=due: self.ends or self._has(due - 1))
        return self.frames[before:]

    def _has(self, number: int) -> bool:
        return bool(self.frames) and self.last == number

    @property
    def last(self) -> int:
        """Number of the last frame that came."""
        return self.frames[-1].start // HOP_SAMPLES
