"""What pages show of avatars as sessions draw them: drawn by the enrolment process, kept by key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pipelines
from pipelines.pipeline import Previews as CanPreview
from pipelines.pipeline import Size
from pipelines.registry import find_system
from realtime.avatars import worker
from realtime.avatars.features import Features
from realtime.errors import NotReady, UnknownAvatar
from realtime.storage import read_sealed


class Drawings:
    """Clips and stills beside the features that they are drawn of; a cache as these are."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._under_way: dict[Path, asyncio.Task[None]] = {}

    async def clip(self, key: str, pipeline: str) -> bytes:
        """Two seconds of the face of features that are there: an animated WebP.

        Raises:
            UnknownAvatar: the pipeline draws none.
            AvatarRejected: drawing it failed.
        """
        if not isinstance(find_system(pipeline), CanPreview):
            raise UnknownAvatar(f"the pipeline {pipeline!r} draws no previews")
        return await self._get(key, pipeline, "webp", worker.draw_preview)

    async def still(self, key: str, pipeline: str, frame: str, size: Size) -> bytes:
        """The picture with which a session of features that are there begins: a JPEG.

        Raises:
            AvatarRejected: drawing it failed.
        """
        suffix = f"{frame.replace(':', 'x')}.{size[0]}x{size[1]}.jpg"
        return await self._get(key, pipeline, suffix, worker.draw_still, frame, size)

    async def _get(
        self, key: str, pipeline: str, suffix: str, work: Callable[..., Any], *args: Any
    ) -> bytes:
        kept = self._features.store.beside(key, suffix)
        with suppress(OSError):
            return await asyncio.to_thread(_read_newer, kept)
        if kept not in self._under_way:  # many may ask at once
            drawing = self._draw(key, pipeline, kept, work, *args)
            self._under_way[kept] = asyncio.create_task(drawing)
        task = self._under_way[kept]
        await asyncio.wait({task})
        if task.cancelled():
            raise NotReady("the server is shutting down")
        task.result()  # raises what went wrong
        try:
            return await asyncio.to_thread(read_sealed, kept)
        except OSError as error:
            raise UnknownAvatar("the avatar was deleted") from error

    async def _draw(
        self, key: str, pipeline: str, kept: Path, work: Callable[..., Any], *args: Any
    ) -> None:
        store = self._features.store
        try:
            options = self._features.options_of(pipeline)
            await self._features.draw(work, pipeline, options, store.root, key, kept, *args)
            if not self._features.has(key):  # deleted meanwhile
                await asyncio.to_thread(kept.unlink, missing_ok=True)
        finally:
            del self._under_way[kept]

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read_newer(drawing: Path) -> bytes:
    """What is kept; OSError where that is nothing, damaged, or drawn by an older program."""
    if drawing.stat().st_mtime < _changed():
        raise FileNotFoundError(drawing)
    return read_sealed(drawing)


@cache
def _changed() -> float:
    """When the code that draws was last changed here, or installed."""
    code = Path(pipelines.__file__).parent
    return max(file.stat().st_mtime for file in code.rglob("*.py"))
