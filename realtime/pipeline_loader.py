"""Which pipelines the engine has: warmed up at the start, loaded when a session names one."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from realtime.avatars.library import AvatarLibrary
from realtime.config import ServerConfig
from realtime.engine.client import Engine
from realtime.errors import EngineError, PipelineNotLoaded, VivavoceError

logger = logging.getLogger(__name__)


class PipelineLoader:
    """Brings pipelines to where sessions can use them."""

    def __init__(self, config: ServerConfig, engine: Engine, avatars: AvatarLibrary) -> None:
        self._config = config
        self._engine = engine
        self._avatars = avatars
        self._loading: dict[str, asyncio.Task[None]] = {}  # on demand, by name

    async def warm_up(self, pipeline: str) -> None:
        """Have a loaded pipeline pay for its first calls, and learn what it costs here."""
        if (backend := self._engine.health().backends.get(pipeline)) is not None:
            logger.info("the pipeline %s is computed by %s", pipeline, backend)
        try:
            key = await self._avatars.prepare(self._avatars.default(pipeline), pipeline)
            size, frame = self._config.size_of(pipeline), self._config.frame_of(pipeline)
            await self._engine.warm_up(pipeline, key, size, frame)
        except (VivavoceError, ValueError) as error:
            logger.warning("the pipeline %s starts cold: %s", pipeline, error)

    async def check(self, name: str) -> None:
        """Raise where the engine, though it is up, has not built this pipeline; loading it begins
        where that is allowed.

        Raises:
            PipelineNotLoaded, EngineError.
        """
        health = self._engine.health()
        state = health.pipelines.get(name)
        if health.state != "ready" or state == "ready":
            return  # the engine itself says what it is up to
        if state is not None and state != "loading":
            raise EngineError(f"the pipeline {name!r} cannot be used: {state}")
        if state is None:
            self._load(name)
        raise PipelineNotLoaded(f"the pipeline {name!r} is being loaded; try again in a moment")

    def _load(self, name: str) -> None:
        """Begin to load a pipeline, if that is allowed."""
        if name in self._loading:
            return
        if not self._config.load_on_demand:
            loaded = ", ".join(self._config.loaded)
            raise PipelineNotLoaded(
                f"the pipeline {name!r} is not loaded on this server, which runs {loaded}", None
            )
        free = available_bytes()
        if free < self._config.load_memory_bytes:
            raise PipelineNotLoaded(
                f"the pipeline {name!r} is not loaded, and the {free >> 20} MiB of memory that are "
                "free may not suffice for it",
                None,
            )
        task = asyncio.create_task(self._load_now(name))
        self._loading[name] = task
        task.add_done_callback(lambda task: self._loading.pop(name, None))

    async def _load_now(self, name: str) -> None:
        try:
            await self._engine.load(name, self._config.options_of(name))
        except (VivavoceError, ValueError) as error:
            logger.error("the pipeline %s cannot be loaded: %s", name, error)
            return
        await self.warm_up(name)

    async def close(self) -> None:
        """End what is being loaded."""
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)


def available_bytes() -> int:
    """Memory that new work may take on this machine without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise RuntimeError("/proc/meminfo does not say how much memory is available")
