"""Uploads whose time is over go, with their videos, what was learnt of them, and the consent."""

from __future__ import annotations

import logging

from realtime.avatars.library import AvatarLibrary
from realtime.clock import Clock
from realtime.errors import VivavoceError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 600.0


async def forget_old_uploads(library: AvatarLibrary, clock: Clock) -> None:
    """Delete them every ten minutes, until cancelled; at a server's start the library does."""
    while True:
        await clock.sleep_until(clock.now() + LOOK_EVERY_S)
        for avatar in library.outdated():
            try:
                await library.delete(avatar)
                logger.info("deleted %s: its time was over", avatar.id)
            except VivavoceError as error:
                logger.error("cannot delete %s, whose time is over: %s", avatar.id, error)
