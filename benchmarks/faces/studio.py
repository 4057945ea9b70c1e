"""Draws enrolled faces in any motion, as a viewer of a composed system gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.faces.poses import Motion, motion
from pipelines.anitalker.weights import load_map
from pipelines.batch import Batch
from pipelines.composed import ComposedPipeline
from pipelines.identity import IdentityFeatures
from pipelines.photo.framing import choose_size
from pipelines.pipeline import Size, System
from pipelines.streaming import Stateless

Picture = NDArray[np.uint8]  # RGB [H, W, 3]
_HOLD = 3  # frames that a look is held: a renderer may follow with a delay


def to_rgb(i420: NDArray[np.uint8]) -> Picture:
    """Planes [H * 3 / 2, W] as RGB."""
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420))


def to_i420(rgb: Picture) -> NDArray[np.uint8]:
    """RGB as planes [H * 3 / 2, W]."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YUV_I420))


class Studio:
    """One system at one size; by default its usual one, with its default options."""

    def __init__(self, system: System, size: Size | None = None, options: Any = None) -> None:
        options = system.Options() if options is None else options
        self.size = choose_size(system, None) if size is None else size
        pipeline = system.build(1, options, "cpu")
        assert isinstance(pipeline, ComposedPipeline)
        self.pipeline = pipeline
        self.batch = Batch.of(1, (self.size,), pipeline.motion_dim)
        self.batch.size[:] = self.size
        self._to_code = None if system.motion_names else load_map(options.motion_weights)

    def look(self, identity: IdentityFeatures, values: Motion) -> Picture:
        """A face that holds a motion."""
        stateless = isinstance(self.pipeline.renderer.init_state(1), Stateless)
        return self.play(identity, [values] * (1 if stateless else _HOLD))[-1]

    def play(self, identity: IdentityFeatures, frames: Sequence[Motion]) -> list[Picture]:
        """A face through a motion, from a fresh start."""
        renderer = self.pipeline.renderer
        self.pipeline.set_identity(0, identity, self.size)
        state, active = renderer.init_state(1), torch.tensor([True])
        pictures: list[Picture] = []
        with torch.inference_mode():
            for values in frames:
                row = motion(values)
                if self._to_code is not None:
                    row = self._to_code.drawn(row)
                renderer.step(row, state, active, [0], self.batch)
                pictures.append(to_rgb(self.batch.picture(0)))
        return pictures
