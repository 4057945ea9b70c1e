"""How a decoded picture is to be shown: turned by its display matrix, with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.photo.decode import Image8

_WIDEST_PIXEL = 4.0  # width over height, or height over width


@dataclass(frozen=True)
class Display:
    """transposed: rows become columns, before it is mirrored; pixel: its width over its height."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False
    pixel: float = 1.0

    @classmethod
    def of(cls, frame: VideoFrame, stream: VideoStream) -> Display:
        """As the container says. Turns between quarters of a circle go to the nearest one."""
        ratio = stream.sample_aspect_ratio
        pixel = float(ratio) if ratio else 1.0
        if not 1.0 / _WIDEST_PIXEL <= pixel <= _WIDEST_PIXEL:
            pixel = 1.0
        raw: Any = frame.side_data.get("DISPLAYMATRIX")
        if raw is None:
            return cls(pixel=pixel)
        # Column vectors of the picture's axes: x' = a x + c y, y' = b x + d y.
        (a, b), (c, d) = np.frombuffer(bytes(raw), "<i4").reshape(3, 3)[:2, :2].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, c < 0, b < 0, pixel)
        return cls(False, a < 0, d < 0, pixel)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) as shown, of a picture that is decoded to `width` x `height`."""
        width = max(1, round(width * self.pixel))
        return (height, width) if self.transposed else (width, height)

    def show(self, frame: VideoFrame, side: int) -> Image8:
        """The frame upright, uint8 [H, W, 3] RGB, its longer side at most `side` pixels."""
        width = max(1, round(frame.width * self.pixel))
        scale = min(1.0, side / max(width, frame.height))
        small = max(1, round(width * scale)), max(1, round(frame.height * scale))
        pixels = frame.reformat(*small, format="rgb24").to_ndarray()
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrored_x:
            pixels = pixels[:, ::-1]
        if self.mirrored_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels, np.uint8)
