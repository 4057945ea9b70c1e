"""What goes: an avatar with all that was made of it, and what ended programs left behind."""

from __future__ import annotations

import asyncio
import contextlib

from realtime.access.credentials import utc_now
from realtime.avatars.collection import Collection
from realtime.avatars.features import Features, suits
from realtime.avatars.pictures import Pictures
from realtime.avatars.records import Avatar
from realtime.errors import UnknownAvatar

UNUSED_BYTES = 256 * 1024 * 1024  # of features kept of other pipelines, other weights and clips


class Deletion:
    """Deletes avatars of a collection, their features and their pictures.

    Args:
        loaded: the pipelines whose features are kept.
    """

    def __init__(
        self,
        loaded: tuple[str, ...],
        collection: Collection,
        features: Features,
        pictures: Pictures,
    ) -> None:
        self._loaded = loaded
        self._collection = collection
        self._features = features
        self._pictures = pictures

    async def discard(self, avatar_id: str, *, keep_work: bool = False) -> None:
        """Forget an avatar and delete its files; with `keep_work`, not those of an enrolment that
        was under way.

        Raises:
            OSError: they cannot be deleted.
        """
        avatar, keys = self._forget(avatar_id)  # from now on it cannot be enrolled
        self._pictures.stop(avatar_id)
        if avatar is not None:
            await self._features.cancel(avatar, keep_work=keep_work)
        async with self._collection.disk:
            await asyncio.to_thread(self._delete_files, avatar_id, keys)

    def sweep(self) -> None:
        """Delete failed, unacknowledged and outdated uploads, and the oldest features that nobody
        needs. Before anything is under way.

        Raises:
            OSError: something there cannot be read or deleted.
        """
        for avatar_id, record in list(self._collection.records.items()):
            over = self._collection.is_over(avatar_id, utc_now())
            if over or record.state in ("uploading", "failed"):
                _, keys = self._forget(avatar_id)
                self._delete_files(avatar_id, keys)
        self._collection.sweep()
        self._features.sweep(self._needed(), UNUSED_BYTES)

    def _needed(self) -> set[str]:
        """The keys of all features in use, and for pictures older ones of whom has no others."""
        needed: set[str] = set()
        for avatar in self._collection:
            own = set()
            for pipeline in self._loaded:
                if suits(avatar, pipeline):
                    with contextlib.suppress(UnknownAvatar, ValueError):
                        own.add(self._features.key_now(avatar, pipeline))
            record = self._collection.records.get(avatar.id)
            if record is not None and (
                record.state == "enrolling" or not any(self._features.has(key) for key in own)
            ):
                own.update(record.keys)
            needed |= own
        return needed

    def _forget(self, avatar_id: str) -> tuple[Avatar | None, list[str]]:
        """Drop an avatar; the keys of features that nobody else needs."""
        avatar, record = self._collection.remove(avatar_id)
        made = self._features.forget(avatar_id).union(record.keys if record is not None else ())
        used = self._collection.keys() | self._features.keys_of_others(avatar_id)
        return avatar, sorted(made - used)

    def _delete_files(self, avatar_id: str, keys: list[str]) -> None:
        self._collection.delete_files(avatar_id)
        for key in keys:
            self._features.store.delete(key)
        self._pictures.forget(avatar_id)
