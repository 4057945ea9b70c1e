"""The squares of a store's faces, in the place of latents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training.flow_warp.store import Face
from training.swaptalk.squares import square_at


class SquareFace:
    """One identity, as samplers see it: the maps of a frame are the pixels of its square."""

    def __init__(self, path: Path, size: int) -> None:
        """size: of a square in pixels.

        Raises:
            ValueError: the store does not know the motion of this one.
        """
        self._face, self.size = Face(path), size
        if self._face.motion is None:
            raise ValueError(f"{path} holds no motion")
        self.name, self.group, self.motion = path.stem, self._face.group, self._face.motion

    def __len__(self) -> int:
        return len(self._face)

    @cached_property
    def _squares(self) -> list[tuple[Tensor, Tensor]]:
        """Of all frames, found when the first is asked for: a store holds tens of thousands."""
        return [square_at(self._face, i) for i in range(len(self._face))]

    @cached_property
    def regions(self) -> Tensor:
        """Mouth and eyes in the squares, [N, 3, 3], see the store."""
        return torch.cat([regions for _, regions in self._squares])

    def latents(self, frames: Sequence[int]) -> Tensor:
        """Squares of these frames, float32 [len(frames), 3, size, size] in [-1, 1]."""
        pictures = torch.stack([self._face.frame(i) for i in frames]).permute(0, 3, 1, 2)
        places = torch.cat([self._squares[i][0] for i in frames])
        grid = F.affine_grid(places, [len(places), 3, self.size, self.size], align_corners=False)
        return F.grid_sample(
            pictures.float() / 127.5 - 1.0, grid, mode="bicubic", padding_mode="border",
            align_corners=False,
        ).clamp(-1.0, 1.0)  # fmt: skip


def read_squares(folder: Path, size: int) -> list[SquareFace]:
    """All identities below `folder` whose motion is known, by name.

    Raises:
        ValueError: there are none.
    """
    faces = [
        SquareFace(path, size)
        for path in sorted(folder.glob("*.safetensors"))
        if Face(path).motion is not None
    ]
    if not faces:
        raise ValueError(f"{folder} holds no faces of known motion; make them with flow_warp.data")
    return faces
