"""Watching a session that somebody else has opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from vivavoce_client.errors import VivavoceClientError
from vivavoce_client.frames import Frame
from vivavoce_client.http import Api
from vivavoce_client.peer import Peer


class View:
    """One more viewer of a session, by WHEP. `async with` connects it and hangs up in the end.

    Made by `Client.view`.
    """

    def __init__(self, api: Api, session_id: str) -> None:
        self.session_id = session_id
        self.peer: Peer
        self._api = api
        self._location = ""

    async def __aenter__(self) -> Self:
        self.peer = Peer(events=False, ice_servers=await self._api.ice_servers())
        try:
            response = await self._api.call(
                "POST",
                f"/whep/{self.session_id}",
                content=await self.peer.offer(),
                headers={"Content-Type": "application/sdp"},
            )
            self._location = str(response.url.join(response.headers["Location"]))
            await self.peer.accept(response.text)
            await self.peer.connected()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def frames(self) -> AsyncIterator[Frame]:
        """Frames from now on, until the session ends."""
        return self.peer.frames()

    async def close(self) -> None:
        """Hang up; the session goes on."""
        if self._location:
            with suppress(VivavoceClientError):  # it may be over
                await self._api.call("DELETE", self._location)
        await self.peer.close()
