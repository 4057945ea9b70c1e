"""What a server offers to sessions: faces and pipelines, as far as opening one needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from realtime.appearance import Face, Faces


class OfferedFaces(Faces, Protocol):
    """The avatars that sessions can have: of `AvatarLibrary`, or what a media process knows."""

    @property
    def identities(self) -> Path:
        """The folder in which identity features are kept, by key."""

    def default(self, pipeline: str) -> Face:
        """The first avatar that the pipeline can use.

        Raises:
            UnknownAvatar: there is none.
        """

    def yield_to_sessions(self) -> None:
        """Enrolment takes second place from now on: somebody talks."""

    def stop_yielding(self) -> None:
        """Nobody does any more."""


class Pipelines(Protocol):
    """Which pipelines sessions can use."""

    async def check(self, name: str) -> None:
        """Raise where the engine, though it is up, has not built this pipeline.

        Raises:
            PipelineNotLoaded, EngineError.
        """
