"""What an inference process is to have, at its start and after every restart."""

from __future__ import annotations

import logging
from typing import Any

from realtime.engine.link import Link
from realtime.errors import EngineError, VivavoceError
from realtime.media import Size

logger = logging.getLogger(__name__)

BUILD_S = 600.0
"""Deadline for building or warming up a pipeline."""


class Wanted:
    """Pipelines, and what they are warmed up with."""

    def __init__(self) -> None:
        self.pipelines: dict[str, Any] = {}
        """Options, by name."""
        self.warm: dict[str, tuple[str, Size, str]] = {}
        """Face, size and frame, by name."""

    async def load(self, link: Link, *, first: bool) -> None:
        """Load and warm up what is wanted. After a restart the engine does without what does not
        stand any more, say because an avatar was deleted meanwhile: `Health` tells.

        Raises:
            EngineError: the process has gone, or has nothing to work with; at the `first` start,
                one pipeline cannot be built.
        """
        failed = 0
        for name, options in self.pipelines.items():
            try:
                await link.call("load", name, options, timeout_s=BUILD_S)
            except EngineError as error:
                failed += 1
                if first or link.lost.done() or failed == len(self.pipelines):
                    raise
                logger.error("%s", error)
        for name, asked in self.warm.items():
            try:
                await link.call("warm_up", name, *asked, timeout_s=BUILD_S)
            except VivavoceError as error:
                if link.lost.done():
                    raise
                logger.error("cannot warm up the pipeline %s: %s", name, error)
        await link.call("serve")
