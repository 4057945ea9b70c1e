"""What a user may turn up or down about how an avatar moves: 1 is natural, 0 is off.

Declared here, in the order in which motion models take them. Systems made of these models offer
them as they are; imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.pipeline import Control

if TYPE_CHECKING:
    from torch import Tensor

CONTROLS: tuple[Control, ...] = (
    Control("expression", "mouth and brows; 0 keeps the lips closed"),
    Control("head_motion", "rotation, translation, nods, breathing"),
    Control("gaze", "eye movement; 0 looks straight ahead"),
    Control("blink_rate", "0 never blinks"),
    Control("articulation", "how wide and how distinctly the lips speak; 0 mumbles"),
)
EXPRESSION, HEAD_MOTION, GAZE, BLINK_RATE, ARTICULATION = range(len(CONTROLS))


def control_row(**values: float) -> Tensor:
    """What motion models take, float32 [len(CONTROLS)]; what is not given has its default.

    Raises:
        ValueError: an unknown control, or a value out of its range.
    """
    import torch

    known = [control.name for control in CONTROLS]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown control {name!r}; known: {', '.join(known)}")
    row = [control.check(values.get(control.name, control.default)) for control in CONTROLS]
    return torch.tensor(row, dtype=torch.float32)
