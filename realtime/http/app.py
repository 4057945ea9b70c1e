"""HTTP: offers, avatars, health, metrics and the web client. No media logic."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from pipelines.motion.controls import CONTROL_NAMES
from pipelines.presets import PRESETS, Preset
from realtime.config import ServerConfig
from realtime.errors import (
    AtCapacity,
    AvatarRejected,
    BadOffer,
    BadRequest,
    UnsupportedType,
    VivavoceError,
)
from realtime.http.guard import Guard, error_body
from realtime.server import Server, SessionRequest

logger = logging.getLogger(__name__)


class OfferBody(BaseModel):
    """`POST /v1/sessions` as JSON."""

    model_config = ConfigDict(extra="ignore")

    sdp: str = Field(min_length=1)
    type: Literal["offer"]
    avatar: str | None = Field(None, max_length=128)
    pipeline: str | None = Field(None, max_length=64)
    audio: Literal["microphone"] = "microphone"
    size: int | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)


class SessionPatch(BaseModel):
    """`PATCH /v1/sessions/{id}` as JSON."""

    model_config = ConfigDict(extra="forbid")

    avatar: str = Field(min_length=1, max_length=128)


class WebClient(StaticFiles):
    """The page's files, with what a browser should refuse on its behalf."""

    HEADERS: ClassVar = {
        "Content-Security-Policy": (
            "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
            "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; object-src 'none'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        ),
        "Permissions-Policy": "microphone=(self), fullscreen=(self)",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
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


def create_app(config: ServerConfig, service: Server | None = None) -> FastAPI:
    """The application. Its lifespan starts and stops the `Server` (engine, avatars, sessions)."""
    held = service or Server(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await held.start()
        yield
        await held.stop()

    app = FastAPI(
        title="vivavoce", openapi_url="/v1/openapi.json", docs_url=None, lifespan=lifespan
    )
    app.state.service = held
    app.add_middleware(
        Guard, limit_bytes=lambda path: _body_limit(config, path), loopback=config.loopback
    )
    _add_error_handlers(app)
    _add_sessions(app, held)
    _add_avatars(app, held)
    _add_operations(app, held)
    app.mount("/", WebClient(directory=web_client_dir(), html=True))
    return app


def _body_limit(config: ServerConfig, path: str) -> int:
    if path == "/v1/avatars":
        return config.max_image_bytes + 64 * 1024
    if path == "/v1/sessions":
        return 2 * config.max_sdp_bytes  # JSON escapes line ends
    return 16 * 1024


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(VivavoceError)
    async def ours(request: Request, error: VivavoceError) -> JSONResponse:
        headers = {}
        if isinstance(error, AtCapacity):
            headers["Retry-After"] = str(error.retry_after_s)
        return JSONResponse(error_body(error.code, str(error)), error.status, headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse(error_body(code, message), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(error_body("bad_request", _first_problem(error.errors())), 400)


def _first_problem(errors: Any) -> str:
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'body'}: {first['msg']}"


def _parse(kind: type[BaseModel], body: bytes) -> Any:
    try:
        return TypeAdapter(kind).validate_json(body)
    except ValidationError as error:
        raise BadRequest(_first_problem(error.errors(include_url=False))) from error


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _session_request(body: OfferBody, preset: Preset) -> SessionRequest:
    if body.pipeline is not None and body.pipeline not in PRESETS:
        raise BadRequest(f"unknown pipeline {body.pipeline!r}; known: {', '.join(PRESETS)}")
    if body.pipeline not in (None, preset.name):
        raise BadRequest(f"this server runs the pipeline {preset.name!r}, not {body.pipeline!r}")
    if body.size is not None and body.size not in preset.sizes:
        raise BadRequest(f"size must be one of {preset.sizes}, got {body.size}")
    return SessionRequest(body.sdp, body.avatar, body.size, body.seed)


def _add_sessions(app: FastAPI, service: Server) -> None:
    @app.post("/v1/sessions", status_code=201)
    async def create_session(request: Request) -> Response:
        kind = _content_type(request)
        raw = await request.body()
        if kind == "application/sdp":
            try:
                fields: dict[str, Any] = {"sdp": raw.decode(), "type": "offer"}
            except UnicodeDecodeError as error:
                raise BadOffer("the offer is not UTF-8 text") from error
            query = request.query_params
            fields |= {k: query[k] for k in ("avatar", "pipeline", "audio", "size") if k in query}
            try:
                body = OfferBody.model_validate(fields)
            except ValidationError as error:
                raise BadRequest(_first_problem(error.errors(include_url=False))) from error
        elif kind == "application/json":
            body = _parse(OfferBody, raw)
        else:
            raise UnsupportedType(
                f"send the offer as application/sdp or application/json, not {kind or 'untyped'}"
            )
        session = await service.open_session(_session_request(body, service.preset))
        headers = {"Location": f"/v1/sessions/{session.id}"}
        if kind == "application/sdp":
            return Response(session.answer_sdp, 201, headers=headers, media_type="application/sdp")
        answer = {
            "id": session.id,
            "sdp": session.answer_sdp,
            "type": "answer",
            "ice_servers": service.ice_servers(),
            "playout_delay_ms": session.playout_delay_ms,
        }
        return JSONResponse(answer, 201, headers)

    @app.get("/v1/sessions/{session_id}")
    async def get_session(session_id: str) -> dict[str, Any]:
        return service.session(session_id).describe()

    @app.patch("/v1/sessions/{session_id}")
    async def patch_session(session_id: str, request: Request) -> dict[str, Any]:
        session = service.session(session_id)
        kind = _content_type(request)
        if kind != "application/json":
            raise UnsupportedType(f"send the change as application/json, not {kind or 'untyped'}")
        patch: SessionPatch = _parse(SessionPatch, await request.body())
        await session.set_avatar(patch.avatar)
        return session.describe()

    @app.delete("/v1/sessions/{session_id}", status_code=204)
    async def delete_session(session_id: str) -> Response:
        await service.session(session_id).close("deleted")
        return Response(status_code=204)


def _add_avatars(app: FastAPI, service: Server) -> None:
    @app.get("/v1/avatars")
    async def list_avatars() -> dict[str, Any]:
        return {"avatars": [avatar.describe() for avatar in service.avatars.list()]}

    @app.post("/v1/avatars", status_code=201)
    async def create_avatar(request: Request) -> JSONResponse:
        if _content_type(request) != "multipart/form-data":
            raise UnsupportedType("send the photo as multipart/form-data: fields image and name")
        async with request.form(max_files=1, max_fields=4) as form:
            image, name = form.get("image"), form.get("name")
            if not isinstance(image, UploadFile):
                raise AvatarRejected("the form has no file field called image")
            if not isinstance(name, str) or not name.strip():
                name = Path(image.filename or "").stem[:60] or "My avatar"
            photo = await image.read()
        avatar = await service.avatars.create(name, photo)
        location = {"Location": f"/v1/avatars/{avatar.id}"}
        return JSONResponse(avatar.describe(), 201, location)

    @app.get("/v1/avatars/{avatar_id}")
    async def get_avatar(avatar_id: str) -> dict[str, Any]:
        return service.avatars.get(avatar_id).describe()

    @app.delete("/v1/avatars/{avatar_id}", status_code=204)
    async def delete_avatar(avatar_id: str) -> Response:
        await service.avatars.delete(service.avatars.get(avatar_id))
        return Response(status_code=204)

    @app.get("/v1/avatars/{avatar_id}/image")
    async def avatar_image(avatar_id: str) -> Response:
        picture = await service.avatars.picture(service.avatars.get(avatar_id))
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


def _add_operations(app: FastAPI, service: Server) -> None:
    @app.get("/v1/pipelines")
    async def pipelines() -> dict[str, Any]:
        controls = [{"name": n, "min": 0.0, "max": 2.0, "default": 1.0} for n in CONTROL_NAMES]
        preset = service.preset
        served = {"name": preset.name, "summary": preset.summary, "sizes": list(preset.sizes)}
        return {"pipelines": [served | {"controls": controls}]}

    @app.get("/v1/ice-servers")
    async def ice_servers() -> dict[str, Any]:
        return {"ice_servers": service.ice_servers()}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "sessions": len(service.sessions)} | service.engine_costs()

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        service.check_ready()
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(
            generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST
        )
