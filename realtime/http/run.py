"""`vivavoce serve`: the HTTP server's life, from the bound port to the last drained session."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType

import uvicorn

from realtime.config import ServerConfig
from realtime.http.app import create_app
from realtime.http.connections import Connections, limits_here
from realtime.http.limited import limited
from realtime.http.limited_socket import LimitedSocket
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.logs import configure
from realtime.processes import take_turns_early
from realtime.server import Server

logger = logging.getLogger(__name__)

UNREAD_S = 60.0
"""A client that takes nothing of what is sent to it for so long has gone, though its connection is
open: the kernel ends that. Nothing else would: no close gets past what waits to be sent."""


class DrainingServer(uvicorn.Server):
    """Keeps answering while running sessions end: on the first SIGTERM or SIGINT no new session
    is taken (`/ready` says 503) and the running ones are told; on the second all is cut short.
    Ends by itself if the service cannot start."""

    def __init__(
        self, config: uvicorn.Config, service: Server, url: str, connections: Connections
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self.interrupted = False
        self._service = service
        self._url = url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if not self.should_exit:
            logger.info("open %s in a browser", self._url)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        if counter % 5 == 0:
            self._connections.look()
        return bool(self._service.failure) or await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; the second time, leave at once.

        uvicorn would raise the signal again at the end; here the exit status tells of it.
        """
        self.interrupted = self.interrupted or sig == signal.SIGINT
        if self._loop is None or self._drain is not None or not self._service.count:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True
            return
        logger.info(
            "%s: waiting up to %.0f s for %d session(s) to end",
            signal.Signals(sig).name,
            self._service.config.drain_timeout_s,
            self._service.count,
        )
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        await self._service.drain()
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A socket for clients, who are let go of after `UNREAD_S`.

    Raises:
        OSError: the port cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "is another server running? choose another --port"
        ) from error
    # Connections have it from the socket that accepts them.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_S * 1000))
    return listener


def serve(config: ServerConfig) -> None:
    """Serve until told to stop.

    Raises:
        OSError: the port cannot be bound.
        ValueError: the data folder is in use, or settings that do not fit this machine; or others
            can reach the server, and there is no key.
        RuntimeError: the server cannot start.
        KeyboardInterrupt: Ctrl-C, when everything has ended.
    """
    take_turns_early()  # or sound would wait for whatever computes beside us
    service = Server(config)
    app = create_app(config, service)
    app.state.gate.check()
    service.avatars.check_weights()
    configure(config.log_json)
    listener = listen(config.host, config.port)
    with listener:
        port = listener.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        url = f"http://{host}:{port}"
        service.avatars.claim(f"server at {url}", url)
        connections = Connections(limits_here(), service.clock.now, config.trusted_proxies)
        server = DrainingServer(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                http=limited(connections),
                ws=LimitedSocket,
                proxy_headers=False,  # the application knows which proxies to believe
                timeout_graceful_shutdown=5,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,  # sound does not compress
            ),
            service,
            url,
            connections,
        )
        server.run(sockets=[listener])
    if service.failure or not server.started:
        raise RuntimeError(service.failure or "the server could not start")
    if server.interrupted:
        raise KeyboardInterrupt
