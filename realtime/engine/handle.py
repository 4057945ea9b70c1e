"""What a stream knows of the engine: a slot it can speak to, frames that come back.

The engine behind it may be this process (`vivavoce render`), the inference process shared by many
media processes, or another machine. Frames come by callback, in order of media time: a stream has
one loop, and wakes it; a queue and a task per stream would only add a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import av

from pipelines.photo.framing import SQUARE
from realtime.media import Frame, Hop, Size


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """Numbers of one stream in the engine, as they are now."""

    size: Size = (0, 0)
    """Of the pictures drawn now: a busy machine may draw smaller ones than were asked for."""
    step_s: float | None = None
    """Wall time of a step that draws this stream, median."""
    rung: int = 0
    """Of the degradation ladder; 0 is full quality."""
    skipped: int = 0
    """Frames that were not drawn, to save time."""
    dropped_hops: int = 0
    """Hops that went unheard: more came than could be stepped."""


class StreamHandle(Protocol):
    """One slot of the engine, from `open` to `close`. Used from one event loop."""

    look_ahead: int
    """Samples after a frame's own hop that must be heard before it is drawn."""
    expected_latency_s: float
    """Seconds from a hop to its frame that few frames will exceed, as of when it was opened."""
    largest: Size
    """Of its pictures, as long as there is time for such: what was asked for, in the shape that the
    face's frame has. A change of the face may change it."""
    still: av.VideoFrame
    """The face before any sound, at the size asked for: shown until the first frame is drawn."""
    on_frame: Callable[[Frame], None]
    """Called with each frame, in order of media time."""
    on_end: Callable[[str], None]
    """Called once if the engine gives the slot up: the reason, in words for the user."""

    def submit(self, hop: Hop) -> None:
        """Hear a hop; hops come in order, `hop.start` rising by 640. Never blocks."""

    def clear(self) -> None:
        """Forget what was heard and not shown yet, and close the mouth (barge-in). Frames of
        earlier positions may still come."""

    async def set_identity(self, key: str) -> None:
        """Change the face to the enrolled identity `key` from one of the next frames on.

        Raises:
            EngineError: it cannot be loaded, or the engine is gone.
        """

    async def set_controls(self, values: Mapping[str, float]) -> None:
        """Set all controls (see `System.controls`) from the next hop on."""

    def facts(self) -> StreamFacts:
        """Numbers of this stream."""

    async def close(self) -> None:
        """Give the slot back. Nothing is called any more. Safe to call again."""


@dataclass(frozen=True)
class StreamRequest:
    """A slot of `pipeline` with the identity `key`, as it is to begin."""

    pipeline: str
    key: str
    size: Size
    """One of those of the system's `frame`, see `pipelines.photo.framing`."""
    frame: str = SQUARE
    seed: int = 0
    """Of the movements that chance makes."""
    controls: Mapping[str, float] = field(default_factory=dict)
    """By name; those left out are as the system has them."""


class StreamOpener(Protocol):
    """Opens streams: the engine, as a session sees it."""

    async def open(self, request: StreamRequest) -> StreamHandle:
        """Take a slot; hops may be submitted at once.

        Raises:
            AtCapacity: one more stream would make others late.
            NotReady: the pipeline is not loaded (yet).
            EngineError: the identity cannot be loaded, or the engine is gone.
        """
