"""The avatars as a media process knows them: read from their folder; the front makes features."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from realtime.avatars.collection import Collection
from realtime.avatars.records import Avatar
from realtime.config import ServerConfig
from realtime.errors import UnknownAvatar

SETTLED_NS = 3_000_000_000
"""After so long, what changes in a folder changes its time too: coarse file systems tell 2 s."""


class SharedAvatars:
    """See `realtime.offered.OfferedFaces`.

    The folder is the front's: its time tells whether anything was made, changed or deleted.

    Args:
        ensure: has the front make the features of an avatar for a pipeline; their key.
    """

    def __init__(self, config: ServerConfig, ensure: Callable[[str, str], Awaitable[str]]) -> None:
        self._config = config
        self._ensure = ensure
        self._read()

    def _read(self) -> None:
        self._seen_ns = self._changed_ns()  # before: what changes meanwhile is read again
        self._settled = time.time_ns() - self._seen_ns > SETTLED_NS
        self._collection = Collection(self._config)

    def _changed_ns(self) -> int:
        try:
            return (self._config.data_dir / "avatars").stat().st_mtime_ns
        except FileNotFoundError:  # nobody has uploaded anything yet
            return 0

    def _newest(self) -> Collection:
        if self._changed_ns() != self._seen_ns:
            self._read()
        return self._collection

    @property
    def identities(self) -> Path:
        """The folder in which identity features are kept, by key."""
        return self._config.identities_dir

    def get(self, avatar_id: str) -> Avatar:
        """The avatar of this id or name that exists for whoever asks.

        Raises:
            UnknownAvatar: there is none.
        """
        try:
            return self._newest().get(avatar_id)
        except UnknownAvatar:
            if self._settled:  # clients of others name models that are no avatars
                raise
            self._read()  # it may have been made within the same tick of the folder's time
            return self._collection.get(avatar_id)

    def default(self, pipeline: str) -> Avatar:
        """The first avatar that the pipeline can use.

        Raises:
            UnknownAvatar: there is none.
        """
        return self._newest().default(pipeline)

    async def ensure(self, avatar: Avatar, pipeline: str) -> str:
        """The key of its identity features, which are on disk.

        Raises:
            VivavoceError: they cannot be had (yet).
        """
        return await self._ensure(avatar.id, pipeline)

    def yield_to_sessions(self) -> None:
        """The front sees to that."""

    def stop_yielding(self) -> None:
        """The front sees to that."""
