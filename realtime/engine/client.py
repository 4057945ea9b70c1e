"""The engine as a media process sees it: streams to open, an inference process kept alive.

    engine = Engine(EngineConfig(pipelines=(("portrait", options),), identities=folder))
    await engine.start()                      # EngineError if a pipeline cannot be built
    await engine.warm_up("portrait", key)     # costs are known from here on
    stream = await engine.open("portrait", key, (512, 512), seed=0, controls={})
    stream.on_frame = ...                     # see `realtime.engine.handle.StreamHandle`

The inference process is started by `start`, watched, and started anew when it ends, or when it
answers nothing any more; streams are told by `on_end`, and new ones can be opened as soon as
`state` is "ready" again. Further media processes reach the same inference process by
`Engine.attach(engine.address)`. Nothing here imports tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from realtime.clock import Clock, MonotonicClock
from realtime.engine.config import EngineConfig
from realtime.engine.handle import StreamHandle
from realtime.media import Size

State = Literal["starting", "ready", "restarting", "failed", "stopped"]


@dataclass(frozen=True)
class EngineAddress:
    """Where an inference process listens, for processes of the same user on this machine."""

    name: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Health:
    """How the engine is, as of its last answer. For `/health`, `/ready` and logs."""

    state: State
    reason: str
    """Why it is not ready, in words; empty when it is."""
    answered_s: float
    """Seconds since the inference process last answered; it is asked every second."""
    restarts: int
    device: str
    pipelines: dict[str, str]
    """By name: "loading", "ready", or what went wrong."""
    sessions: int
    """Streams open now, those of other media processes too."""
    rung: int
    """Of the degradation ladder; 0 is full quality."""
    costs: dict[str, float]
    """Measured, in milliseconds."""


class Engine:
    """See the module's docstring. Used from one event loop; is a `StreamOpener`.

    Args:
        config: of the inference process to start.
        clock: stamps frames.
        observe: told "wait" (hop handed in to step begun) and "step" with seconds, per frame.
    """

    def __init__(
        self,
        config: EngineConfig,
        clock: Clock | None = None,
        observe: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> None:
        self._clock = clock or MonotonicClock()

    @classmethod
    def attach(
        cls,
        address: EngineAddress,
        clock: Clock | None = None,
        observe: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> Engine:
        """An engine whose inference process another process owns, starts and restarts."""
        raise NotImplementedError

    @property
    def address(self) -> EngineAddress:
        """For `attach`; may be pickled. Stays the same over restarts."""
        raise NotImplementedError

    @property
    def state(self) -> State:
        """ "ready" takes streams; "failed" stays so: restarting it was given up."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start the inference process (or connect to it) and load the configured pipelines.

        Raises:
            EngineError: one cannot be built; the message says why. Nothing is left running.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """End it all and give everything back; open streams hear nothing more. Safe to repeat."""
        raise NotImplementedError

    async def load(self, pipeline: str, options: Any) -> None:
        """Build one more pipeline beside the running ones; again after every restart.

        Raises:
            EngineError: it cannot be built, or is loaded with other options.
        """
        raise NotImplementedError

    async def warm_up(self, pipeline: str, key: str) -> None:
        """Step `pipeline` on noise with the face `key` at each of its sizes: first calls are paid
        for, and admission knows the costs. Again after every restart.

        Raises:
            NotReady, EngineError: as `open`.
        """
        raise NotImplementedError

    async def open(
        self, pipeline: str, key: str, size: Size, seed: int, controls: Mapping[str, float]
    ) -> StreamHandle:
        """See `StreamOpener.open`."""
        raise NotImplementedError

    async def check(self, pipeline: str, size: Size) -> None:
        """Ask the inference process whether it would take one more stream now. A fresh answer.

        Raises:
            AtCapacity, NotReady, EngineError: as `open`; nothing is taken.
        """
        raise NotImplementedError

    def health(self) -> Health:
        """How the engine is, without asking anyone."""
        raise NotImplementedError

    def measured_encode(self, size: Size, seconds: float) -> None:
        """Tell admission how long encoding one picture of `size` took."""
        raise NotImplementedError
