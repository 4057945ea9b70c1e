"""Identity features of avatars, by pipeline: made when they are first wanted, by a process.

Features are content-addressed and a cache: what is missing, of whatever reason, is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pipelines.identity import IdentityStore
from pipelines.photo.errors import advice_from_meta as from_meta
from pipelines.pipeline import Material
from pipelines.registry import find_system
from realtime.avatars import worker
from realtime.avatars.process import EnrolmentProcess, OnProgress
from realtime.avatars.records import Avatar, kinds_of
from realtime.config import ServerConfig
from realtime.errors import AvatarNotReady, AvatarRejected, PipelineNotLoaded, UnknownAvatar
from realtime.metrics import Metrics


class Enrolment:
    """One under way: of an avatar, for a pipeline."""

    def __init__(self, avatar: Avatar, pipeline: str) -> None:
        self.avatar = avatar
        self.pipeline = pipeline
        self.share = 0.0
        self.stage = "waiting for its turn"
        self.task: asyncio.Task[None]
        self.listeners: list[OnProgress] = []
        self.keep_work = False
        """Its scratch folder stays, for the next time."""

    def report(self, share: float, stage: str) -> None:
        """Take progress in (`OnProgress`)."""
        self.share, self.stage = share, stage
        for listener in self.listeners:
            listener(share, stage)


class Features:
    """Makes and deletes the features of avatars.

    Args:
        config: the folders, and the pipelines' options.
        on_key: told that features of a key are about to be made of an avatar.
        exists: whether an avatar is still there.
    """

    def __init__(
        self,
        config: ServerConfig,
        metrics: Metrics,
        on_key: Callable[[Avatar, str], Awaitable[None]],
        exists: Callable[[Avatar], bool] = lambda avatar: True,
    ) -> None:
        self.store = IdentityStore(config.identities_dir)
        self._scratch = config.data_dir / "enrolments"
        self._config = config
        self._metrics = metrics
        self._on_key = on_key
        self._exists = exists
        self._keys: dict[tuple[str, str], str] = {}  # by avatar id and pipeline
        self._under_way: dict[str, Enrolment] = {}  # by key
        self._sound: set[str] = set()  # keys of features that were verified
        self._closing = False
        # Videos may take minutes, and photos seconds; whoever is quicker does not wait for them.
        self._quick = EnrolmentProcess(config.enrol_stall_s)
        self._photos = EnrolmentProcess(config.enrol_stall_s)
        self._videos = EnrolmentProcess(config.enrol_stall_s)
        self._processes = (self._quick, self._photos, self._videos)

    def options_of(self, pipeline: str) -> Any:
        """What the server runs that pipeline with."""
        return self._config.options_of(pipeline)

    def yield_to_sessions(self) -> None:
        """Sessions come first from now on."""
        for process in self._processes:
            process.yield_to_sessions()

    def stop_yielding(self) -> None:
        """There are no sessions any more."""
        for process in self._processes:
            process.stop_yielding()

    async def key(self, avatar: Avatar, pipeline: str) -> str:
        """The content address of what `pipeline` makes of the avatar, made or not.

        Raises:
            AvatarRejected: the pipeline does not take its material.
            UnknownAvatar: its files are gone.
            PipelineNotLoaded: the pipeline, or weights that it needs, are not installed.
        """
        try:
            if not suits(avatar, pipeline):
                words = describe_unsuited(pipeline, kinds_of(avatar.material))
                raise AvatarRejected(f"{avatar.name} cannot be used: {words}", "unsuited_material")
            return await asyncio.to_thread(self.key_now, avatar, pipeline)  # may read a whole video
        except ValueError as error:
            raise PipelineNotLoaded(str(error), None) from error

    def key_now(self, avatar: Avatar, pipeline: str) -> str:
        """The same, of material that is known to be taken, not on the event loop."""
        found = self._keys.get((avatar.id, pipeline))
        if found is None:
            options = self._config.options_of(pipeline)
            try:
                found = find_system(pipeline).key(avatar.material, options)
            except OSError as error:
                raise UnknownAvatar(
                    f"the files of {avatar.id!r} cannot be read: {error}"
                ) from error
            self._keys[avatar.id, pipeline] = found
        return found

    def has(self, key: str) -> bool:
        """Whether features of `key` are on disk (those found damaged are removed)."""
        return self.store.path(key).exists()

    async def _is_sound(self, key: str) -> bool:
        """Whether features of `key` are on disk, and were undamaged when they were first used."""
        if key not in self._sound:
            try:
                await asyncio.to_thread(self.store.load, key)
            except KeyError:
                return False
            self._sound.add(key)
        return self.has(key)

    def progress_of(self, avatar: Avatar) -> tuple[float, str]:
        """How far an enrolment of the avatar is, and its stage."""
        for enrolment in self._under_way.values():
            if enrolment.avatar.id == avatar.id:
                return enrolment.share, enrolment.stage
        return 0.0, "waiting for its turn"

    async def ensure(
        self,
        avatar: Avatar,
        pipeline: str,
        wait_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> str:
        """See `AvatarLibrary.ensure`."""
        key = await self.key(avatar, pipeline)
        if await self._is_sound(key):
            await self._on_key(avatar, key)  # made of another avatar of the same photo, perhaps
            return key
        if not self._exists(avatar):  # deleted meanwhile: its enrolment would outlive it
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        if key not in self._under_way:
            enrolment = Enrolment(avatar, pipeline)
            enrolment.task = asyncio.create_task(self._enrol(enrolment, key))
            enrolment.task.add_done_callback(_look_at)
            self._under_way[key] = enrolment
        enrolment = self._under_way[key]
        if on_progress is not None:
            enrolment.listeners.append(on_progress)
        done, _ = await asyncio.wait({enrolment.task}, timeout=wait_s)
        if not done:
            raise AvatarNotReady(
                f"{avatar.name} is still being prepared for the pipeline {pipeline!r} "
                f"({enrolment.share:.0%}: {enrolment.stage})"
            )
        if enrolment.task.cancelled():
            raise UnknownAvatar(f"avatar {avatar.id!r} was deleted")
        enrolment.task.result()  # raises what went wrong
        return key

    async def _enrol(self, enrolment: Enrolment, key: str) -> None:
        avatar, pipeline = enrolment.avatar, enrolment.pipeline
        process = self._photos if avatar.material.video is None else self._videos
        folder = self._scratch / key
        begin = time.monotonic()
        try:
            await self._on_key(avatar, key)
            options = self._config.options_of(pipeline)
            job = (pipeline, avatar.material, options, self.store.root, folder)
            await process.run(worker.enrol, *job, on_progress=enrolment.report)
            self._metrics.enrol_ms.observe((time.monotonic() - begin) * 1000)
        finally:
            self._under_way.pop(key, None)
            if not (self._closing or enrolment.keep_work):  # else the next one goes on from there
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def settle(self, avatar: Avatar, key: str) -> tuple[Material, str]:
        """Put what was learnt from the avatar's video beside it, as the features of `key` have it.
        Its material without the video, which nobody deleted yet, and a note for the user.

        Raises:
            AvatarRejected: the features hold nothing of it, or are gone.
            StorageError: it cannot be kept.
        """
        video = avatar.material.video
        assert video is not None
        learnt, picture = video.with_suffix(".learnt"), video.with_suffix(".jpg")
        given = avatar.material.photo
        wanted = picture if given is None else None
        note = await self.run(worker.settle, self.store.root, key, learnt, wanted)
        photo = picture if given is None else given
        return replace(avatar.material, photo=photo, video=None, learnt=learnt), note

    async def advice(self, key: str) -> tuple[dict[str, str], ...]:
        """What would make the avatar of `key` better; nothing where its features are gone."""
        with contextlib.suppress(KeyError, ValueError):
            found = await asyncio.to_thread(self.store.load, key)
            return tuple(from_meta(found.meta))
        return ()

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """Carry out a quick job of `worker`; see `EnrolmentProcess.run`."""
        return await self._quick.run(work, *args)

    async def draw(self, work: Callable[..., Any], *args: Any) -> Any:
        """Carry out a job of `worker` that draws, where photos are enrolled: PyTorch is there."""
        return await self._photos.run(work, *args)

    async def cancel(self, avatar: Avatar, *, keep_work: bool = False) -> None:
        """End the enrolments of an avatar, save those that another one needs too."""
        shared = self.keys_of_others(avatar.id)
        ending = [
            enrolment
            for key, enrolment in self._under_way.items()
            if enrolment.avatar.id == avatar.id and key not in shared
        ]
        for enrolment in ending:
            enrolment.keep_work = keep_work
            enrolment.task.cancel()
        await asyncio.gather(*(each.task for each in ending), return_exceptions=True)

    def keys_of_others(self, avatar_id: str) -> set[str]:
        """The keys of the features of all other avatars, as far as anybody asked for them."""
        return {key for (owner, _), key in self._keys.items() if owner != avatar_id}

    def forget(self, avatar_id: str) -> set[str]:
        """The keys of the features of an avatar that is deleted, as far as anybody asked."""
        own = [asked for asked in self._keys if asked[0] == avatar_id]
        return {self._keys.pop(asked) for asked in own}

    def sweep(self, needed: set[str], unused_bytes: int) -> None:
        """Delete scratch folders of nobody, and the oldest features that nobody needs."""
        for folder in self._scratch.glob("*"):
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)
        self.store.trim(needed, unused_bytes)

    async def rest(self) -> None:
        """End the process that enrols photos; the next one starts it anew."""
        await self._photos.close()

    async def close(self) -> None:
        """End everything at once; enrolments go on from where they are at the next start."""
        self._closing = True
        for process in self._processes:
            process.kill()
        tasks = [enrolment.task for enrolment in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for process in self._processes:
            await process.close()


def takes(pipeline: str, kinds: frozenset[str]) -> bool:
    """Whether the pipeline makes avatars of material of these kinds."""
    return kinds <= find_system(pipeline).accepts


def suits(avatar: Avatar, pipeline: str) -> bool:
    """Whether the pipeline takes the avatar's material."""
    return takes(pipeline, kinds_of(avatar.material))


def describe_unsuited(pipeline: str, kinds: frozenset[str]) -> str:
    """Why it does not, in words."""
    wanted = " and ".join(sorted(find_system(pipeline).accepts)) or "nothing"
    return (
        f"the pipeline {pipeline!r} makes avatars of {wanted}, not of {' and '.join(sorted(kinds))}"
    )


def _look_at(task: asyncio.Task[None]) -> None:
    """Whoever waits for it raises what went wrong; nobody has to."""
    if not task.cancelled():
        task.exception()
