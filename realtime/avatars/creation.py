"""How an upload becomes an avatar: its files are kept, it is enrolled, its record says how it went.

An upload is acknowledged at the latest when it is enrolled; until then nothing of it outlives the
program, but what an interrupted enrolment had worked out.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import replace
from typing import Any

from pipelines.pipeline import Material
from pipelines.registry import find_system
from realtime.access.caller import caller
from realtime.access.credentials import utc_now
from realtime.avatars.collection import Collection
from realtime.avatars.deletion import Deletion
from realtime.avatars.features import Features
from realtime.avatars.process import OnProgress
from realtime.avatars.records import Avatar, Record
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
from realtime.storage import storing

logger = logging.getLogger(__name__)

_NOT_THEIR_FAULT = frozenset({StorageError.code, PipelineNotLoaded.code})
"""Failures of enrolments that say nothing against the material: they are tried again."""


class Creation:
    """Turns uploads into avatars of a collection."""

    def __init__(
        self, config: ServerConfig, collection: Collection, features: Features, deletion: Deletion
    ) -> None:
        self._config = config
        self._collection = collection
        self._features = features
        self._deletion = deletion
        self._first: dict[str, asyncio.Task[None]] = {}  # first enrolments, by avatar id
        self._keeping = 0  # uploads of which there is no record yet
        self._closing = False

    async def create(
        self, upload: Upload, *, wait_s: float | None, on_progress: OnProgress | None
    ) -> Avatar:
        """See `AvatarLibrary.create`."""
        upload.check()
        pipeline = choose_pipeline(upload, self._config)
        if len(self._collection.records) + self._keeping >= self._config.max_avatars:
            raise AtCapacity(
                f"this server keeps at most {self._config.max_avatars} uploaded avatars; "
                "delete one first"
            )
        name = upload.name.strip()
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "avatar"
        avatar_id = f"{slug}-{secrets.token_hex(3)}"
        try:
            material = await self._keep(upload, avatar_id)
            record = Record(
                name=name,
                material=material,
                owner=caller().owner,
                made=utc_now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                pipeline=pipeline,
                state="uploading",
            )
            avatar = self._collection.add(avatar_id, record)
            if upload.video is not None and wait_s is not None:
                wait_s = 0
            await self._enrol_upload(avatar, wait_s, on_progress)
        except asyncio.CancelledError:  # the program ends; whoever tries again goes on from there
            await self._deletion.discard(avatar_id, keep_work=True)
            raise
        except BaseException:
            await self._deletion.discard(avatar_id)
            raise
        return self._collection.newest(avatar)

    async def _keep(self, upload: Upload, avatar_id: str) -> Material:
        self._keeping += 1
        try:
            with storing():
                self._collection.folder.mkdir(parents=True, exist_ok=True)
                stem = self._collection.folder / avatar_id
                return await keep(upload, stem, self._config, self._features)
        finally:
            self._keeping -= 1

    async def _enrol_upload(
        self, avatar: Avatar, wait_s: float | None, on_progress: OnProgress | None
    ) -> None:
        records = self._collection.records
        await self._collection.write(avatar.id, records[avatar.id])
        done, _ = await asyncio.wait({self._bring_up(avatar, on_progress)}, timeout=wait_s)
        record = records.get(avatar.id)
        if record is None:
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        if not done:
            await self._collection.write(avatar.id, replace(record, state="enrolling"))
        elif record.code == StorageError.code:
            raise StorageError(record.message)
        elif record.code == PipelineNotLoaded.code:
            raise PipelineNotLoaded(record.message, None)
        elif record.state == "failed":
            raise AvatarRejected(record.message, record.code)

    def forgive(self) -> None:
        """Have uploads tried again whose enrolments failed for no fault of theirs."""
        records = self._collection.records
        for avatar_id, record in list(records.items()):
            if record.state == "failed" and record.code in _NOT_THEIR_FAULT:
                records[avatar_id] = replace(record, state="enrolling", code="", message="")

    def go_on(self) -> None:
        """Go on with the enrolments that were acknowledged."""
        for avatar_id, record in list(self._collection.records.items()):
            if record.state == "enrolling":
                self._bring_up(self._collection.get(avatar_id))

    def _bring_up(
        self, avatar: Avatar, on_progress: OnProgress | None = None
    ) -> asyncio.Task[None]:
        """Enrol an upload for the first time, and keep on its record how that went."""

        def done(task: asyncio.Task[None]) -> None:
            self._first.pop(avatar.id, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("cannot keep how the enrolment of %s went: %s", avatar.id, error)

        task = asyncio.create_task(self._enrol_first(avatar, on_progress))
        self._first[avatar.id] = task
        task.add_done_callback(done)
        return task

    async def _enrol_first(self, avatar: Avatar, on_progress: OnProgress | None) -> None:
        outcome: dict[str, Any] = {"state": "ready"}
        records = self._collection.records
        record = records.get(avatar.id)
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
        if avatar.id in records and not self._closing:
            await self._collection.write(avatar.id, replace(records[avatar.id], **outcome))

    async def _let_go_of_video(self, avatar: Avatar, key: str) -> None:
        """Keep what was learnt from its video instead, where its pipeline needs no more."""
        records = self._collection.records
        video = avatar.material.video
        if video is None or find_system(records[avatar.id].pipeline).keeps_video:
            return
        material, note = await self._features.settle(avatar, key)
        record = records.get(avatar.id)
        if record is None:  # deleted meanwhile
            await self._deletion.discard(avatar.id)
            return
        self._collection.give_material(avatar, material)
        await self._collection.write(avatar.id, replace(record, material=material, note=note))
        await asyncio.to_thread(video.unlink, missing_ok=True)

    def cancel(self) -> None:
        """Have first enrolments end, and keep nothing of how they went."""
        self._closing = True
        for task in self._first.values():
            task.cancel()

    async def close(self) -> None:
        """Wait until they have ended."""
        await asyncio.gather(*self._first.values(), return_exceptions=True)
