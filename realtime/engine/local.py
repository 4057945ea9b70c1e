"""An engine in this process: one pipeline, stepped inside `submit`, every frame drawn at full size.

For `vivavoce render` and for tests: no process, no queue, no clock, so what comes out depends on
what goes in alone. `open` is as the engine's own; frames come before `submit` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realtime.clock import Clock
from realtime.engine.config import DeviceWish
from realtime.engine.handle import StreamHandle
from realtime.media import Size


class LocalEngine:
    """A `StreamOpener` over one pipeline in this process.

    Args:
        pipeline: the system's name.
        options: instance of its `Options`.
        identities: folder of the `IdentityStore`.

    Raises:
        EngineError: the pipeline cannot be built.
    """

    def __init__(
        self,
        pipeline: str,
        options: Any,
        identities: Path,
        *,
        slots: int = 1,
        device: DeviceWish = "auto",
        clock: Clock | None = None,
    ) -> None:
        raise NotImplementedError

    async def open(
        self, pipeline: str, key: str, size: Size, seed: int, controls: Mapping[str, float]
    ) -> StreamHandle:
        """See `StreamOpener.open`."""
        raise NotImplementedError
