"""What a picture shows around the face, and how large: the one place that knows the frames' sizes.

    square  head and shoulders: the canvas that an avatar is drawn on is all there is
    photo   the whole photo as taken, in its own shape
    16:9    for calls and streams: the canvas as high as the picture, the background going on beside

Only the canvas moves. An identity keeps, of the frames that show more, a picture and where the
canvas lies in it (`pipelines.photo.surroundings`). Imports no torch: the event loop asks for sizes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from pipelines.identity import IdentityFeatures
from pipelines.photo.crop import Crop
from pipelines.photo.geometry import Array, single, smoothstep
from pipelines.photo.placement import Placement, filling
from pipelines.pipeline import Size, System

SQUARE, PHOTO, WIDE = "square", "photo", "16:9"


@dataclass(frozen=True)
class Frame:
    """Sizes of one frame, smallest first; of a photo they are the boxes that it is fitted into.

    default: which of them a session gets that asks for none.
    """

    sizes: tuple[Size, ...]
    default: Size


FRAMES: Mapping[str, Frame] = {
    SQUARE: Frame(((256, 256), (512, 512), (720, 720)), (512, 512)),
    PHOTO: Frame(((456, 256), (910, 512), (1280, 720)), (1280, 720)),
    WIDE: Frame(((640, 360), (848, 480), (1280, 720)), (1280, 720)),
}
"""The frames of an enrolled photo, by name."""
_LINES = tuple(height for _, height in FRAMES[SQUARE].sizes)
"""What heights are called by in every frame, whatever they are there."""
_FADE = 0.15  # of the canvas's side: motion fades toward an edge that the picture goes beyond
STORED = (PHOTO, WIDE)
"""Frames whose surroundings an identity keeps, in the order of its array `surroundings`."""


@runtime_checkable
class HasFrames(Protocol):
    """A system that can show more than the square around the face."""

    @property
    def frames(self) -> Mapping[str, Frame]:
        """By name; the sizes of "square" are the system's."""


def frames_of(system: System) -> Mapping[str, Frame]:
    """The frames of any system: one that knows of none draws what it draws as "square"."""
    if isinstance(system, HasFrames):
        return system.frames
    return {SQUARE: Frame(tuple(system.sizes), system.sizes[-1])}


def find_frame(system: System, name: str) -> Frame:
    """The frame of that name; ValueError where the system has none such."""
    frames = frames_of(system)
    if name not in frames:
        known = ", ".join(frames)
        raise ValueError(f"frame = {name!r}: the pipeline {system.name!r} draws {known}")
    return frames[name]


def largest_sizes(system: System) -> tuple[Size, ...]:
    """Sizes of all frames, which no picture of the system exceeds."""
    return tuple(size for frame in frames_of(system).values() for size in frame.sizes)


def foreseen_sizes(system: System) -> tuple[Size, ...]:
    """Sizes of pictures that are known before there is any photo: of all frames but those that have
    its shape."""
    frames = frames_of(system).items()
    return tuple(size for name, frame in frames if name != PHOTO for size in frame.sizes)


def choose_size(system: System, wish: int | str | None, name: str = SQUARE) -> Size:
    """The size of the system's frame `name` that is `wish`: a height in pixels, "WIDTHxHEIGHT", or
    the height of a square where both have as many sizes; its default for None or "".

    Raises:
        ValueError: there is none such; the message lists what there is.
    """
    frame = find_frame(system, name)
    if wish is None or wish == "":
        return frame.default
    text = str(wish).lower()
    for size in frame.sizes:
        if text in (f"{size[0]}x{size[1]}", str(size[1])):
            return size
    if name != SQUARE and text in map(str, _LINES) and len(frame.sizes) == len(_LINES):
        return frame.sizes[_LINES.index(int(text))]
    known = ", ".join(f"{width}x{height}" for width, height in frame.sizes)
    raise ValueError(f"size = {wish!r}: the pipeline {system.name!r} draws {known}")


def framed(identity: IdentityFeatures, name: str) -> IdentityFeatures:
    """The identity, to be shown in a frame."""
    return identity if identity.frame == name else replace(identity, frame=name)


def sizes_for(system: System, identity: IdentityFeatures) -> tuple[Size, ...]:
    """Sizes of the pictures of an identity in its frame, smallest first.

    Raises:
        ValueError: the system has no such frame, or the identity no picture for it.
    """
    frame = find_frame(system, identity.frame)
    if identity.frame != PHOTO:
        return frame.sizes
    width, height = _surroundings(identity)[:2]
    return tuple(_fitted(width, height, box) for box in frame.sizes)


