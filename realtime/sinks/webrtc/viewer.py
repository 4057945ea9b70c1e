"""One encoding and those who watch it: what is encoded reaches all, each at its own pace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from realtime.cursor import Cursor
from realtime.media import VOICE_RATE_HZ, Picture, Voice

Media = TypeVar("Media", Voice, Picture)


@dataclass(frozen=True)
class Encoded:
    """RTP payloads of one frame and their time in the codec's clock, media time 0 = 0."""

    payloads: list[bytes]
    time: int
    keyframe: bool = True
    audio_level: tuple[bool, int] | None = None


class Viewer(Cursor[Encoded]):
    """One viewer's place at an encoding; what its receiver reports may steer it."""

    rate = VOICE_RATE_HZ
    """Of `Encoded.time`, Hz."""

    def __init__(self, depth: int, on_leave: Callable[[Viewer], None]) -> None:
        super().__init__(depth)
        self._on_leave = on_leave

    @property
    def pace_bps(self) -> int | None:
        """Packets of a large frame are sent no faster than this; None: all at once."""
        return None

    def request_keyframe(self) -> None:
        """The receiver cannot go on without one."""

    def received_estimate(self, bps: int, now: float) -> None:
        """The receiver believes it can take this many bit/s (REMB)."""

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        """Share of packets lost, and the round-trip time, as far as they are known."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._on_leave(self)


class Encoding(ABC, Generic[Media]):
    """One codec of one stream, and who watches it."""

    def __init__(self, media: Cursor[Media], on_empty: Callable[[], None]) -> None:
        self.viewers: list[Viewer] = []
        self._media: Cursor[Media] = media
        self._on_empty = on_empty

    @property
    def dropped(self) -> int:
        """Items that the encoder was too slow for."""
        return self._media.dropped

    @abstractmethod
    async def encode(self, item: Media) -> list[Encoded]:
        """Encode the next item, off the event loop where that takes long."""

    async def run(self) -> None:
        """Encode until the stream ends or nobody watches any more."""
        try:
            async for item in self._media:
                for encoded in await self.encode(item):
                    for viewer in self.viewers:
                        viewer.put(encoded)
        finally:
            for viewer in self.viewers:
                viewer.end()

    def leave(self, viewer: Viewer) -> None:
        self.viewers = [other for other in self.viewers if other is not viewer]
        if not self.viewers:
            self._media.close()
            self._on_empty()
