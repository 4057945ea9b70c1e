"""A media process: sessions of its own on the front's engine, reached by a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from realtime.access.caller import caller
from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.cores import stay_on
from realtime.engine.client import Engine
from realtime.engine.supervisor import EngineAddress
from realtime.http.errors import add_error_handlers
from realtime.http.prefix import Prefix
from realtime.http.routes import SESSION_ROUTES
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.logs import configure
from realtime.media_processes.avatars import SharedAvatars
from realtime.media_processes.line import Line
from realtime.media_processes.said_caller import ActingAsSaid
from realtime.media_processes.totals import Family, families_of
from realtime.metrics import Metrics
from realtime.processes import die_with_parent, take_turns_early
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.session_request import SessionRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaSettings:
    """What a media process is started with."""

    config: ServerConfig
    engine: EngineAddress
    path: str
    """Of the Unix socket that it listens on."""


class SharedPipelines:
    """See `realtime.session_host.Pipelines`: what is not loaded is the front's to load."""

    def __init__(self, engine: Engine, line: Line) -> None:
        self._engine = engine
        self._line = line

    async def check(self, name: str) -> None:
        """Raise where the engine, though it is up, has not built this pipeline.

        Raises:
            VivavoceError: it has not; the message says whether it is being loaded.
        """
        if self._engine.health().pipelines.get(name) != "ready":
            await self._line.call("check_pipeline", name)


class MediaHost(SessionHost):
    """The sessions of a media process. The front is told of each before its client is."""

    def __init__(self, settings: MediaSettings) -> None:
        metrics, clock, config = Metrics(), MonotonicClock(), settings.config

        def observe(stage: str, seconds: float) -> None:
            metrics.stage_ms.labels(stage).observe(seconds * 1000)

        self.line = Line(
            {
                "pulse": lambda: self.engine.state,
                "families": self._families,
                "announce_end": self.announce_end,
                "end_sessions": self.end_sessions,
                "exit": self._exit,
            }
        )
        engine = Engine.attach(settings.engine, clock, observe)
        super().__init__(
            config,
            engine,
            SharedAvatars(config, self._ensure),
            SharedPipelines(engine, self.line),
            metrics,
            clock,
            config.encoder_niceness,
        )
        self.over = asyncio.Event()
        """The front wants it to end."""

    async def start(self) -> None:
        """Reach the engine, which is warm.

        Raises:
            EngineError: it cannot be reached.
        """
        await self.engine.start()
        gc.collect()
        gc.freeze()  # as the server does
        self._state = "open"
        await self.line.call("ready")

    async def stop(self) -> None:
        """End what is left."""
        await self.end_sessions()
        await self.engine.stop()
        self.stop_encoding()

    async def open_session(self, request: SessionRequest) -> Session:
        """See `SessionHost.open_session`."""
        session = await super().open_session(request)
        try:
            if not session.closing:
                await self.line.call("opened", session.id, caller().owner)
        except BaseException:
            await session.close("failed")
            raise
        return session

    def _forget(self, session: Session) -> None:
        super()._forget(session)
        self.line.tell("closed", session.id)

    async def _ensure(self, avatar_id: str, pipeline: str) -> str:
        key: str = await self.line.call("ensure", avatar_id, pipeline, timeout_s=None)
        return key

    def _families(self) -> list[Family]:
        return families_of(self.metrics.registry)

    def _exit(self) -> None:
        self.over.set()


def run_media_process(settings: MediaSettings, line: socket.socket, parent: int) -> None:
    """The process's main function: serve until the front ends it, or has ended."""
    die_with_parent(parent)
    stay_on(settings.config.media_cores)
    take_turns_early()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the front ends us, not the terminal
    configure(settings.config.log_json)
    host = MediaHost(settings)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(settings.path)
        listener.listen(128)
        config = uvicorn.Config(
            create_media_app(host, line),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            date_header=False,  # the front's own
            server_header=False,
            timeout_graceful_shutdown=5,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=None,  # the front pings clients
        )
        _Server(config, host).run(sockets=[listener])
    # Threads that encode or wait for a disk do not hold it up.
    os._exit(0)


class _Server(uvicorn.Server):
    """Ends when the front says so, and by no signal."""

    def __init__(self, config: uvicorn.Config, host: MediaHost) -> None:
        super().__init__(config)
        self._host = host

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        return self._host.over.is_set() or await super().on_tick(counter)


def create_media_app(host: MediaHost, sock: socket.socket) -> FastAPI:
    """The calls about sessions. Access was decided by the front, which says who asks."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await host.line.open(sock)
        hearing = asyncio.create_task(host.line.run())
        starting = asyncio.create_task(host.start())
        starting.add_done_callback(_look_at)
        yield
        await host.stop()
        for task in (starting, hearing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _look_at(starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and (error := starting.exception()) is not None:
            logger.critical("the media process cannot start: %s", error)
            host.over.set()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(ActingAsSaid)
    app.add_middleware(Prefix, prefix=host.config.prefix)
    add_error_handlers(app)
    for routes in SESSION_ROUTES:
        app.include_router(routes(host))
    return app
