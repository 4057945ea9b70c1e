"""The looks that every face is judged by: motion vectors, the same for every photo and pipeline.

Sounds are held as the reference mouth of `training.motion` holds them, so that they ask of a
renderer what speech does; the rest is said in blendshapes, degrees and eye distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.motion.articulation import FPS
from training.motion.performance import OUTPUTS, pose_mouth
from training.motion.visemes import blend
from training.speech.phones import Phone

Motion = Mapping[str, float]

LOUD = 1.2  # how far the reference mouth opens beyond its mean for the loudest voices
_HELD_S = 1.0
_SMILE = {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.25}


def motion(values: Motion) -> Tensor:
    """A motion row [1, MOTION_DIM]; a name without a side sets both."""
    row = torch.zeros(1, MOTION_DIM)
    for name, value in values.items():
        names = [name] if name in MOTION_INDEX else [f"{name}Left", f"{name}Right"]
        for each in names:
            row[0, MOTION_INDEX[each]] = value
    return row


def say(phones: Sequence[Phone], frames: int, loud: float = 1.0) -> list[Motion]:
    """The mouth through `phones`, which follow without gaps, frame by frame; a still head."""
    times = (np.arange(frames) + 0.5) / FPS
    channels = pose_mouth(blend(phones, times), np.full(frames, loud))
    return [
        {target: float(channels[name][n]) for name in channels for target in OUTPUTS[name]}
        for n in range(frames)
    ]


def held(label: str, loud: float = 1.0) -> Motion:
    """The mouth in the middle of a long sound."""
    frames = round(_HELD_S * FPS)
    return say([Phone(label, 0.0, _HELD_S)], frames, loud)[frames // 2]


WIDEST = held("AA", LOUD)
POSES: dict[str, Motion] = {
    "rest": {},
    "m": held("M"),
    "widest": WIDEST,
    "ee": held("IY", LOUD),
    "oo": held("UW"),
    "f v": held("F"),
    "smile": _SMILE,
    "laugh": _SMILE | {"jawOpen": 0.35, "mouthUpperUp": 0.4, "eyeSquint": 0.4},
    "half blink": {"eyeBlink": 0.5},
    "blink": {"eyeBlink": 1.0},
    "yaw -12": {"headYaw": -12.0},
    "yaw 12": {"headYaw": 12.0},
    "pitch -8": {"headPitch": -8.0},
    "pitch 8": {"headPitch": 8.0},
    "gaze left": {"gazeYaw": -18.0},
    "gaze up": {"gazePitch": 12.0},
    "turned, a": {**WIDEST, "headYaw": 9.0, "headRoll": 4.0},
}
EYES = frozenset({"half blink", "blink", "gaze left", "gaze up"})  # what the eyes are looked at for
SHUT = ("rest", "m")  # lips meet
TEETH = ("widest", "ee", "smile", "laugh")  # teeth may show
_SPEECH = ("B", "AA", "M", "IY", "F", "UW", "AA")  # 80 ms each
SPEECH: Sequence[Motion] = say(
    [Phone(label, 0.08 * n, 0.08 * (n + 1)) for n, label in enumerate(_SPEECH)],
    frames=2 * len(_SPEECH),
)
"""Lips in quick speech under a still head, two frames a sound."""
