"""The server, as a program sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast

import httpx
from aiortc import MediaStreamTrack

from vivavoce_client.errors import Refused, Unreachable
from vivavoce_client.http import Api, Avatar, Token
from vivavoce_client.session import Session
from vivavoce_client.view import View

POLL_S = 0.5
Scope = Literal["open", "view", "push", "control", "avatars"]


class Client:
    """One server. `async with` lets go of its connections in the end; its sessions end by theirs.

    Args:
        url: such as `http://127.0.0.1:8080`.
        key: an API key or a token; on the server's own machine none is needed.
        transport: httpx's, in place of the network.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.api = Api(url, key, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self.api.close()

    async def ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server would take a session.

        Raises:
            Unreachable, Refused: it does not yet, and the time is over.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                await self.api.call("GET", "/ready")
                return
            except (Unreachable, Refused):
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(POLL_S)

    # Sessions

    def open(
        self,
        *,
        audio: Literal["push", "microphone"] = "push",
        avatar: str | None = None,
        pipeline: str | None = None,
        frame: str | None = None,
        size: int | str | None = None,
        seed: int | None = None,
        rate: int = 24_000,
        microphone: MediaStreamTrack | None = None,
        media: bool = True,
        **more: Any,
    ) -> Session:
        """A session, which `async with` opens and ends.

        Args:
            audio: where what the avatar says comes from: `Session.push`, or `microphone`.
            avatar: an id; by default the server's.
            rate: of pushed sound, 8,000 to 48,000 Hz, until `Session.push` says another.
            microphone: an audio track that the session hears, such as `Microphone`. Beside pushed
                speech it is only listened to.
            media: whether picture and voice come here; without, others watch the session (`view`).
            more: further fields of `POST /v1/sessions`.
        """
        look = {"avatar": avatar, "pipeline": pipeline, "frame": frame, "size": size, "seed": seed}
        wanted = {"audio": audio, **look, **more}
        return Session(self.api, wanted=wanted, media=media, microphone=microphone, rate_hz=rate)

    def attach(self, session_id: str, *, rate: int = 24_000) -> Session:
        """Push into a session that somebody else opened with `audio="push"`."""
        return Session(self.api, wanted=None, session_id=session_id, rate_hz=rate)

    def view(self, session_id: str) -> View:
        """Watch a session that somebody else opened."""
        return View(self.api, session_id)

    async def token(
        self, scopes: Sequence[Scope], *, session: str | None = None, expires_s: int = 600
    ) -> Token:
        """A short-lived token that may do no more than `scopes`, for a browser or for somebody
        else; the client's key makes it.

        Raises:
            Unreachable, Refused.
        """
        body = {"scopes": list(scopes), "session": session, "expires_s": expires_s}
        given = {name: value for name, value in body.items() if value is not None}
        return cast(Token, await self.api.json("POST", "/v1/tokens", json=given))

    # Avatars

    async def avatars(self) -> list[Avatar]:
        """All that there are: the cast, then the uploads.

        Raises:
            Unreachable, Refused.
        """
        return cast(list[Avatar], (await self.api.json("GET", "/v1/avatars"))["avatars"])

    async def avatar(self, avatar_id: str) -> Avatar:
        """One of them.

        Raises:
            Unreachable, Refused.
        """
        return cast(Avatar, await self.api.json("GET", f"/v1/avatars/{avatar_id}"))

    async def pipelines(self) -> list[dict[str, Any]]:
        """All that the server knows, its default first.

        Raises:
            Unreachable, Refused.
        """
        return list((await self.api.json("GET", "/v1/pipelines"))["pipelines"])

    async def enrol(
        self,
        *,
        image: Path | None = None,
        video: Path | None = None,
        name: str | None = None,
        pipeline: str | None = None,
        swap: Path | str | None = None,
        consent: str | None = None,
        progress: Callable[[float, str], None] = lambda share, stage: None,
    ) -> Avatar:
        """Make an avatar of a photo, of a video or of both, and wait until it is ready.

        Args:
            swap: an avatar's id or an image: the face to put into the template, whose person
                agrees, as `consent` says.
            progress: told the share that is done, 0 to 1, and the stage.

        Raises:
            Unreachable, Refused: also if it turns out that no avatar can be made of it.
        """
        files = {"image": image, "video": video, "swap": swap if isinstance(swap, Path) else None}
        sent = {k: (p.name, await asyncio.to_thread(p.read_bytes)) for k, p in files.items() if p}
        fields = {"name": name, "pipeline": pipeline, "consent": consent}
        fields["swap"] = swap if isinstance(swap, str) else None
        data = {field: value for field, value in fields.items() if value}
        avatar = await self.api.json("POST", "/v1/avatars", files=sent, data=data)
        while avatar["state"] == "enrolling":
            progress(float(avatar.get("progress", 0.0)), str(avatar.get("stage", "")))
            await asyncio.sleep(POLL_S)
            avatar = await self.avatar(avatar["id"])
        if avatar["state"] == "failed":
            said = avatar.get("error", {})
            words = str(said.get("message", "the enrolment failed"))
            raise Refused(words, status=422, code=str(said.get("code", "enrolment_failed")))
        progress(1.0, "ready")
        return cast(Avatar, avatar)

    async def delete_avatar(self, avatar_id: str) -> None:
        """Delete an upload and all that was made of it; one that is gone is no error.

        Raises:
            Unreachable, Refused.
        """
        try:
            await self.api.call("DELETE", f"/v1/avatars/{avatar_id}")
        except Refused as refusal:
            if refusal.code != "unknown_avatar":
                raise
