"""The avatars a server offers: the shipped cast and what users have uploaded.

Of an upload are kept a record, its photo, re-encoded and without metadata, from which the features
of whichever preset the server runs are made, and these features; deleting it deletes all of them.

Enrolling a photo (face mesh, matte, inpainting) takes a second or two of pure computation on
untrusted bytes, so it runs in a worker process of its own: neither a running session nor the
server notices, whatever the image holds. The worker is started on demand and ends when idle.
"""

from __future__ import annotations

import asyncio
import builtins
import io
import json
import logging
import multiprocessing
import os
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

from PIL import Image
from safetensors import SafetensorError, safe_open

from pipelines.identity import IdentityStore
from pipelines.parts import parts_of
from pipelines.photo.decode import clean
from pipelines.photo.errors import EnrolmentError
from pipelines.presets import Preset
from realtime.errors import AtCapacity, AvatarRejected, UnknownAvatar
from realtime.metrics import Metrics

logger = logging.getLogger(__name__)

WORKER_IDLE_S = 60.0
PICTURE_PX = 384
UNUSED_BYTES = 256 * 1024 * 1024  # of features kept of other presets, other renderers and clips
NAME_RULE = "1 to 60 characters, no control characters"


@dataclass(frozen=True)
class Avatar:
    """One face that a session can wear. `key` is the content address of its identity features."""

    id: str
    name: str
    kind: Literal["cast", "upload"]
    key: str

    def describe(self) -> dict[str, str]:
        """What `GET /v1/avatars` says of it."""
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "image": f"/v1/avatars/{self.id}/image",
        }


def check_name(name: str) -> str:
    """Return `name` without outer blanks, or raise AvatarRejected where it breaks NAME_RULE."""
    name = name.strip()
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise AvatarRejected(f"the avatar's name must have {NAME_RULE}")
    return name


def _enrol_file(root: Path, preset: Preset, photo: Path) -> str:
    features = parts_of(preset).enrol(photo.read_bytes())
    IdentityStore(root).save(features)
    return features.key


