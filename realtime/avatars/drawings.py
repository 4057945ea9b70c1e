"""Short clips of avatars that move, for pages: drawn by the enrolment process, kept by key."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from pipelines.pipeline import Previews as CanPreview
from pipelines.registry import find_system
from realtime.avatars import worker
from realtime.avatars.features import Features
from realtime.errors import UnknownAvatar
from realtime.storage import read_sealed


class Previews:
    """Animated WebPs beside the features that they are drawn of; a cache as these are."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._under_way: dict[str, asyncio.Task[None]] = {}  # by key

    async def get(self, key: str, pipeline: str) -> bytes:
        """The clip of features that are there.

        Raises:
            UnknownAvatar: the pipeline draws none.
            AvatarRejected: drawing it failed.
        """
        if not isinstance(find_system(pipeline), CanPreview):
            raise UnknownAvatar(f"the pipeline {pipeline!r} draws no previews")
        kept = clip_path(self._features.store.path(key))
        with suppress(OSError):
            return await asyncio.to_thread(read_sealed, kept)
        if key not in self._under_way:  # many may ask at once
            self._under_way[key] = asyncio.create_task(self._draw(key, pipeline, kept))
        await asyncio.shield(self._under_way[key])
        try:
            return await asyncio.to_thread(read_sealed, kept)
        except OSError as error:
            raise UnknownAvatar("the avatar was deleted") from error

    async def _draw(self, key: str, pipeline: str, kept: Path) -> None:
        store = self._features.store
        try:
            options = self._features.options_of(pipeline)
            await self._features.draw(worker.draw_preview, pipeline, options, store.root, key, kept)
            if not self._features.has(key):  # deleted meanwhile
                await asyncio.to_thread(kept.unlink, missing_ok=True)
        finally:
            del self._under_way[key]

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def clip_path(features: Path) -> Path:
    """Where the clip of features is kept: beside them, so that they are trimmed together."""
    return features.with_suffix(".webp")
