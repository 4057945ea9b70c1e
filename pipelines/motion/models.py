"""Which motion model a preset uses."""

from __future__ import annotations

from pipelines.audio.mel import MelConfig
from pipelines.motion.diffusion import DiffusionMotion, load_generator
from pipelines.presets import PRESETS
from pipelines.weights import find_weights

PORTRAIT_WEIGHTS = PRESETS["portrait"].motion_weights


def portrait_motion(mel: MelConfig, weights: str = PORTRAIT_WEIGHTS) -> DiffusionMotion:
    """The motion model of the `portrait` preset: our trained generator, one pass per frame.

    Raises:
        ValueError: its weights are not installed.
    """
    return DiffusionMotion(mel, load_generator(find_weights(weights)))
