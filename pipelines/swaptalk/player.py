"""A template's frames at one size, decoded ahead of the loop that they are played in."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import PHOTO, SQUARE, STORED, even
from pipelines.photo.geometry import smoothstep
from pipelines.photo.surroundings import around
from pipelines.photo.video.kept import STRETCH, KeptClip, Planes, channels, cropped, resized
from pipelines.pipeline import Size
from pipelines.swaptalk.template import to_i420

_FADE = 0.08  # of the picture's height, over which frames fade into what stands still beside them


@dataclass(frozen=True)
class View:
    """What a picture of `size` shows of frames that are brought to the size `whole` first: from
    (left, top) on.

    around: I420 of `size`, what stands still beside frames that do not fill the picture.
    """

    size: Size
    whole: Size
    left: int
    top: int
    around: Planes | None = None

    @classmethod
    def of(cls, identity: IdentityFeatures, size: Size) -> View:
        """Of an identity in its frame: all of a frame, head and shoulders, or 16:9."""
        if identity.frame == PHOTO:
            return cls(size, size, 0, 0)
        width, height, *canvas = (float(v) for v in identity.arrays["surroundings"][0])
        lines, *there = _canvas_shown(identity)
        step = size[1] / lines
        scale = there[2] * step / canvas[2]
        beside = _beside(identity, size)
        whole = [even(width * scale), max(size[1], even(height * scale))]
        corner = [even(canvas[n] * scale - there[n] * step) for n in (0, 1)]
        if beside is None:
            whole[0] = max(size[0], whole[0])
            corner[0] = min(max(corner[0], 0), whole[0] - size[0])
        corner[1] = min(max(corner[1], 0), whole[1] - size[1])
        return cls(size, (whole[0], whole[1]), corner[0], corner[1], beside)

    def show(self, planes: Planes) -> Planes:
        """A frame as it is shown, I420."""
        whole = resized(planes, self.whole)
        if self.around is not None:
            return self._joined(whole, self.around)
        return whole if self.whole == self.size else cropped(whole, self.left, self.top, self.size)

    def places(self, places: NDArray[np.float64], kept: Size) -> NDArray[np.float64]:
        """Squares [n, 2, 3] in frames of the size `kept`, as places in the picture."""
        scale = np.array(self.whole, np.float64) / kept
        moved = places * scale[None, :, None]
        moved[:, :, 2] -= (self.left, self.top)
        return moved

    def _joined(self, whole: Planes, around: Planes) -> Planes:
        """The frame, fading into what is around it, left and right."""
        first, last = max(0, -self.left), min(self.size[0], self.whole[0] - self.left)
        size = last - first, self.size[1]
        part = cropped(whole, self.left + first, self.top, size)
        shares = self._shares(first, last)
        out = around.copy()
        both = channels(out, self.size[::-1]), channels(part, size[::-1])
        for (held, step), (shown, _) in zip(*both, strict=True):
            target = held[:, first // step : last // step]
            mixed = target + shares[::step] * (shown.astype(np.float32) - target)
            target[:] = mixed.round()
        return out

    def _shares(self, first: int, last: int) -> NDArray[np.float32]:
        """Of the frame in columns [first, last) of the picture: 1 but at edges inside it."""
        at = np.arange(last - first, dtype=np.float32) + 0.5
        reach = _FADE * self.size[1]
        left = smoothstep(0.0, reach, at) if first > 0 else np.ones_like(at)
        right = smoothstep(0.0, reach, at[::-1]) if last < self.size[0] else np.ones_like(at)
        return np.asarray(left * right, np.float32)


def _canvas_shown(identity: IdentityFeatures) -> tuple[float, float, float, float]:
    """Of how many lines an identity's picture in its frame is, and left, top and side of head and
    shoulders in it."""
    if identity.frame == SQUARE:
        return 1.0, 0.0, 0.0, 1.0
    row = identity.arrays["surroundings"][STORED.index(identity.frame)]
    return float(row[1]), float(row[2]), float(row[3]), float(row[4])


def _beside(identity: IdentityFeatures, size: Size) -> Planes | None:
    if identity.frame == SQUARE or f"around_{STORED.index(identity.frame)}" not in identity.arrays:
        return None
    return to_i420(around(identity, size), size)


class Player:
    """Frames of a clip, decoded ahead; for one reader.

    Holds the stretch that is shown and, decoded by a thread meanwhile, the one that comes next.
    """

    def __init__(self, clip: KeptClip) -> None:
        self._clip = clip
        self._worker = ThreadPoolExecutor(1, "template")
        self._held: dict[int, Future[list[Planes]]] = {}

    def frame(self, number: int, upcoming: Iterable[int]) -> Planes:
        """The frame of that number, as it was kept; then the `upcoming` ones are wanted."""
        here = number // STRETCH
        following = next((n // STRETCH for n in upcoming if n // STRETCH != here), here)
        for stretch in [n for n in self._held if n not in (here, following)]:
            self._held.pop(stretch).cancel()
        for stretch in (here, following):
            if stretch not in self._held:
                self._held[stretch] = self._worker.submit(self._clip.stretch, stretch)
        return self._held[here].result()[number % STRETCH]
