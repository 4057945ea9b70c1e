"""Lower faces that are the template's own: what is seen of it is what pasting does."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.swaptalk.faces import Drawn, Rows


class EchoFaces:
    """See `pipelines.swaptalk.faces.Faces`. Whatever is heard, it draws the reference's lower half,
    or of each frame its own, lighter by `light`."""

    side = 128
    tokens = 1
    cells = (1,)
    ear = None

    def __init__(self, *, own: bool = False, light: float = 0.0) -> None:
        self.own, self.light = own, light

    def encode(self, squares: Tensor) -> Tensor:
        return squares * 0.5 + 0.5

    def swap(self, source: Tensor, maps: Tensor) -> Tensor:
        return source.expand_as(maps)

    def whole(self, maps: Tensor) -> Tensor:
        return maps

    def prepare(self, maps: Tensor, reference: Tensor, squares: Tensor | None = None) -> Rows:
        seen = maps if self.own else reference.expand_as(maps)
        return {"lower": seen[:, :, self.side // 2 :].clone()}

    def draw(self, rows: Rows, heard: Tensor, last: Tensor) -> Drawn:
        return Drawn(rows["lower"] + self.light, torch.zeros_like(last))
