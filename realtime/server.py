"""The running server, without HTTP: one engine, the avatars, the open sessions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable
from typing import Any

from prometheus_client.registry import Collector

from realtime.access.caller import Caller
from realtime.avatars.library import AvatarLibrary
from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.descriptions import describe_engine, describe_pipelines, log_speed
from realtime.engine.client import Engine
from realtime.engine.config import EngineConfig
from realtime.errors import VivavoceError
from realtime.lapsed import LapsedAccess
from realtime.media_processes.front import MediaProcesses
from realtime.metrics import Metrics
from realtime.pipeline_loader import PipelineLoader
from realtime.session_host import SessionHost

logger = logging.getLogger(__name__)


class Server(SessionHost):
    """Owns what all sessions share. `start` before use, `stop` to end everything."""

    avatars: AvatarLibrary
    pipelines: PipelineLoader

    def __init__(self, config: ServerConfig) -> None:
        metrics, clock = Metrics(), MonotonicClock()

        def observe(stage: str, seconds: float) -> None:
            metrics.stage_ms.labels(stage).observe(seconds * 1000)

        avatars = AvatarLibrary(config, metrics)
        engine = Engine(
            EngineConfig(
                pipelines=tuple((name, config.options_of(name)) for name in config.loaded),
                identities=avatars.identities,
                slots=config.max_sessions,
                max_sessions=config.max_sessions,
                device=config.device,
                backend=config.backend,
                graphs=config.graphs,
                tf32=config.tf32,
                load_share=config.load_share,
                cache_bytes=config.identity_cache_bytes,
            ),
            clock,
            observe,
        )
        loader = PipelineLoader(config, engine, avatars)
        super().__init__(config, engine, avatars, loader, metrics, clock)
        self.media: MediaProcesses | None = None
        """Where sessions are; None: here."""
        if config.media_processes > 1:
            self.media = MediaProcesses(
                config, avatars, loader, metrics, clock, self._sessions_changed
            )
            self.seats = self.media.seats

    # Life

    async def start(self) -> None:
        """Warm up: the first session must not pay for first calls.

        Raises:
            EngineError: a pipeline cannot be built.
        """
        try:
            await self.avatars.resume()
            faces = asyncio.gather(*map(self._prepare_face, self.config.loaded))
            try:
                await self.engine.start()
                if self.media is not None:
                    await self.media.start(self.engine.address)
                await faces
            finally:
                faces.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await faces  # or asyncio would say that nobody looked
            for name in self.config.loaded:
                await self.pipelines.warm_up(name)
            self.avatars.prepare_cast()
        except Exception as error:  # or it would be starting for ever
            self.failure = str(error) or type(error).__name__
            raise
        # What is alive now stays: left out of collections, it makes them too short to be heard.
        gc.collect()
        gc.freeze()
        self._state = "open"
        log_speed(self.engine.health())

    async def _prepare_face(self, pipeline: str) -> None:
        """Of whoever says nothing else; beside the engine's start, which leaves a core free."""
        with contextlib.suppress(VivavoceError):  # warming up says what is wrong
            await self.avatars.prepare(self.avatars.default(pipeline), pipeline)

    async def stop(self) -> None:
        """End every session and everything else."""
        await self.end_sessions()
        if self.media is not None:
            await self.media.stop()
        await self.pipelines.close()
        await self.engine.stop()
        await self.avatars.close()
        self.stop_encoding()

    # How it is

    async def check_ready(self) -> None:
        """Raise unless one more session of the default kind would be taken now: the engine is
        asked, and answers.

        Raises:
            NotReady, Draining, AtCapacity, EngineError.
        """
        self.check_open()
        if self.media is not None:
            self.media.check()
        name = self.config.pipeline
        await self.engine.check(name, self.config.size_of(name), self.config.frame_of(name))

    def describe_health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the server is alive or will be so again by itself; and what there is to say."""
        health = self.engine.health()
        failed = bool(self.failure) or health.state == "failed"
        status = "failed" if failed else "ok"
        if not failed and (self._state != "open" or health.state != "ready"):
            status = health.state if self._state == "open" else self._state
        return not failed, {
            "status": status,
            "reason": self.failure or health.reason,
            "sessions": self.count,
            "cast_to_prepare": self.avatars.cast_to_prepare,
            **describe_engine(health, self.config),
            **({} if self.media is None else {"media_processes": self.media.describe()}),
        }

    def describe_pipelines(self) -> list[dict[str, Any]]:
        """What `GET /v1/pipelines` says."""
        return describe_pipelines(self.engine.health(), self.config)

    async def read_metrics(self) -> Collector:
        """All that was counted, here and in media processes, up to date."""
        health = self.engine.health()
        self.metrics.rung.set(health.rung)
        self.metrics.engine_restarts.set(health.restarts)
        return self.metrics.registry if self.media is None else await self.media.sums()

    async def end_lapsed(self, holds: Callable[[Caller], bool]) -> None:
        """End what runs by keys and tokens that hold no more, for ever; see `LapsedAccess`."""
        if self.media is not None:
            self.media.holds = holds
        await LapsedAccess(self._open, holds, self.clock).run()

    # Sessions in media processes

    @property
    def count(self) -> int:
        """Open sessions, whoever asks."""
        return super().count if self.media is None else len(self.media.sessions)

    def find_session(self, session_id: str) -> object:
        """Raise where there is no such session, here or in a media process.

        Raises:
            UnknownSession: there is none for whoever asks.
            SessionLost: it has ended with its media process.
        """
        if self.media is None:
            return self.session(session_id)
        return self.media.sessions.find(session_id)

    def announce_end(self) -> None:
        """See `SessionHost.announce_end`."""
        super().announce_end()
        if self.media is not None:
            self.media.announce_end()

    def _sessions_changed(self) -> None:
        if self.count:
            self.avatars.yield_to_sessions()
        else:
            self._has_emptied()
