"""What a preset is made of: how a photo becomes an identity, and who moves and draws it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.model import MotionModel
from pipelines.presets import Preset


class Renderer(Protocol):
    """Draws the faces of up to `slots` sessions at one size."""

    def set_identity(self, slot: int, identity: IdentityFeatures) -> None:
        """Give `slot` a face, from the next render on. Instant once the face was prepared."""

    def render(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """One frame per row of `motion` [N, D]: I420 uint8 [N, size * 3 / 2, size]."""


class Parts(ABC):
    """The parts of one preset. Making them reads weights; they may be shared by pipelines."""

    @abstractmethod
    def identity_key(self, photo: bytes) -> str:
        """The content address that `enrol` gives, without looking at the picture."""

    @abstractmethod
    def enrol(self, photo: bytes) -> IdentityFeatures:
        """A JPEG, PNG or WebP of one face to identity features, with its picture as `canvas`
        (uint8 [S, S, 3]).

        Raises:
            EnrolmentError: no avatar can be made of it.
        """

    @abstractmethod
    def motion(self) -> MotionModel:
        """A motion model of its own for a pipeline."""

    @abstractmethod
    def renderers(self, slots: int, device: torch.device | str) -> Callable[[int], Renderer]:
        """For one pipeline: a renderer by size, each made once."""

    @abstractmethod
    def prepare(self, identity: IdentityFeatures, size: int, device: torch.device | str) -> None:
        """Ahead of `set_identity`, from any thread: whatever takes long about a face."""


@cache
def parts_of(preset: Preset) -> Parts:
    """The parts of `preset`, made once per process.

    Raises:
        ValueError: its weights are not installed, or do not fit together.
    """
    if preset.name == "portrait":
        from pipelines.portrait.parts import PortraitParts

        return PortraitParts(preset)
    from pipelines.anitalker.parts import AniTalkerParts

    return AniTalkerParts(preset)
