"""A template's frames at one size, decoded ahead of the loop that they are played in."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import PHOTO, even
from pipelines.photo.video.kept import STRETCH, KeptClip, Planes, cropped, resized
from pipelines.pipeline import Size
from pipelines.swaptalk.loop import place_in


@dataclass(frozen=True)
class View:
    """What a picture of `size` shows of frames that are brought to the size `whole` first."""

    size: Size
    whole: Size
    left: int
    top: int

    @classmethod
    def of(cls, identity: IdentityFeatures, size: Size) -> View:
        """Of an identity in its frame: all of a frame, or head and shoulders."""
        width, height, left, top, side = (float(v) for v in identity.arrays["surroundings"][0])
        if identity.frame == PHOTO:
            return cls(size, size, 0, 0)
        scale = size[0] / side
        whole = max(size[0], even(width * scale)), max(size[1], even(height * scale))
        corner = (
            min(even(start * scale), most - length)
            for start, most, length in zip((left, top), whole, size, strict=True)
        )
        return cls(size, whole, *corner)

    def show(self, planes: Planes) -> Planes:
        """A frame as it is shown, I420."""
        whole = resized(planes, self.whole)
        return whole if self.whole == self.size else cropped(whole, self.left, self.top, self.size)

    def places(self, places: NDArray[np.float64], kept: Size) -> NDArray[np.float64]:
        """Squares [n, 2, 3] in frames of the size `kept`, as places in the picture."""
        scale = np.array(self.whole, np.float64) / kept
        moved = places * scale[None, :, None]
        moved[:, :, 2] -= (self.left, self.top)
        return moved


class Player:
    """Frames of a clip by their position in the loop there and back; for one reader.

    Holds the stretch that is shown and, decoded by a thread meanwhile, the one that comes next.
    """

    def __init__(self, clip: KeptClip) -> None:
        self._clip = clip
        self._worker = ThreadPoolExecutor(1, "template")
        self._held: dict[int, Future[list[Planes]]] = {}

    def frame(self, position: int) -> Planes:
        """The frame at that position, as it was kept."""
        number = place_in(position, self._clip.count)
        here, following = number // STRETCH, self._following(position)
        for stretch in [n for n in self._held if n not in (here, following)]:
            self._held.pop(stretch).cancel()
        for stretch in (here, following):
            if stretch not in self._held:
                self._held[stretch] = self._worker.submit(self._clip.stretch, stretch)
        return self._held[here].result()[number % STRETCH]

    def _following(self, position: int) -> int:
        """The first other stretch that comes after a position."""
        here = place_in(position, self._clip.count) // STRETCH
        for later in range(position + 1, position + 2 * STRETCH + 1):
            stretch = place_in(later, self._clip.count) // STRETCH
            if stretch != here:
                return stretch
        return here
