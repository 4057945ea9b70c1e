"""What callers are told when a call fails."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from realtime.errors import VivavoceError
from realtime.http.bodies import first_problem
from realtime.http.guard import error_body, refusal


def add_error_handlers(app: FastAPI) -> None:
    """Every error is answered in the one shape, see `error_body`."""

    @app.exception_handler(VivavoceError)
    async def ours(request: Request, error: VivavoceError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse(error_body(code, message), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(error_body("bad_request", first_problem(error.errors())), 400)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return JSONResponse(error_body("bad_request", "the sender went away"), 400)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        message = "the server met an error that it did not foresee; its log says more"
        return JSONResponse(error_body("internal_error", message), 500)
