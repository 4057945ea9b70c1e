"""How an avatar looks and behaves now, and how that is changed: its face and its controls."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.pipeline import System
from realtime.engine.handle import StreamHandle, StreamOpener, StreamRequest
from realtime.media import Size

logger = logging.getLogger(__name__)


class Face(Protocol):
    """An avatar, as a session needs it."""

    @property
    def id(self) -> str: ...


class Faces(Protocol):
    """The avatars, as a session needs them: `AvatarLibrary`."""

    def get(self, avatar_id: str) -> Any:
        """The `Face` of this name.

        Raises:
            UnknownAvatar: there is none.
        """

    async def ensure(self, avatar: Any, pipeline: str) -> str:
        """The key of its identity, enrolled for `pipeline`.

        Raises:
            VivavoceError: it cannot be had (yet).
        """


@dataclass(frozen=True)
class Wish:
    """What somebody wants to be different; None and what is left out stay as they are."""

    avatar: str | None = None
    controls: dict[str, float] = field(default_factory=dict)

    def then(self, newer: Wish) -> Wish:
        """Both in one; where they differ, the newer."""
        return Wish(newer.avatar or self.avatar, self.controls | newer.controls)


class Appearance:
    """One avatar in one slot of the engine, which `open` takes."""

    def __init__(self, system: System, avatar: Face, faces: Faces) -> None:
        self.system = system
        self.avatar = avatar
        self.values = {control.name: control.default for control in system.controls}
        self._faces = faces
        self._handle: StreamHandle | None = None

    async def open(self, opener: StreamOpener, size: Size, frame: str, seed: int) -> StreamHandle:
        """Take a slot.

        Raises:
            VivavoceError: the face cannot be had, or the engine takes no more or is gone.
        """
        key = await self._key(self.avatar)
        request = StreamRequest(self.system.name, key, size, frame, seed, dict(self.values))
        self._handle = await opener.open(request)
        return self._handle

    def check(self, wish: Wish) -> None:
        """Refuse what cannot be had in any case.

        Raises:
            UnknownAvatar: there is no such face.
        """
        if wish.avatar is not None:
            self._faces.get(wish.avatar)

    async def change(self, wish: Wish) -> None:
        """Bring a wish into force, its controls also if its face cannot be shown.

        Raises:
            VivavoceError: it cannot be shown.
        """
        assert self._handle is not None
        if wish.controls:
            self.values |= wish.controls
            await self._handle.set_controls(dict(self.values))
        if wish.avatar is not None:
            avatar = self._faces.get(wish.avatar)
            await self._handle.set_identity(await self._key(avatar))
            self.avatar = avatar
            logger.info("the avatar is now %s", avatar.id)

    async def _key(self, avatar: Face) -> str:
        return await self._faces.ensure(avatar, self.system.name)
