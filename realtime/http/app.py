"""The web application: routes, errors, the web client. No media logic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pipelines.registry import find_system
from realtime.access.gate import Gate
from realtime.avatars.retention import forget_old_uploads
from realtime.config import ServerConfig
from realtime.errors import VivavoceError
from realtime.http.access import Access
from realtime.http.avatars import avatar_routes
from realtime.http.errors import add_error_handlers
from realtime.http.guard import LOCAL_PAGES, Guard
from realtime.http.operations import operation_routes
from realtime.http.prefix import Prefix
from realtime.http.routes import SESSION_ROUTES
from realtime.http.seats_first import SeatsFirst
from realtime.http.tokens import token_routes
from realtime.media_processes.handover import Handover
from realtime.server import Server
from realtime.tasks import log_failure

logger = logging.getLogger(__name__)

FORM_BYTES = 64 * 1024  # of a multipart form, besides its files


class WebClient(StaticFiles):
    """The page's files, with what a browser should refuse on its behalf."""

    HEADERS: ClassVar = {
        "Content-Security-Policy": (
            "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
            "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; object-src 'none'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        ),
        "Permissions-Policy": "microphone=(self), fullscreen=(self)",
        "Cache-Control": "no-cache",  # files change with the server; they are small
    }

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As the base class, plus `HEADERS`."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(self.HEADERS)
        return response


def web_client_dir() -> Path:
    """The web client's files: in an installed package or in a checkout."""
    here = Path(__file__).parents[1]
    installed = here / "_web_client"
    return installed if installed.is_dir() else here.parent / "web_client"


def create_app(config: ServerConfig, server: Server | None = None) -> FastAPI:
    """The application. Its lifespan starts and stops the `Server` (engine, avatars, sessions),
    and requests are answered while that starts."""
    held = server or Server(config)
    gate = Gate(config, held.clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(held.start())
        starting.add_done_callback(_look_at)
        chores = [gate.keep_books(), held.end_lapsed(gate.holds)]
        if config.retention_days:
            chores.append(forget_old_uploads(held.avatars, held.clock))
        tasks = [starting, *map(asyncio.create_task, chores)]
        for task in tasks[1:]:
            task.add_done_callback(log_failure)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await held.stop()

    app = FastAPI(
        title="vivavoce",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,  # it loads scripts of others into the page's own origin
        lifespan=lifespan,
    )
    app.state.gate = gate
    _add_middleware(app, config, gate, held)
    add_error_handlers(app)
    app.include_router(token_routes(held, gate))
    for routes in SESSION_ROUTES:
        app.include_router(routes(held))
    app.include_router(avatar_routes(held))
    app.include_router(operation_routes(held))
    app.mount("/", WebClient(directory=web_client_dir(), html=True))
    return app


def _add_middleware(app: FastAPI, config: ServerConfig, gate: Gate, server: Server) -> None:
    """The last one added meets a request first."""
    if server.media is not None:
        app.add_middleware(Handover, media=server.media, check_seat=server.check_seat)
    app.add_middleware(SeatsFirst, check_seat=server.check_seat)
    app.add_middleware(Access, gate=gate, find_session=server.find_session)
    app.add_middleware(
        Guard,
        limit_bytes=lambda path: _body_limit(config, path),
        loopback=config.loopback,
        origins=config.origins,
        public_host=config.public_host,
        local_pages=not config.exposed,
    )
    if config.allowed_origins or not config.exposed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.allowed_origins,
            # A program of this machine can call anyway; so may the pages that one serves.
            allow_origin_regex=None if config.exposed else LOCAL_PAGES,
            allow_methods=("GET", "POST", "PATCH", "DELETE", "OPTIONS"),
            allow_headers=("Authorization", "Content-Type", "If-Match", "ETag"),
            expose_headers=("Location", "ETag", "Link", "Retry-After", "WWW-Authenticate"),
        )
    app.add_middleware(Prefix, prefix=config.prefix)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies))


def _look_at(starting: asyncio.Task[None]) -> None:
    """What stops a server from starting is in `Server.failure`, and `/health` says it."""
    if not starting.cancelled() and (error := starting.exception()) is not None:
        foreseen = isinstance(error, VivavoceError | ValueError)
        logger.critical("the server cannot start: %s", error, exc_info=None if foreseen else error)


def _body_limit(config: ServerConfig, path: str) -> int:
    if path == "/v1/avatars":
        accepted = frozenset().union(*(find_system(name).accepts for name in config.loaded))
        photos = config.max_image_bytes * (2 if "source" in accepted else 1)
        return photos + ("video" in accepted) * config.max_video_bytes + FORM_BYTES
    if path in ("/v1/sessions", "/v1/realtime/calls", "/api/offer"):
        return 2 * config.max_sdp_bytes  # JSON escapes line ends
    if path.startswith(("/whip/", "/whep/")):
        return config.max_sdp_bytes
    return 16 * 1024
