"""Which avatars there are: the shipped cast, and uploads with the records that are kept of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.identity import IdentityStore
from pipelines.pipeline import Material
from realtime.access.caller import caller
from realtime.access.credentials import utc_now
from realtime.avatars.features import suits
from realtime.avatars.records import Avatar, Record, read_record, write_record
from realtime.config import ServerConfig
from realtime.errors import UnknownAvatar
from realtime.storage import storing

logger = logging.getLogger(__name__)


class Collection:
    """The avatars by id: the cast, then uploads by their age. The newest record of an upload is the
    one on disk."""

    def __init__(self, config: ServerConfig) -> None:
        self.folder = config.data_dir / "avatars"
        """Of the records of uploads, and of the files that these name."""
        self.records: dict[str, Record] = {}
        """Of uploads, by avatar id."""
        self._avatars: dict[str, Avatar] = {}
        self._days = config.retention_days
        self.disk = asyncio.Lock()
        """Held by whoever changes files of uploads: one at a time."""
        for photo in sorted(config.cast_dir.glob("*.png")):
            member = Avatar(photo.stem, photo.stem.title(), "cast", Material(photo=photo))
            self._avatars[member.id] = member
        store = IdentityStore(config.identities_dir)
        kept: dict[str, Record] = {}
        for path in self.folder.glob("*.json"):
            try:
                kept[path.stem] = read_record(path, store)
            except ValueError as error:
                logger.warning("ignoring the broken avatar record %s: %s", path.name, error)
        for avatar_id in sorted(kept, key=lambda one: (self._when(one, kept[one]), one)):
            self.add(avatar_id, kept[avatar_id])

    def __iter__(self) -> Iterator[Avatar]:
        return iter(list(self._avatars.values()))

    def __contains__(self, avatar_id: str) -> bool:
        return avatar_id in self._avatars

    def seen(self) -> list[Avatar]:
        """Those that exist for whoever asks, the cast first."""
        return [avatar for avatar in self if caller().may_see(self.owner(avatar))]

    def owner(self, avatar: Avatar) -> str:
        """Whose it is; empty: everybody's."""
        record = self.records.get(avatar.id)
        return "" if record is None else record.owner

    def is_over(self, avatar_id: str, now: datetime) -> bool:
        """Whether the time of an upload is over."""
        made = self._when(avatar_id, self.records[avatar_id])
        return bool(self._days) and now - made > timedelta(days=self._days)

    def outdated(self, now: datetime) -> list[Avatar]:
        """The uploads whose time is over."""
        return [a for a in self if a.id in self.records and self.is_over(a.id, now)]

    def _when(self, avatar_id: str, record: Record) -> datetime:
        """An upload was made. Older releases did not keep it: then the file of its record tells."""
        return datetime.fromisoformat(record.made or _written(self._file(avatar_id)))

    def _file(self, avatar_id: str) -> Path:
        return self.folder / f"{avatar_id}.json"

    def get(self, avatar_id: str) -> Avatar:
        """The avatar of this id (or, failing that, of this name) that exists for whoever asks.

        Raises:
            UnknownAvatar: there is none.
        """
        seen = {avatar.id: avatar for avatar in self.seen()}
        if avatar_id in seen:
            return seen[avatar_id]
        for avatar in seen.values():
            if avatar.name.lower() == avatar_id.lower():
                return avatar
        names = ", ".join(seen) or "none yet"
        raise UnknownAvatar(f"no avatar is called {avatar_id!r}; there are: {names}")

    def default(self, pipeline: str) -> Avatar:
        """The first avatar of whoever asks that the pipeline can use.

        Raises:
            UnknownAvatar: there is none.
        """
        for avatar in self.seen():
            record = self.records.get(avatar.id)
            ready = record is None or record.state == "ready"
            if ready and suits(avatar, pipeline):
                return avatar
        raise UnknownAvatar(
            f"this server has no avatar for the pipeline {pipeline!r} yet; upload one first"
        )

    def newest(self, avatar: Avatar) -> Avatar:
        """The avatar with the material that it has by now; as it is where it was deleted."""
        return self._avatars.get(avatar.id, avatar)

    def add(self, avatar_id: str, record: Record) -> Avatar:
        """Take an upload in; nothing is written."""
        avatar = Avatar(avatar_id, record.name, "upload", record.material)
        self._avatars[avatar_id] = avatar
        self.records[avatar_id] = record
        return avatar

    def give_material(self, avatar: Avatar, material: Material) -> None:
        """Have it made of other files than before; nothing is written."""
        self._avatars[avatar.id] = replace(avatar, material=material)

    def remove(self, avatar_id: str) -> tuple[Avatar | None, Record | None]:
        """Forget an avatar; what was known of it. Its files stay, see `delete_files`."""
        return self._avatars.pop(avatar_id, None), self.records.pop(avatar_id, None)

    async def write(self, avatar_id: str, record: Record) -> None:
        """Keep a record, unless its avatar is deleted meanwhile.

        Raises:
            StorageError: it cannot be kept.
        """
        self.records[avatar_id] = record
        with storing():
            await asyncio.shield(self._write_newest(avatar_id))

    async def _write_newest(self, avatar_id: str) -> None:
        async with self.disk:
            record = self.records.get(avatar_id)
            if record is not None:
                await asyncio.to_thread(write_record, self._file(avatar_id), record)

    async def remember_key(self, avatar: Avatar, key: str) -> None:
        """Keep on an upload's record that features of `key` are made of it."""
        record = self.records.get(avatar.id)
        if record is not None and key not in record.keys:
            await self.write(avatar.id, replace(record, keys=(*record.keys, key)))

    def keys(self) -> set[str]:
        """Of the features of all uploads."""
        return {key for record in self.records.values() for key in record.keys}

    def delete_files(self, avatar_id: str) -> None:
        """Delete the files of an upload, the record first: files without one are swept."""
        for path in (self.folder / f"{avatar_id}.json", *self.folder.glob(f"{avatar_id}.*")):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete the files that no record names; those beside a record that cannot be read stay."""
        if not self.folder.is_dir():
            return
        unread = {path.stem for path in self.folder.glob("*.json")} - self.records.keys()
        named = {path.name for record in self.records.values() for path in record.files.values()}
        for path in self.folder.iterdir():
            kept = path.name in named or path.suffix == ".json"
            if path.is_file() and not kept and path.name.partition(".")[0] not in unread:
                path.unlink()


def _written(path: Path) -> str:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
    except OSError:  # not written yet
        return utc_now().isoformat()
