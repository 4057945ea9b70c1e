"""The avatars a server offers: the shipped cast and what users have uploaded.

An avatar is material: a photo, a video, or either with a face to put into it. What a pipeline makes
of it (its identity features) is made when it is first wanted. The material stays until the avatar
is deleted, and everything that was made of it goes with it; but a video that was only learnt from
goes as soon as that is done.

    data_dir/avatars      the uploads, see `records`
    data_dir/identities   features by key, a cache
    data_dir/enrolments   scratch folders by key, of enrolments under way
    data_dir/pictures     small JPEGs, a cache
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
from pathlib import Path
from typing import Any, Literal

from realtime.access.caller import caller
from realtime.access.credentials import utc_now
from realtime.avatars.cast import CastPreparation
from realtime.avatars.collection import Collection
from realtime.avatars.creation import Creation
from realtime.avatars.deletion import Deletion
from realtime.avatars.drawings import Drawings
from realtime.avatars.features import Features, suits
from realtime.avatars.pictures import Pictures
from realtime.avatars.process import OnProgress
from realtime.avatars.records import Avatar, kinds_of
from realtime.avatars.uploads import Upload
from realtime.config import ServerConfig
from realtime.errors import AvatarRejected, UnknownAvatar, VivavoceError
from realtime.metrics import Metrics
from realtime.storage import FolderLock, storing

logger = logging.getLogger(__name__)


class AvatarLibrary:
    """Lists, enrols and deletes avatars, for the pipelines of one configuration."""

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._collection = Collection(config)
        self._features = Features(
            config,
            metrics,
            self._collection.remember_key,
            lambda avatar: avatar.id in self._collection,
        )
        self._pictures = Pictures(config.data_dir / "pictures", self._features)
        self._drawings = Drawings(self._features)
        self._deletion = Deletion(config.loaded, self._collection, self._features, self._pictures)
        self._creation = Creation(config, self._collection, self._features, self._deletion)
        cast = [a for a in self._collection if a.kind == "cast" and suits(a, config.pipeline)]
        self._cast = CastPreparation(self._features, cast, config.pipeline)
        self._lock = FolderLock(config.data_dir)

    # What there is

    def list(self) -> builtins.list[Avatar]:
        """Every avatar that exists for whoever asks, the cast first."""
        return self._collection.seen()

    def get(self, avatar_id: str) -> Avatar:
        """The avatar of this id (or, failing that, of this name).

        Raises:
            UnknownAvatar: there is none.
        """
        return self._collection.get(avatar_id)

    def default(self, pipeline: str) -> Avatar:
        """The first avatar that the pipeline can use.

        Raises:
            UnknownAvatar: there is none.
        """
        return self._collection.default(pipeline)

    def suits(self, avatar: Avatar, pipeline: str) -> bool:
        """Whether the pipeline takes the avatar's material."""
        return suits(avatar, pipeline)

    def state(self, avatar: Avatar) -> Literal["ready", "enrolling", "failed"]:
        """Whether it can be used, is being made, or could not be."""
        record = self._collection.records.get(avatar.id)
        if record is None:
            return "ready"
        return "enrolling" if record.state == "uploading" else record.state

    def describe(self, avatar: Avatar) -> dict[str, Any]:
        """What `GET /v1/avatars/{id}` says of it."""
        state = self.state(avatar)
        said: dict[str, Any] = {
            "id": avatar.id,
            "name": avatar.name,
            "kind": avatar.kind,
            "image": f"{self._config.prefix}/v1/avatars/{avatar.id}/image",
            "material": sorted(kinds_of(avatar.material)),
            "pipelines": [name for name in self._config.loaded if suits(avatar, name)],
            "state": state,
        }
        if state == "enrolling":
            share, said["stage"] = self._features.progress_of(avatar)
            said["progress"] = round(share, 3)
        elif state == "failed":
            record = self._collection.records[avatar.id]
            said["error"] = {"code": record.code, "message": record.message}
        elif avatar.id in self._collection.records:
            record = self._collection.records[avatar.id]
            said |= {"note": record.note} if record.note else {}
            said |= {"advice": list(record.advice)} if record.advice else {}
        return said

    async def picture(self, avatar: Avatar) -> bytes:
        """A small JPEG of the avatar.

        Raises:
            UnknownAvatar: there is none yet.
        """
        record = self._collection.records.get(avatar.id)
        keys = record.keys if record is not None else await self._usual_keys(avatar)
        return await self._pictures.get(avatar, keys)

    async def _usual_keys(self, avatar: Avatar) -> tuple[str, ...]:
        with contextlib.suppress(VivavoceError):
            return (await self._features.key(avatar, self._config.pipeline),)
        return ()

    async def preview(self, avatar: Avatar, pipeline: str) -> bytes:
        """Two seconds of the avatar as the pipeline draws it, an animated WebP that loops.

        Raises:
            as `ensure`.
            UnknownAvatar: the pipeline draws none.
        """
        return await self._drawings.clip(await self.ensure(avatar, pipeline), pipeline)

    async def still(self, avatar: Avatar, pipeline: str, frame: str) -> bytes:
        """The picture with which a session of the avatar begins, a JPEG.

        Raises:
            as `ensure`.
        """
        size = self._config.size_of(pipeline, frame)
        key = await self.ensure(avatar, pipeline)
        return await self._drawings.still(key, pipeline, frame, size)

    # Features

    @property
    def identities(self) -> Path:
        """The folder in which identity features are kept, by key."""
        return self._features.store.root

    async def ensure(self, avatar: Avatar, pipeline: str, wait_s: float | None = None) -> str:
        """The key of its identity features, which are on disk; they are made on first use.

        Raises:
            UnknownAvatar: it was deleted.
            AvatarRejected: no avatar can be made of the material, or not by this pipeline.
            AvatarNotReady: that takes longer than `wait_s` (default `enrol_wait_s` of the
                configuration), and goes on.
            StorageError: the features cannot be kept.
        """
        if wait_s is None:
            wait_s = self._config.enrol_wait_s
        return await self._features.ensure(self._newest(avatar), pipeline, wait_s)

    async def prepare(self, avatar: Avatar, pipeline: str) -> str:
        """As `ensure`, however long it takes."""
        return await self._features.ensure(self._newest(avatar), pipeline)

    def _newest(self, avatar: Avatar) -> Avatar:
        """The avatar with the material that it has by now, if it can be used at all."""
        record = self._collection.records.get(avatar.id)
        if record is not None and record.state == "failed":
            raise AvatarRejected(record.message, record.code)
        if avatar.id not in self._collection:
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        return self._collection.newest(avatar)

    def has_features(self, key: str) -> bool:
        """Whether features of `key` are on disk (those found damaged are removed)."""
        return self._features.has(key)

    def prepare_cast(self) -> None:
        """Begin to enrol the cast for the default pipeline, where this machine has not done so
        before: a second each, once."""
        self._cast.begin()

    @property
    def cast_to_prepare(self) -> int:
        """Cast members for whom a session would have to wait."""
        return self._cast.left

    def yield_to_sessions(self) -> None:
        """Enrolment takes second place from now on: somebody talks."""
        self._features.yield_to_sessions()

    def stop_yielding(self) -> None:
        """Nobody does any more."""
        self._features.stop_yielding()

    def check_weights(self) -> None:
        """Look for the weights that the loaded pipelines' features depend on.

        Raises:
            ValueError: some are not installed; the message says how to get them.
        """
        for pipeline in self._config.loaded:
            for avatar in self.list():
                if suits(avatar, pipeline):
                    with contextlib.suppress(UnknownAvatar):
                        self._features.key_now(avatar, pipeline)
                        break

    # Making and deleting

    def claim(self, purpose: str, url: str = "") -> None:
        """Become the one program that changes this data folder; see `FolderLock.acquire`.

        Raises:
            FolderInUse: another program is; the message says which.
        """
        self._lock.acquire(purpose, url)

    async def resume(self) -> None:
        """Tidy up what ended programs left, and go on with enrolments that they acknowledged.
        After `claim`, before the first upload."""
        self._creation.forgive()
        try:
            await asyncio.to_thread(self._deletion.sweep)
        except OSError as error:  # whatever lies there, it must not prevent a start
            logger.warning("the data folder cannot be tidied up: %s", error)
        self._creation.go_on()

    async def create(
        self, upload: Upload, *, wait_s: float | None = None, on_progress: OnProgress | None = None
    ) -> Avatar:
        """Turn material into an avatar. Without `wait_s` it is ready; with it, one of a video, or
        that takes longer, is returned while it is still enrolling (see `state`).

        Raises:
            AvatarRejected: bad name, or no avatar can be made of the material.
            AtCapacity: too many uploads are kept already.
            StorageError: it cannot be kept.
        """
        return await self._creation.create(upload, wait_s=wait_s, on_progress=on_progress)

    async def delete(self, avatar: Avatar) -> None:
        """Forget an uploaded avatar; an enrolment of it is cancelled. Sessions keep their face.

        Raises:
            AvatarRejected: it belongs to the shipped cast, or to the server.
            StorageError: its files cannot be deleted.
        """
        if avatar.kind == "cast":
            raise AvatarRejected(f"{avatar.name} belongs to the shipped cast and stays")
        if caller().kind != "local" and not self._collection.owner(avatar):
            raise AvatarRejected(
                f"{avatar.name} belongs to this server and stays; whoever runs it may delete it: "
                f"vivavoce forget {avatar.id}"
            )
        with storing():
            await self._deletion.discard(avatar.id)

    def outdated(self) -> builtins.list[Avatar]:
        """The uploads that are older than `retention_days`."""
        return self._collection.outdated(utc_now())

    async def close(self) -> None:
        """End what is under way; enrolments that were acknowledged go on at the next start."""
        self._creation.cancel()
        await self._cast.close()
        await self._features.close()
        await self._creation.close()
        await self._pictures.close()
        await self._drawings.close()
        async with self._collection.disk:  # what is being written is, before anybody else may
            self._lock.release()