def _write_record(path: Path, name: str, keys: list[str]) -> None:
    """Write it so that a reader sees all of it or none."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"name": name, "keys": keys}))
    part.replace(path)


def _attempt(work: Callable[..., Any], *args: Any) -> tuple[str, Any, str]:
    """In the worker: ("ok", result, "") or ("error", code, message)."""
    try:
        return "ok", work(*args), ""
    except EnrolmentError as error:
        return "error", error.code, str(error)


def _worker_init() -> None:
    os.nice(15)  # running sessions come first
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the detector's native chatter
    os.environ["OMP_NUM_THREADS"] = "1"


class AvatarLibrary:
    """Lists, enrols, loads and deletes avatars.

    Args:
        data_dir: where uploads and identity features are kept.
        cast_dir: a folder of portraits that come with the server, PNG.
        max_avatars: uploads kept at most.
        preset: whose identity features are kept.

    Raises:
        ValueError: the preset's weights are not installed.
    """

    def __init__(
        self,
        data_dir: Path,
        cast_dir: Path,
        max_avatars: int,
        metrics: Metrics,
        preset: Preset,
    ) -> None:
        self._preset = preset
        self._parts = parts_of(preset)
        self._uploads = data_dir / "avatars"
        self._uploads.mkdir(parents=True, exist_ok=True)
        self._store = IdentityStore(data_dir / "identities")
        self._max_avatars = max_avatars
        self._metrics = metrics
        self._avatars: dict[str, Avatar] = {}
        self._photos: dict[str, Path] = {}
        self._keys: dict[str, builtins.list[str]] = {}  # of uploads
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._creating = 0
        self._worker: ProcessPoolExecutor | None = None
        self._worker_used = 0.0
        self._reaper: asyncio.Task[None] | None = None
        for photo in sorted(cast_dir.glob("*.png")):
            key = self._parts.identity_key(photo.read_bytes())
            self._avatars[photo.stem] = Avatar(photo.stem, photo.stem.title(), "cast", key)
            self._photos[photo.stem] = photo
        for record in sorted(self._uploads.glob("*.json")):
            self._adopt(record)

    def _adopt(self, record: Path) -> None:
        photo = record.with_suffix(".jpg")
        try:
            fields = json.loads(record.read_text())
            name, keys = str(fields["name"]), [str(key) for key in fields.get("keys", [])]
            if "key" in fields:  # as it was before photos were kept: only its features are there
                keys.append(str(fields["key"]))
                _canvas(self._store.path(keys[0])).save(photo, quality=95, subsampling=0)
            key = self._parts.identity_key(photo.read_bytes())
        except (OSError, ValueError, KeyError, TypeError, UnknownAvatar) as error:
            logger.warning("ignoring the broken avatar record %s: %s", record.name, error)
            return
        self._add(Avatar(record.stem, name, "upload", key), photo, keys)

    def _add(self, avatar: Avatar, photo: Path, keys: builtins.list[str]) -> None:
        """Take in an upload; `keys` are those of all features that were ever made of it."""
        if avatar.key not in keys:
            keys.append(avatar.key)
            _write_record(photo.with_suffix(".json"), avatar.name, keys)
        self._avatars[avatar.id] = avatar
        self._photos[avatar.id] = photo
        self._keys[avatar.id] = keys

    def sweep(self) -> None:
        """Delete what is left of uploads that ended with the program, before their record was
        written, and the oldest features that no avatar needs.

        For the one server of this folder, before its first upload.
        """
        for path in self._uploads.iterdir():
            if path.suffix == ".jpg" and not path.with_suffix(".json").exists():
                self._forget(self._parts.identity_key(path.read_bytes()))
                path.unlink()
            elif path.suffix == ".part":
                path.unlink()
        self._store.trim(self._needed(), UNUSED_BYTES)

    def _needed(self) -> set[str]:
        """The keys of all features in use, and for pictures older ones of whom has no others."""
        needed = {avatar.key for avatar in self._avatars.values()}
        for avatar_id, keys in self._keys.items():
            if not self._store.path(self._avatars[avatar_id].key).exists():
                needed.update(keys)
        return needed

    def list(self) -> list[Avatar]:
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

    @property
    def identities(self) -> Path:
        """The folder in which identity features are kept, by key."""
        return self._store.root

    def _lock(self, avatar: Avatar) -> asyncio.Lock:
        """Held while the features of a face are made or deleted."""
        return self._locks.setdefault(avatar.key, asyncio.Lock())

    async def ensure(self, avatar: Avatar) -> str:
        """The key of its identity features, which are on disk; they are made on first use.

        Raises:
            UnknownAvatar: it was deleted.
            AvatarRejected: no avatar can be made of the picture.
        """
        async with self._lock(avatar):
            if not self._store.path(avatar.key).exists():
                if avatar.id not in self._photos:
                    raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
                await self._in_worker(
                    _enrol_file, self._store.root, self._preset, self._photos[avatar.id]
                )
        return avatar.key

    async def enrol_cast(self) -> None:
        """Enrol the cast members that this machine has not enrolled before: a second each, once."""
        cast = [a for a in self.list() if a.kind == "cast"]
        missing = [a for a in cast if not self._store.path(a.key).exists()]
        for n, avatar in enumerate(missing):
            logger.info("first start: preparing the cast, %d of %d", n + 1, len(missing))
            try:
                await self.ensure(avatar)
            except AvatarRejected as error:
                logger.error("cast member %s cannot be enrolled: %s", avatar.name, error)
        await asyncio.to_thread(self._close_worker)

    async def create(self, name: str, photo: bytes) -> Avatar:
        """Turn a photo into an avatar.

        Raises:
            AvatarRejected: bad name, or no avatar can be made of the image.
            AtCapacity: too many uploads are kept already.
        """
        name = check_name(name)
        kept = sum(avatar.kind == "upload" for avatar in self._avatars.values())
        if kept + self._creating >= self._max_avatars:
            raise AtCapacity(
                f"this server keeps at most {self._max_avatars} uploaded avatars; delete one first"
            )
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "avatar"
        avatar_id = f"{slug}-{secrets.token_hex(3)}"
        path = self._uploads / f"{avatar_id}.jpg"
        self._creating += 1
        try:
            path.write_bytes(await self._in_worker(clean, photo))
            key = await self._in_worker(_enrol_file, self._store.root, self._preset, path)
            avatar = Avatar(avatar_id, name, "upload", key)
            self._add(avatar, path, [])
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._creating -= 1
        return avatar

    async def delete(self, avatar: Avatar) -> None:
        """Forget an uploaded avatar. Sessions that wear it keep their face.

        Raises:
            AvatarRejected: it belongs to the shipped cast.
        """
        if avatar.kind == "cast":
            raise AvatarRejected(f"{avatar.name} belongs to the shipped cast and stays")
        async with self._lock(avatar):  # features that are being made would outlive it
            self._avatars.pop(avatar.id, None)
            self._photos.pop(avatar.id, None)
            for suffix in (".json", ".jpg"):
                (self._uploads / avatar.id).with_suffix(suffix).unlink(missing_ok=True)
            self._forget(*self._keys.pop(avatar.id, []))

    def _forget(self, *keys: str) -> None:
        """Delete features, save those that other avatars share."""
        used = {avatar.key for avatar in self._avatars.values()}.union(*self._keys.values())
        for key in set(keys) - used:
            self._store.path(key).unlink(missing_ok=True)

    async def picture(self, avatar: Avatar) -> bytes:
        """A square JPEG of the avatar.

        Features of any preset hold it, so that a page of them waits for no enrolment.
        """
        if avatar.kind == "cast":
            return await asyncio.to_thread(_jpeg_of_file, self._photos[avatar.id])
        paths = [self._store.path(key) for key in (avatar.key, *self._keys.get(avatar.id, []))]
        path = next((path for path in paths if path.exists()), None)
        path = path or self._store.path(await self.ensure(avatar))
        return await asyncio.to_thread(_jpeg_of_features, path)

    async def _in_worker(self, work: Callable[..., Any], *args: Any) -> Any:
        begin = time.monotonic()
        if self._worker is None:
            self._worker = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_worker_init
            )
        self._worker_used = begin
        if self._reaper is None or self._reaper.done():
            self._reaper = asyncio.create_task(self._reap())
        future = asyncio.wrap_future(self._worker.submit(_attempt, work, *args))
        try:
            verdict, what, message = await future
        except BrokenProcessPool as error:
            self._worker = None
            raise AvatarRejected("the image made the enrolment fail; try another file") from error
        self._worker_used = time.monotonic()
        if work is _enrol_file:
            self._metrics.enrol_ms.observe((self._worker_used - begin) * 1000)
        if verdict == "error":
            rejected = AvatarRejected(message)
            rejected.code = what
            raise rejected
        return what

    async def _reap(self) -> None:
        while self._worker is not None:
            await asyncio.sleep(WORKER_IDLE_S / 4)
            if time.monotonic() - self._worker_used > WORKER_IDLE_S:
                await asyncio.to_thread(self._close_worker)

    def _close_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=True, cancel_futures=True)

    async def close(self) -> None:
        """End the worker."""
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
        await asyncio.to_thread(self._close_worker)


def _jpeg_of_file(path: Path) -> bytes:
    with Image.open(path) as image:
        return _jpeg(image.convert("RGB"))


def _jpeg_of_features(path: Path) -> bytes:
    return _jpeg(_canvas(path))


def _canvas(path: Path) -> Image.Image:
    try:
        with safe_open(path, "np") as file:
            return Image.fromarray(file.get_tensor("canvas"))
    except (FileNotFoundError, SafetensorError) as error:
        raise UnknownAvatar(f"the features of this avatar are gone: {error}") from error


def _jpeg(image: Image.Image) -> bytes:
    image = image.copy()
    image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()
