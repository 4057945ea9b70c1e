"""What a face does while it speaks: targets for the motion model, from phones and clean samples.

The gap of the lips is `articulation`'s, times loudness; `visemes` says by which shapes. How far the
jaw must open for a gap is in `pipelines.motion.reading`. Speech drawn so and read back follows the
wanted gap with r 0.99 as the mean of three faces, with r 0.96-0.99 on one, by the reader's noise.

Blinks and gaze are not here: they are events of `pipelines.motion.idle`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.reading import parting_of
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.motion.articulation import FPS, ArticulationConfig
from training.motion.head import brow_motion, head_motion, noise
from training.motion.prosody import Prosody, read_prosody, smooth
from training.motion.visemes import Curves, blend, covered
from training.speech.phones import Phone

Array = NDArray[np.float64]

OUTPUTS: dict[str, tuple[str, ...]] = {  # channel: what it moves
    "jaw": ("jawOpen",),
    "close": ("mouthClose",),
    "press": ("mouthPressLeft", "mouthPressRight"),
    "wide": ("mouthStretchLeft", "mouthStretchRight"),
    "pucker": ("mouthPucker",),
    "funnel": ("mouthFunnel",),
    "teeth_lower": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "teeth_upper": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "tuck": ("mouthRollLower",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "brow_inner": ("browInnerUp",),
    "brow_outer": ("browOuterUpLeft", "browOuterUpRight"),
    "brow_down": ("browDownLeft", "browDownRight"),
    "squint": ("eyeSquintLeft", "eyeSquintRight"),
    "yaw": ("headYaw",),
    "pitch": ("headPitch",),
    "roll": ("headRoll",),
    "x": ("headX",),
    "y": ("headY",),
    "z": ("headZ",),
}
MOUTH = tuple(OUTPUTS)[:9]  # without the smile, which is a mood as well

_PARTS = {"funnel": 0.246, "teeth_lower": 0.278, "teeth_upper": 0.230, "pucker": 0.022}
_JOINS = {"press": 0.065, "tuck": 0.077}
_MAX_SHARE = 0.8  # of the parting that shapes other than the jaw may make

_EXPOSURE = 5  # instants 8 ms apart that a camera averages, as `articulation` has it
_LOUD_PER_DB, _LOUD_MOST, _LOUD_SD_S = 0.018, 0.20, 0.20
_PRESS_BELOW = 0.02  # gap under which lips press
_PRESSED_FLAT = 0.5  # share of the pucker that lips lose in a closure: FaceMesh reads it as a gap
_SMILE_SD, _SMILE_HZ = 0.03, 0.07


def perform(
    phones: Sequence[Phone],
    samples: NDArray[np.float32],
    frames: int,
    seed: int,
    style: Array | None = None,
    config: ArticulationConfig | None = None,
) -> NDArray[np.float32]:
    """Motion of a stretch of speech, pauses or silence, float32 [frames, MOTION_DIM].

    Args:
        phones: in order, seconds from the start of the stretch; what they leave out is silence.
        samples: float32 [S], clean voice at 16 kHz.
        frames: video frames at 25 fps; frame n covers [n / 25, (n + 1) / 25) s.
        seed: of head, brows and smile; the lips do not depend on it.
        style: [STYLE_DIM] of the speaker, `pipelines.motion.style`; 0 is the average one.
        config: another articulation than the average of the speakers it was fitted to.
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    whole = covered(phones, frames / FPS)
    prosody = read_prosody(whole, samples, frames)
    rng = np.random.default_rng(seed)
    channels = _mouth(whole, prosody, frames, style, config)
    channels |= brow_motion(prosody, frames, rng)
    channels |= head_motion(prosody, frames, rng)
    mood = np.maximum(_SMILE_SD * (0.6 + noise(frames, _SMILE_HZ, rng)), 0.0)
    channels["smile"] = channels["smile"] + mood
    motion = np.zeros((frames, MOTION_DIM), np.float32)
    for name, targets in OUTPUTS.items():
        for target in targets:
            motion[:, MOTION_INDEX[target]] = channels[name]
    return motion


def strength(prosody: Prosody) -> Array:
    """How much a louder or softer voice scales articulation, [frames], 1 +- 0.2."""
    spoken = smooth(prosody.talking, _LOUD_SD_S)
    level = smooth(prosody.loudness, _LOUD_SD_S) / np.maximum(spoken, 0.1)
    return np.asarray(1.0 + np.clip(_LOUD_PER_DB * level, -_LOUD_MOST, _LOUD_MOST))


def _mouth(
    phones: Sequence[Phone],
    prosody: Prosody,
    frames: int,
    style: Array | None,
    config: ArticulationConfig | None,
) -> dict[str, Array]:
    middles = (np.arange(frames) + 0.5) / FPS
    exposure = (np.arange(_EXPOSURE) - _EXPOSURE // 2) / (_EXPOSURE * FPS)
    curves = blend(phones, (middles[:, None] + exposure).ravel(), config, style)
    fine = pose_mouth(curves, np.repeat(strength(prosody), _EXPOSURE))
    return {name: value.reshape(frames, _EXPOSURE).mean(1) for name, value in fine.items()}


def pose_mouth(curves: Curves, loud: Array) -> dict[str, Array]:
    """Blendshape weights [T] that show the gap of `curves` times `loud` [T] by its shapes."""
    gap = curves.gap * loud
    parting = parting_of(gap)
    shapes = {name: value * loud for name, value in curves.shapes.items()}
    near = np.clip(1.0 - gap / _PRESS_BELOW, 0.0, 1.0)
    shapes["press"] *= near
    shapes["pucker"] *= 1.0 - _PRESSED_FLAT * near * near
    made = sum(share * shapes[name] for name, share in _PARTS.items())
    wanted = parting * _MAX_SHARE
    less = np.minimum(1.0, wanted / np.maximum(made, 1e-6))
    for name in ("funnel", "teeth_lower", "teeth_upper"):
        shapes[name] = shapes[name] * less
    made = sum(share * shapes[name] for name, share in _PARTS.items())
    joined = sum(share * shapes[name] for name, share in _JOINS.items())
    own = np.maximum(parting - made + joined * np.minimum(parting / 0.1, 1.0), 0.0)
    jaw = np.maximum(own, shapes["jaw"])
    return shapes | {"jaw": jaw, "close": jaw - own}
