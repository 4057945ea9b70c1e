"""Health, metrics and what a client asks before it begins."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from realtime.server import Server


def operation_routes(server: Server) -> APIRouter:
    """The calls for operators, and those that describe the server."""
    routes = APIRouter()

    @routes.get("/v1/pipelines")
    async def pipelines() -> dict[str, Any]:
        return {"pipelines": server.describe_pipelines()}

    @routes.get("/v1/ice-servers")
    async def ice_servers() -> dict[str, Any]:
        return {"ice_servers": server.ice_servers()}

    @routes.get("/health")
    async def health() -> JSONResponse:
        alive, said = server.describe_health()
        return JSONResponse(said, 200 if alive else 503)

    @routes.get("/ready")
    async def ready() -> dict[str, str]:
        await server.check_ready()
        return {"status": "ready"}

    @routes.get("/metrics")
    async def metrics() -> PlainTextResponse:
        page = generate_latest(await server.read_metrics())
        return PlainTextResponse(page, media_type=CONTENT_TYPE_LATEST)

    return routes
