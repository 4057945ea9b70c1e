"""A media process: sessions of its own on the front's engine, reached by a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from realtime.cores import stay_on
from realtime.http.errors import add_error_handlers
from realtime.http.limited_socket import LimitedSocket
from realtime.http.prefix import Prefix
from realtime.http.routes import SESSION_ROUTES
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.logs import configure
from realtime.media_processes.host import MediaHost, MediaSettings
from realtime.media_processes.said_caller import ActingAsSaid
from realtime.processes import die_with_parent, take_turns_early
from realtime.tasks import log_failure

logger = logging.getLogger(__name__)


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
            ws=LimitedSocket,  # what one client sent comes at once from the front, too
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
        hearing.add_done_callback(lambda hearing: host.over.set())  # the front has gone
        starting = asyncio.create_task(host.start())
        starting.add_done_callback(_look_at)
        looking = asyncio.create_task(host.end_lapsed())
        looking.add_done_callback(log_failure)
        yield
        await host.stop()
        for task in (looking, starting, hearing):
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
