"""The cast's features: made once on a machine, one face after another, while sessions may run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from realtime.avatars.features import Features
from realtime.avatars.records import Avatar
from realtime.errors import PipelineNotLoaded, UnknownAvatar, VivavoceError

logger = logging.getLogger(__name__)


class CastPreparation:
    """Has those cast members enrolled for a pipeline that this machine has not enrolled before.

    One at a time, so that whoever wants a face waits for one other at the most.
    """

    def __init__(self, features: Features, cast: Sequence[Avatar], pipeline: str) -> None:
        self._features = features
        self._cast = cast
        self._pipeline = pipeline
        self._task: asyncio.Task[None] | None = None
        self.left = len(cast)
        """Members that are not prepared yet; 0 when all that is over."""

    def begin(self) -> None:
        """Go through them."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._prepare([a for a in self._cast if not await self._is_prepared(a)])
            await self._features.rest()
        except PipelineNotLoaded as error:
            logger.error("the cast cannot be prepared: %s", error)
        finally:
            self.left = 0

    async def _is_prepared(self, avatar: Avatar) -> bool:
        with contextlib.suppress(UnknownAvatar):  # its photo is gone: enrolling it says so
            return self._features.has(await self._features.key(avatar, self._pipeline))
        return False

    async def _prepare(self, missing: Sequence[Avatar]) -> None:
        for n, avatar in enumerate(missing):
            self.left = len(missing) - n
            logger.info("first start: preparing the cast, %d to go", self.left)
            try:
                await self._features.ensure(avatar, self._pipeline)
            except PipelineNotLoaded:
                raise
            except VivavoceError as error:
                logger.error("cast member %s cannot be enrolled: %s", avatar.name, error)

    async def close(self) -> None:
        """End it; the next start goes on with those who are left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
