"""`/v1/avatars`: the cast, uploads and how far their enrolment is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile

from pipelines.photo.framing import find_frame
from pipelines.registry import find_system
from realtime.avatars.records import Avatar
from realtime.avatars.uploads import Upload
from realtime.errors import AvatarRejected, BadRequest, PipelineNotLoaded, UnsupportedType
from realtime.http.bodies import content_type
from realtime.http.cached import cached
from realtime.server import Server
from realtime.storage import storing


def avatar_routes(server: Server) -> APIRouter:
    """The calls that list, make, inspect and delete avatars."""
    routes = APIRouter(prefix="/v1/avatars")
    library = server.avatars

    @routes.get("")
    async def list_avatars() -> dict[str, Any]:
        return {"avatars": [library.describe(avatar) for avatar in library.list()]}

    @routes.post("", status_code=201)
    async def create_avatar(request: Request) -> JSONResponse:
        server.check_open()
        if content_type(request) != "multipart/form-data":
            raise UnsupportedType(
                "send multipart/form-data: image or video, name; if wanted pipeline, swap, consent"
            )
        with storing(), ExitStack() as stack:  # what is sent is kept on disk meanwhile
            form = await request.form(max_files=3, max_fields=6)
            stack.callback(_close, form)
            upload = _read(form, server)
            avatar = await library.create(upload, wait_s=server.config.enrol_wait_s)
        status = 201 if library.state(avatar) == "ready" else 202
        location = {"Location": f"/v1/avatars/{avatar.id}"}
        return JSONResponse(library.describe(avatar), status, location)

    @routes.get("/{avatar_id}")
    async def get_avatar(avatar_id: str) -> dict[str, Any]:
        return library.describe(library.get(avatar_id))

    @routes.delete("/{avatar_id}", status_code=204)
    async def delete_avatar(avatar_id: str) -> Response:
        await library.delete(library.get(avatar_id))
        return Response(status_code=204)

    @routes.get("/{avatar_id}/image")
    async def avatar_image(avatar_id: str, request: Request) -> Response:
        return cached(request, await library.picture(library.get(avatar_id)), "image/jpeg")

    @routes.get("/{avatar_id}/preview")
    async def avatar_preview(avatar_id: str, request: Request, pipeline: str = "") -> Response:
        avatar = library.get(avatar_id)
        chosen = _pipeline(pipeline, avatar, server)
        return cached(request, await library.preview(avatar, chosen), "image/webp")

    @routes.get("/{avatar_id}/still")
    async def avatar_still(
        avatar_id: str, request: Request, pipeline: str = "", frame: str = ""
    ) -> Response:
        avatar = library.get(avatar_id)
        chosen = _pipeline(pipeline, avatar, server)
        shown = frame or server.config.frame_of(chosen)
        try:
            find_frame(find_system(chosen), shown)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return cached(request, await library.still(avatar, chosen, shown), "image/jpeg")

    return routes


def _pipeline(wanted: str, avatar: Avatar, server: Server) -> str:
    """The one that was asked for, or else the first that takes the avatar's material."""
    loaded = server.config.loaded
    suiting = [name for name in loaded if server.avatars.suits(avatar, name)]
    chosen = wanted or next(iter(suiting), server.config.pipeline)
    if chosen not in loaded:
        raise PipelineNotLoaded(f"the pipeline {chosen!r} is not loaded here", None)
    return chosen


def _close(form: FormData) -> None:
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            value.file.close()


def _read(form: FormData, server: Server) -> Upload:
    image, video, swap = (form.get(name) for name in ("image", "video", "swap"))
    for name, value in (("image", image), ("video", video)):
        if value is not None and not isinstance(value, UploadFile):
            raise AvatarRejected(f"the field {name} must be a file")
    first = next((f for f in (image, video) if isinstance(f, UploadFile)), None)
    if first is None:
        raise AvatarRejected("the form has no file field called image or video")
    source: BinaryIO | Avatar | None = _file(swap)
    if isinstance(swap, str) and swap:
        source = server.avatars.get(swap)
    return Upload(
        name=_text(form, "name") or Path(first.filename or "").stem[:60] or "My avatar",
        photo=_file(image),
        video=_file(video),
        source=source,
        consent=_text(form, "consent"),
        pipeline=_text(form, "pipeline"),
    )


def _file(value: Any) -> BinaryIO | None:
    return value.file if isinstance(value, UploadFile) else None


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""
