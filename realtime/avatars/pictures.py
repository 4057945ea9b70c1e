"""Small pictures of avatars for pages: drawn once, by a process, and kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path

from realtime.avatars import worker
from realtime.avatars.features import Features
from realtime.avatars.records import Avatar
from realtime.errors import AvatarRejected, UnknownAvatar
from realtime.storage import read_sealed, write_sealed


class Pictures:
    """JPEGs by avatar in a folder, which is a cache."""

    def __init__(self, folder: Path, features: Features) -> None:
        self._folder = folder
        self._features = features
        self._under_way: dict[str, asyncio.Task[bytes]] = {}  # by avatar id

    async def get(self, avatar: Avatar, keys: Sequence[str]) -> bytes:
        """A JPEG of the avatar, of the first features among `keys` that there are, else its photo.

        Raises:
            UnknownAvatar: there is neither yet.
        """
        usable = [key for key in keys if self._features.has(key)]
        source = usable[0][:16] if usable else "photo"  # another picture once there are features
        kept = self._folder / f"{avatar.id}.{source}.jpg"
        with suppress(OSError):
            return await asyncio.to_thread(_read_newer, kept, avatar.material.photo)
        if avatar.id not in self._under_way:  # many may ask at once
            self._under_way[avatar.id] = asyncio.create_task(self._draw(avatar, kept, usable))
        try:
            return await asyncio.shield(self._under_way[avatar.id])
        except AvatarRejected as error:
            raise UnknownAvatar(str(error)) from error

    async def _draw(self, avatar: Avatar, kept: Path, keys: list[str]) -> bytes:
        def wanted() -> bool:
            return self._under_way.get(avatar.id) is asyncio.current_task()

        try:
            root = self._features.store.root
            photo = avatar.material.photo
            drawn: str = await self._features.run(worker.draw_picture, photo, root, keys)
            picture = base64.b64decode(drawn)
            with suppress(OSError):
                await asyncio.to_thread(write_sealed, kept, picture)
                if not wanted():
                    await asyncio.to_thread(self.forget, avatar.id)
            return picture
        finally:
            if wanted():
                del self._under_way[avatar.id]

    def stop(self, avatar_id: str) -> None:
        """Keep no picture of an avatar that is being deleted, should one be under way."""
        self._under_way.pop(avatar_id, None)

    def forget(self, avatar_id: str) -> None:
        """Delete the picture of an avatar."""
        for picture in self._folder.glob(f"{escape(avatar_id)}.*"):
            picture.unlink(missing_ok=True)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read_newer(picture: Path, photo: Path | None) -> bytes:
    """The picture; OSError where none is whole, or the photo has changed since."""
    if photo is not None and picture.stat().st_mtime < photo.stat().st_mtime:
        raise FileNotFoundError(picture)
    return read_sealed(picture)
