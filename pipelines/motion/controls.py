"""What a user may turn up or down about how an avatar moves."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Controls:
    """Strengths in [0, 2]; 1 is natural, 0 is off."""

    expression: float = 1.0  # mouth and brows; 0 keeps the lips closed
    head_motion: float = 1.0  # rotation, translation, nods, breathing
    gaze: float = 1.0  # eye movement; 0 looks straight ahead
    blink_rate: float = 1.0  # 0 never blinks

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{field.name} must be a number, got {value!r}")
            if not 0.0 <= value <= 2.0:  # refuses NaN too
                raise ValueError(f"{field.name} must lie in [0, 2], got {value}")

    def to_tensor(self) -> Tensor:
        """float32 [4], in the order of `CONTROL_NAMES`."""
        return torch.tensor(astuple(self), dtype=torch.float32)


CONTROL_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Controls))
