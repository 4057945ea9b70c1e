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
import re
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pipelines.pipeline import Material
from pipelines.registry import find_system
from realtime.avatars.features import Features, takes
from realtime.avatars.pictures import Pictures
from realtime.avatars.previews import Previews, clip_path
from realtime.avatars.process import OnProgress
from realtime.avatars.records import Avatar, Record, kinds_of, read_record, write_record
from realtime.avatars.uploads import Upload, choose_pipeline, keep
from realtime.config import ServerConfig
from realtime.errors import (
    AtCapacity,
    AvatarRejected,
    PipelineNotLoaded,
    StorageError,
    UnknownAvatar,
    VivavoceError,
)
from realtime.metrics import Metrics
from realtime.storage import FolderLock, storing

logger = logging.getLogger(__name__)

UNUSED_BYTES = 256 * 1024 * 1024  # of features kept of other pipelines, other weights and clips
_NOT_THEIR_FAULT = frozenset({StorageError.code, PipelineNotLoaded.code})
"""Failures of enrolments that say nothing against the material: they are tried again."""


class AvatarLibrary:
    """Lists, enrols and deletes avatars, for the pipelines of one configuration."""

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._uploads = config.data_dir / "avatars"
        self._features = Features(
            config, metrics, self._remember_key, lambda avatar: avatar.id in self._avatars
        )
        self._pictures = Pictures(config.data_dir / "pictures", self._features)
        self._previews = Previews(self._features)
        self._lock = FolderLock(config.data_dir)
        self._avatars: dict[str, Avatar] = {}
        self._records: dict[str, Record] = {}  # of uploads, by avatar id
        self._first: dict[str, asyncio.Task[None]] = {}  # first enrolments, by avatar id
        self._disk = asyncio.Lock()  # one change of the uploads at a time
        self._creating = 0
        self._closing = False
        for photo in sorted(config.cast_dir.glob("*.png")):
            cast = Avatar(photo.stem, photo.stem.title(), "cast", Material(photo=photo))
            self._avatars[cast.id] = cast
        for path in sorted(self._uploads.glob("*.json")):
            try:
                self._add(path.stem, read_record(path, self._features.store))
            except ValueError as error:
                logger.warning("ignoring the broken avatar record %s: %s", path.name, error)

    def _add(self, avatar_id: str, record: Record) -> Avatar:
        avatar = Avatar(avatar_id, record.name, "upload", record.material)
        self._avatars[avatar_id] = avatar
        self._records[avatar_id] = record
        return avatar

    # What there is

    def list(self) -> builtins.list[Avatar]:
        """Every avatar, the cast first."""
        return list(self._avatars.values())

    def get(self, avatar_id: str) -> Avatar:
        """The avatar of this id (or, failing that, of this name).

        Raises:
            UnknownAvatar: there is none.
        """
        if avatar_id in self._avatars:
            return self._avatars[avatar_id]
        for avatar in self._avatars.values():
            if avatar.name.lower() == avatar_id.lower():
                return avatar
        names = ", ".join(self._avatars) or "none yet"
        raise UnknownAvatar(f"no avatar is called {avatar_id!r}; there are: {names}")

    def default(self, pipeline: str) -> Avatar:
        """The first avatar that the pipeline can use.

        Raises:
            UnknownAvatar: there is none.
        """
        for avatar in self.list():
            if self.suits(avatar, pipeline) and self.state(avatar) == "ready":
                return avatar
        raise UnknownAvatar(
            f"this server has no avatar for the pipeline {pipeline!r} yet; upload one first"
        )

    def suits(self, avatar: Avatar, pipeline: str) -> bool:
        """Whether the pipeline takes the avatar's material."""
        return takes(pipeline, kinds_of(avatar.material))

    def state(self, avatar: Avatar) -> Literal["ready", "enrolling", "failed"]:
        """Whether it can be used, is being made, or could not be."""
        record = self._records.get(avatar.id)
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
            "image": f"/v1/avatars/{avatar.id}/image",
            "material": sorted(kinds_of(avatar.material)),
            "pipelines": [name for name in self._config.loaded if self.suits(avatar, name)],
            "state": state,
        }
        if state == "enrolling":
            share, said["stage"] = self._features.progress_of(avatar)
            said["progress"] = round(share, 3)
        elif state == "failed":
            record = self._records[avatar.id]
            said["error"] = {"code": record.code, "message": record.message}
        elif avatar.id in self._records:
            record = self._records[avatar.id]
            said |= {"note": record.note} if record.note else {}
            said |= {"advice": list(record.advice)} if record.advice else {}
        return said

    async def picture(self, avatar: Avatar) -> bytes:
        """A JPEG of the avatar.

        Raises:
            UnknownAvatar: there is none yet.
        """
        record = self._records.get(avatar.id)
        return await self._pictures.get(avatar, record.keys if record is not None else ())

    async def preview(self, avatar: Avatar, pipeline: str) -> bytes:
        """Two seconds of the avatar as the pipeline draws it, an animated WebP that loops.

        Raises:
            as `ensure`.
            UnknownAvatar: the pipeline draws none.
        """
        return await self._previews.get(await self.ensure(avatar, pipeline), pipeline)

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
        record = self._records.get(avatar.id)
        if record is not None and record.state == "failed":
            raise AvatarRejected(record.message, record.code)
        if avatar.id not in self._avatars:
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        return self._avatars[avatar.id]

    def has_features(self, key: str) -> bool:
        """Whether features of `key` are on disk (those found damaged are removed)."""
        return self._features.has(key)

    async def _remember_key(self, avatar: Avatar, key: str) -> None:
        record = self._records.get(avatar.id)
        if record is not None and key not in record.keys:
            await self._write(avatar.id, replace(record, keys=(*record.keys, key)))

    async def _write(self, avatar_id: str, record: Record) -> None:
        self._records[avatar_id] = record
        with storing():
            await asyncio.shield(self._write_newest(avatar_id))

    async def _write_newest(self, avatar_id: str) -> None:
        async with self._disk:
            record = self._records.get(avatar_id)
            if record is not None:  # else it was deleted meanwhile
                path = self._uploads / f"{avatar_id}.json"
                await asyncio.to_thread(write_record, path, record)

    async def enrol_cast(self) -> None:
        """Enrol the cast members that this machine has not enrolled before for the default
        pipeline: a second each, once."""
        pipeline = self._config.pipeline
        cast = [a for a in self.list() if a.kind == "cast" and self.suits(a, pipeline)]
        for n, avatar in enumerate(cast):
            try:
                if not self.has_features(await self._features.key(avatar, pipeline)):
                    logger.info("first start: preparing the cast, %d of %d", n + 1, len(cast))
                    await self.prepare(avatar, pipeline)
            except PipelineNotLoaded:
                raise
            except VivavoceError as error:
                logger.error("cast member %s cannot be enrolled: %s", avatar.name, error)
        await self._features.rest()

    def yield_to_sessions(self) -> None:
        """Enrolment takes second place from now on: sessions may run."""
        self._features.yield_to_sessions()

    def check_weights(self) -> None:
        """Look for the weights that the loaded pipelines' features depend on.

        Raises:
            ValueError: some are not installed; the message says how to get them.
        """
        for pipeline in self._config.loaded:
            for avatar in self.list():
                if self.suits(avatar, pipeline):
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
        for avatar_id, record in list(self._records.items()):
            if record.state == "failed" and record.code in _NOT_THEIR_FAULT:
                self._records[avatar_id] = replace(record, state="enrolling", code="", message="")
        try:
            await asyncio.to_thread(self._sweep)
        except OSError as error:  # whatever lies there, it must not prevent a start
            logger.warning("the data folder cannot be tidied up: %s", error)
        for avatar_id, record in list(self._records.items()):
            if record.state == "enrolling":
                self._bring_up(self._avatars[avatar_id])

    def _sweep(self) -> None:
        """Delete failed and unacknowledged uploads, and the oldest features that nobody needs."""
        for avatar_id, record in list(self._records.items()):
            if record.state in ("uploading", "failed"):
                self._avatars.pop(avatar_id, None)
                self._delete_files(avatar_id, self._forget(avatar_id))
        if self._uploads.is_dir():
            unread = {path.stem for path in self._uploads.glob("*.json")} - self._records.keys()
            named = {
                path.name for record in self._records.values() for path in record.files.values()
            }
            for path in self._uploads.iterdir():
                kept = path.name in named or path.suffix == ".json"
                if path.is_file() and not kept and path.name.partition(".")[0] not in unread:
                    path.unlink()
        self._features.sweep(self._needed(), UNUSED_BYTES)

    def _needed(self) -> set[str]:
        """The keys of all features in use, and for pictures older ones of whom has no others."""
        needed: set[str] = set()
        for avatar in self.list():
            own = set()
            for pipeline in self._config.loaded:
                if self.suits(avatar, pipeline):
                    with contextlib.suppress(UnknownAvatar, ValueError):
                        own.add(self._features.key_now(avatar, pipeline))
            record = self._records.get(avatar.id)
            if record is not None and (
                record.state == "enrolling" or not any(self.has_features(key) for key in own)
            ):
                own.update(record.keys)
            needed |= own
        return needed

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
        upload.check()
        pipeline = choose_pipeline(upload, self._config)
        if len(self._records) + self._creating >= self._config.max_avatars:
            raise AtCapacity(
                f"this server keeps at most {self._config.max_avatars} uploaded avatars; "
                "delete one first"
            )
        name = upload.name.strip()
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "avatar"
        avatar_id = f"{slug}-{secrets.token_hex(3)}"
        try:
            material = await self._keep(upload, avatar_id)
            record = Record(name=name, material=material, pipeline=pipeline, state="uploading")
            avatar = self._add(avatar_id, record)
            if upload.video is not None and wait_s is not None:
                wait_s = 0
            await self._enrol_upload(avatar, wait_s, on_progress)
        except asyncio.CancelledError:  # the program ends; whoever tries again goes on from there
            await self._discard(avatar_id, keep_work=True)
            raise
        except BaseException:
            await self._discard(avatar_id)
            raise
        return self._avatars.get(avatar_id, avatar)

    async def _keep(self, upload: Upload, avatar_id: str) -> Material:
        self._creating += 1  # until there is a record of it
        try:
            with storing():
                self._uploads.mkdir(parents=True, exist_ok=True)
                stem = self._uploads / avatar_id
                return await keep(upload, stem, self._config, self._features)
        finally:
            self._creating -= 1

    async def _enrol_upload(
        self, avatar: Avatar, wait_s: float | None, on_progress: OnProgress | None
    ) -> None:
        await self._write(avatar.id, self._records[avatar.id])
        done, _ = await asyncio.wait({self._bring_up(avatar, on_progress)}, timeout=wait_s)
        record = self._records.get(avatar.id)
        if record is None:
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        if not done:
            await self._write(avatar.id, replace(record, state="enrolling"))
        elif record.code == StorageError.code:
            raise StorageError(record.message)
        elif record.code == PipelineNotLoaded.code:
            raise PipelineNotLoaded(record.message, None)
        elif record.state == "failed":
            raise AvatarRejected(record.message, record.code)

    def _bring_up(
        self, avatar: Avatar, on_progress: OnProgress | None = None
    ) -> asyncio.Task[None]:
        """Enrol an upload for the first time, and keep on its record how that went."""

        async def bring_up() -> None:
            outcome: dict[str, Any] = {"state": "ready"}
            record = self._records.get(avatar.id)
            if record is None:
                return  # deleted meanwhile
            try:
                key = await self._features.ensure(avatar, record.pipeline, on_progress=on_progress)
                outcome["advice"] = await self._features.advice(key)
                await self._let_go_of_video(avatar, key)
            except VivavoceError as error:
                outcome = {"state": "failed", "code": error.code, "message": str(error)}
            except Exception:
                logger.exception("the enrolment of %s failed", avatar.id)
                words = "the server met an error that it did not foresee; its log says more"
                outcome = {"state": "failed", "code": "enrolment_failed", "message": words}
            if avatar.id in self._records and not self._closing:
                await self._write(avatar.id, replace(self._records[avatar.id], **outcome))

        def done(task: asyncio.Task[None]) -> None:
            self._first.pop(avatar.id, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("cannot keep how the enrolment of %s went: %s", avatar.id, error)

        task = self._first[avatar.id] = asyncio.create_task(bring_up())
        task.add_done_callback(done)
        return task

    async def _let_go_of_video(self, avatar: Avatar, key: str) -> None:
        """Keep what was learnt from its video instead, where its pipeline needs no more."""
        video = avatar.material.video
        if video is None or find_system(self._records[avatar.id].pipeline).keeps_video:
            return
        material, note = await self._features.settle(avatar, key)
        record = self._records.get(avatar.id)
        if record is None:  # deleted meanwhile
            await asyncio.to_thread(self._delete_files, avatar.id, [])
            return
        self._avatars[avatar.id] = replace(avatar, material=material)
        await self._write(avatar.id, replace(record, material=material, note=note))
        await asyncio.to_thread(video.unlink, missing_ok=True)

    async def delete(self, avatar: Avatar) -> None:
        """Forget an uploaded avatar; an enrolment of it is cancelled. Sessions keep their face.

        Raises:
            AvatarRejected: it belongs to the shipped cast.
            StorageError: its files cannot be deleted.
        """
        if avatar.kind == "cast":
            raise AvatarRejected(f"{avatar.name} belongs to the shipped cast and stays")
        with storing():
            await self._discard(avatar.id)

    async def _discard(self, avatar_id: str, *, keep_work: bool = False) -> None:
        avatar = self._avatars.pop(avatar_id, None)  # from now on it cannot be enrolled
        self._pictures.stop(avatar_id)
        keys = self._forget(avatar_id)
        if avatar is not None:
            await self._features.cancel(avatar, keep_work=keep_work)
        async with self._disk:
            await asyncio.to_thread(self._delete_files, avatar_id, keys)

    def _forget(self, avatar_id: str) -> builtins.list[str]:
        """Drop the record of an upload; the keys of features that nobody else needs."""
        record = self._records.pop(avatar_id, None)
        used = {key for record in self._records.values() for key in record.keys}
        made = self._features.forget(avatar_id).union(record.keys if record is not None else ())
        return sorted(made - used - self._features.keys_of_others(avatar_id))

    def _delete_files(self, avatar_id: str, keys: builtins.list[str]) -> None:
        # The record goes first: files without one are swept at the next start.
        for path in (
            self._uploads / f"{avatar_id}.json",
            *self._uploads.glob(f"{avatar_id}.*"),
            *(self._features.store.path(key) for key in keys),
            *(clip_path(self._features.store.path(key)) for key in keys),
        ):
            path.unlink(missing_ok=True)
        self._pictures.forget(avatar_id)

    async def close(self) -> None:
        """End what is under way; enrolments that were acknowledged go on at the next start."""
        self._closing = True
        tasks = list(self._first.values())
        for task in tasks:
            task.cancel()
        await self._features.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pictures.close()
        await self._previews.close()
        async with self._disk:  # what is being written is, before anybody else may
            self._lock.release()
