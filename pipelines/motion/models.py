"""Motion models: what they have in common, and the one that the `portrait` preset uses."""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from pipelines.audio.mel import MelConfig
from pipelines.motion.diffusion import DiffusionMotion, load_generator
from pipelines.weights import find_weights

PORTRAIT_WEIGHTS = "portrait-motion"


class MotionModel(Protocol):
    """Features in, one frame of motion per hop out, `look_ahead` samples late.

    States are `SlotState`s of the model's own.
    """

    @property
    def look_ahead(self) -> int: ...

    def to(self, device: str, /) -> Self: ...

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> Any: ...

    def set_seed(self, state: Any, slots: Tensor, seeds: Tensor) -> None: ...

    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: Any, active: Tensor
    ) -> Tensor: ...

    def behaviour(self, state: Any) -> Tensor: ...


def portrait_motion(mel: MelConfig) -> MotionModel:
    """The motion model of the `portrait` preset: our trained generator, one pass per frame.

    Raises:
        ValueError: its weights are not installed.
    """
    return DiffusionMotion(mel, load_generator(find_weights(PORTRAIT_WEIGHTS)))