def check_size(system: System, size: Size, name: str) -> tuple[Size, ...]:
    """The sizes of a frame, of which `size` must be one; ValueError where it is not."""
    sizes = find_frame(system, name).sizes
    if size not in sizes:
        known = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise ValueError(f"size must be one of {known}, got {size[0]}x{size[1]}")
    return sizes


def sizes_below(size: Size, sizes: Collection[Size]) -> tuple[Size, ...]:
    """`size`, one of `sizes`, and the smaller ones of the same shape, largest first."""
    width, height = size
    alike = {s for s in sizes if s[0] * height == s[1] * width and s[0] <= width}
    return tuple(sorted(alike, reverse=True))


def rungs(system: System, identity: IdentityFeatures, size: Size) -> tuple[Size, ...]:
    """What an identity in its frame may be drawn at where `size`, one of the frame's, was asked
    for: that one first, then smaller ones of the same shape, or of the same frame.

    Raises:
        ValueError: it is not one of the frame's.
    """
    sizes = check_size(system, size, identity.frame)
    if identity.frame == SQUARE:
        return sizes_below(size, sizes)
    return sizes_for(system, identity)[sizes.index(size) :: -1]


def place(identity: IdentityFeatures, size: Size) -> Placement:
    """Where the canvas lies in a picture of the identity, in its frame.

    Raises:
        ValueError: the size does not fit the frame, or the identity has no picture for it.
    """
    if identity.frame == SQUARE:
        return filling(size)
    _, height, left, top, side = _surroundings(identity)
    scale = size[1] / height
    return Placement(even(left * scale), even(top * scale), even(side * scale))


def window(identity: IdentityFeatures, size: Size) -> tuple[float, float, float, float]:
    """The part of the identity's stored surroundings that a picture of `size` shows: left, top,
    right, bottom in their pixels. The canvas lies in it exactly where `place` says."""
    _, _, left, top, side = _surroundings(identity)
    placed = place(identity, size)
    step = side / placed.side
    first = left - placed.left * step, top - placed.top * step
    return *first, first[0] + size[0] * step, first[1] + size[1] * step


def wide_left(middle: float, crop: Crop, width: int) -> float:
    """Where 16:9, as high as the canvas `crop`, begins in a photo so wide: with the face's `middle`
    in the middle, or as near to it as the photo reaches, if it is wide enough at all."""
    wide, tall = FRAMES[WIDE].sizes[-1]
    side = crop.side * wide / tall
    left = middle - side / 2
    return left if width < side else min(max(left, 0.0), width - side)


def moving(size: Size, placed: Placement, nodes: int, beyond: bool) -> Array:
    """How much of its motion each node of the canvas keeps, float32 [nodes * nodes] from edge to
    edge: none where the picture goes on `beyond` it, so that no shoulder slides along a torso that
    stands still."""
    line = np.linspace(0.0, 1.0, nodes, dtype=np.float32)
    shares = []
    for start, length in zip((placed.left, placed.top), size, strict=True):
        share = np.ones(nodes, np.float32)
        if beyond and start > 0:
            share *= smoothstep(0.0, _FADE, line)
        if beyond and start + placed.side < length:
            share *= smoothstep(0.0, _FADE, 1.0 - line)
        shares.append(share)
    return single((shares[1][:, None] * shares[0]).reshape(-1))


def fits(width: int, height: int, box: Size) -> float:
    """How much a picture must shrink to lie in `box`: at most 1."""
    return min(1.0, box[0] / width, box[1] / height)


def _surroundings(identity: IdentityFeatures) -> tuple[float, ...]:
    """Width and height of the stored picture of its frame, and left, top and side of the canvas."""
    held = identity.arrays.get("surroundings")
    if held is None or identity.frame not in STORED:
        raise ValueError(f"this face has no surroundings for the frame {identity.frame!r}")
    return tuple(float(v) for v in held[STORED.index(identity.frame)])


def _fitted(width: float, height: float, box: Size) -> Size:
    scale = min(box[0] / width, box[1] / height)
    across, down = (max(2, even(length * scale)) for length in (width, height))
    return min(across, box[0]), min(down, box[1])


def even(length: float) -> int:
    """The nearest even number of pixels."""
    return 2 * math.floor(length / 2 + 0.5)
