"""`vivavoce enrol`: files to an avatar, here or by way of the server that holds the data folder."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from realtime.avatars.library import AvatarLibrary
from realtime.avatars.process import OnProgress
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig, api_key
from realtime.errors import Unauthorized, VivavoceError
from realtime.metrics import Metrics
from realtime.storage import COPY_BYTES, FolderInUse

ASK_EVERY_S = 0.5
ANSWER_S = 300.0  # for the server to answer: it may wait for a photo that takes long


@dataclass(frozen=True, kw_only=True)
class EnrolJob:
    """What to make an avatar of; see `realtime.avatars.uploads.Upload`."""

    name: str
    photo: Path | None = None
    video: Path | None = None
    swap: Path | str | None = None
    """The face to put into it: a photo, or an avatar's name."""
    consent: str = ""
    pipeline: str = ""


def enrol(
    job: EnrolJob,
    config: ServerConfig,
    on_progress: OnProgress,
    on_server: Callable[[str], None],
) -> tuple[str, str]:
    """Make an avatar; its id, and what is to be said of it: what was learnt from a video,
    what would make it better. Where a server
    holds the data folder, that one is asked to do it by its own settings, and `on_server` is told
    its URL.

    Raises:
        VivavoceError, ValueError: no avatar can be made of it, with the reason.
        OSError: the server cannot be reached.
    """
    try:
        return asyncio.run(_enrol_here(job, config, on_progress))
    except FolderInUse as taken:
        if not taken.url:
            raise
        on_server(taken.url)
        return _enrol_there(job, taken.url, on_progress)


async def _enrol_here(
    job: EnrolJob, config: ServerConfig, on_progress: OnProgress
) -> tuple[str, str]:
    library = AvatarLibrary(config, Metrics())
    try:
        library.claim("command `vivavoce enrol`")
        with ExitStack() as files:

            def opened(path: Path | None) -> Any:
                return None if path is None else files.enter_context(path.open("rb"))

            upload = Upload(
                name=job.name,
                photo=opened(job.photo),
                video=opened(job.video),
                source=library.get(job.swap) if isinstance(job.swap, str) else opened(job.swap),
                consent=job.consent,
                pipeline=job.pipeline,
            )
            said = library.describe(await library.create(upload, on_progress=on_progress))
            return said["id"], _remarks(said)
    finally:
        await library.close()


def _enrol_there(job: EnrolJob, url: str, on_progress: OnProgress) -> tuple[str, str]:
    given = {"image": job.photo, "video": job.video, "swap": job.swap}
    fields = {"name": job.name, "consent": job.consent, "pipeline": job.pipeline}
    fields |= {name: value for name, value in given.items() if isinstance(value, str)}
    files = {name: value for name, value in given.items() if isinstance(value, Path)}
    form = _Form({name: value for name, value in fields.items() if value}, files)
    headers = {"Content-Type": form.content_type, "Content-Length": str(len(form))}
    on_progress(0.0, "sending it to the server")
    said = _ask(url, "POST", "/v1/avatars", form.pieces(), headers)
    try:
        while said["state"] == "enrolling":
            on_progress(said["progress"], said["stage"])
            time.sleep(ASK_EVERY_S)
            said = _ask(url, "GET", f"/v1/avatars/{said['id']}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the server goes on with it, as {said['id']}") from None
    if said["state"] == "failed":
        raise ValueError(said["error"]["message"])
    return str(said["id"]), _remarks(said)


def _remarks(said: Mapping[str, Any]) -> str:
    """The note on an avatar, and what would make it better, a line each."""
    advice = [str(each["message"]) for each in said.get("advice", ())]
    return "\n".join(filter(None, (str(said.get("note", "")), *advice)))


def _ask(
    url: str,
    method: str,
    path: str,
    body: Iterator[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the server answers.

    Raises:
        VivavoceError: it refuses; the message is its own.
        OSError: it cannot be reached.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=ANSWER_S)
    try:
        sent = dict(headers or {})
        if key := api_key():
            sent["Authorization"] = f"Bearer {key}"
        with suppress(BrokenPipeError, ConnectionResetError):  # it may refuse what it has not read
            connection.request(method, path, body, sent)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OSError(f"the server at {url} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status == Unauthorized.status:
        raise VivavoceError(
            f"the server at {url} asks for a key: VIVAVOCE_API_KEY=sk-vv-... in the environment; "
            "one is made by: vivavoce keys create NAME"
        )
    if answer.status >= 400:
        raise VivavoceError(said["error"]["message"])
    answered: dict[str, Any] = said
    return answered


class _Form:
    """A multipart form whose files are read a piece at a time."""

    def __init__(self, fields: Mapping[str, str], files: Mapping[str, Path]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts: list[tuple[bytes, Path | bytes]] = [
            *((self._head(name), value.encode()) for name, value in fields.items()),
            *((self._head(name, '; filename="file"'), path) for name, path in files.items()),
        ]

    def _head(self, name: str, more: str = "") -> bytes:
        disposition = f'Content-Disposition: form-data; name="{name}"{more}'
        return f"--{self._boundary}\r\n{disposition}\r\n\r\n".encode()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()

    def __len__(self) -> int:
        """Bytes of all pieces."""
        sizes = (
            len(head) + 2 + (content.stat().st_size if isinstance(content, Path) else len(content))
            for head, content in self._parts
        )
        return sum(sizes) + len(self._end)

    def pieces(self) -> Iterator[bytes]:
        """The body."""
        for head, content in self._parts:
            yield head
            if isinstance(content, Path):
                with content.open("rb") as file:
                    while piece := file.read(COPY_BYTES):
                        yield piece
            else:
                yield content
            yield b"\r\n"
        yield self._end
