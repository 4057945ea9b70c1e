"""Portraits of people, moved by the portrait renderer with known motion: real texture and light.

A picture is enrolled as a photo of a user would be, and then treated as the drawn people are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.photo.detect import find_face
from pipelines.portrait.enrol import describe
from training.flow_warp.drawn import GROUP, moved_clip
from training.flow_warp.motions import motion_bank
from training.flow_warp.store import Clip
from training.portraits.held_out import may_train, pose_of, read_index

_BANKS = 100_000  # motion banks from here on are those of portraits
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def choose(folder: Path, index: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The portraits of `folder` that are kept for validation, and those to train on.

    Both in an order that is random but always the same. index: a table of the portraits; without
    one, none is kept apart and every picture is taken.

    Raises:
        ValueError: there are none.
    """
    if index is None:
        names = [path.name for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
        apart: list[str] = []
    else:
        poses: dict[tuple[float, ...], str] = {}
        for row in may_train(read_index(index)):
            poses.setdefault(tuple(pose_of(row)), row["file"])
        names, apart = list(poses.values()), [row["file"] for row in read_index()]
    if not names:
        raise ValueError(f"no portraits in {folder}")
    return _shuffled(folder, apart), _shuffled(folder, names)


def _shuffled(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / n for n in sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())]


def portrait_clip(
    path: Path, number: int, count: int, size: int, mark: tuple[int, int] | None = None
) -> Clip:
    """Enrol and move the portrait in `path`: `count` frames of `size` pixels, the first at rest.

    number: its place among the portraits; `GROUP` neighbours share their motion.
    mark: width and height in pixels of a mark in the lower right corner, painted over first.

    Raises:
        EnrolmentError: no face was found.
    """
    photo = np.asarray(Image.open(path).convert("RGB"))
    if mark is not None:
        photo = _without_corner(photo, *mark)
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    group = number // GROUP
    motion = motion_bank(_BANKS + group, count)
    identity = describe(photo, find_face(photo), key)
    return moved_clip(identity, motion, f"portrait-{group}", size)


def _without_corner(photo: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Continue what is left of the lower right corner and above it into the corner."""
    result = photo.copy()
    h, w = photo.shape[:2]
    top, left = h - height, w - width
    above = photo[top - height : top, left:][::-1].astype(np.float32)  # mirrored
    beside = photo[top:, left - width : left][:, ::-1].astype(np.float32)
    down = (np.arange(height, dtype=np.float32) + 1)[:, None] / height
    across = (np.arange(width, dtype=np.float32) + 1)[None] / width
    share = (across / (across + down))[..., None]  # of what is above; the rest is from the side
    result[top:, left:] = (share * above + (1 - share) * beside).round().astype(np.uint8)
    return result
