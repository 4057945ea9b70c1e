"""Frames of faces on disk: one safetensors file per identity, written whole or not at all.

DIR/SPLIT/NAME.safetensors
    frames   uint8   [N, S, S, 3]  the face crop, the same crop in all frames of a file
    motion   float32 [N, 45]       the known motion; only where it is known
    flows    float16 [N, 2, F, F]  where pixels look in frame 0 (see `flows`); where it is known
    regions  float32 [N, 3, 3]     mouth, subject's right eye, left eye: x, y, half width in [-1, 1]
    metadata: group. Identities of one group show the same motion in frames of the same number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, Split] = ("train", "held_out")


@dataclass(frozen=True)
class Clip:
    """All that is kept of one identity."""

    frames: NDArray[np.uint8]  # [N, S, S, 3]
    regions: NDArray[np.float32]  # [N, 3, 3]
    motion: NDArray[np.float32] | None  # [N, MOTION_DIM]
    group: str
    flows: Tensor | None = None  # float16 [N, 2, F, F]


def write_clip(path: Path, clip: Clip) -> None:
    """Write a clip so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "frames": torch.from_numpy(np.ascontiguousarray(clip.frames)),
        "regions": torch.from_numpy(np.ascontiguousarray(clip.regions)),
    }
    if clip.motion is not None:
        tensors["motion"] = torch.from_numpy(np.ascontiguousarray(clip.motion))
    if clip.flows is not None:
        tensors["flows"] = clip.flows.contiguous()
    part = path.with_suffix(".part")
    save_file(tensors, part, {"group": clip.group})
    part.replace(path)


class Face:
    """One identity of a store, read frame by frame from a mapped file."""

    def __init__(self, path: Path) -> None:
        opened: Any = safe_open
        self._file: Any = opened(path, "pt")
        self._frames = self._file.get_slice("frames")
        self.name = path.stem
        self.group: str = self._file.metadata()["group"]
        self.regions: Tensor = self._file.get_tensor("regions")
        self.motion = self._maybe("motion")  # [N, MOTION_DIM] or None
        self._flows = self._file.get_slice("flows") if self._holds("flows") else None

    def _holds(self, name: str) -> bool:
        return name in self._file.keys()  # noqa: SIM118

    def _maybe(self, name: str) -> Tensor | None:
        return self._file.get_tensor(name) if self._holds(name) else None

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def size(self) -> int:
        """Side of the frames in pixels."""
        return int(self._frames.get_shape()[1])

    def frame(self, index: int) -> Tensor:
        """One frame, uint8 [S, S, 3]."""
        picture: Tensor = self._frames[index]
        return picture

    def flow(self, index: int, size: int) -> Tensor:
        """Where a frame looks in frame 0, float32 [2, size, size]; NaN where that is unknown."""
        if self._flows is None:
            return torch.full((2, size, size), float("nan"))
        held: Tensor = self._flows[index]
        return held.float()


def read_faces(folder: Path, size: int) -> list[Face]:
    """All identities below `folder`, by name.

    Raises:
        ValueError: there are none, or their frames are not of `size`.
    """
    faces = [Face(path) for path in _files(folder)]
    if not faces:
        raise ValueError(f"{folder} holds no faces; make them with flow_warp.data")
    wrong = {face.size for face in faces} - {size}
    if wrong:
        raise ValueError(f"{folder} holds frames of {wrong} pixels, the renderer wants {size}")
    return faces


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.safetensors"))
