"""AniTalker's published stage-2 files: which of the five generators, and its weights.

A file is the state of the whole training module, a flat dict of `model.*` (the weights as trained),
`ema_model.*` (their running mean, which inference uses) and `x_T`, left-over noise. Source: the
released code of arXiv 2405.03121.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.checkpoints import Checkpoint, check_tensors
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.weights import CheckpointError

_USED, _UNUSED, _NOISE = "ema_model.", "model.", "x_T"
_NOISE_SHAPE = (32, 3, 256, 256)


def recognises(checkpoint: Checkpoint) -> bool:
    """Whether this looks like a stage-2 file, whole or not."""
    branches = (f"{_USED}coarse_decoder.", f"{_UNUSED}coarse_decoder.")
    return any(key.startswith(branches) for key in checkpoint.tensors)


def convert(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The running mean's tensors under the names of `MotionGenerator`, and what they are.

    Raises:
        CheckpointError: keys missing or too many, a wrong shape or type, or no known variant.
    """
    found = checkpoint.tensors
    variant = _variant(checkpoint)
    wanted = _layout(variant)
    check_tensors(found, wanted, f"{checkpoint.path} ({variant})")
    tensors = {
        key.removeprefix(_USED): found[key].contiguous() for key in wanted if key.startswith(_USED)
    }
    return tensors, {"variant": variant}


def _variant(checkpoint: Checkpoint) -> str:
    """Which of the five, told by the parts that only some of them have."""

    def has(key: str) -> bool:
        return f"{_USED}{key}" in checkpoint.tensors or f"{_UNUSED}{key}" in checkpoint.tensors

    features = "hubert" if has("weights") else "mfcc" if has("down_sample2.weight") else None
    if has("location_predictor.fc.weight"):
        control = "full_control"
    elif has("pose_predictor.fc.weight"):
        control = "pose_only"
    else:
        control = "audio_only"
    name = f"{features}_{control}"
    if features is None or name not in PRESETS:
        raise CheckpointError(
            f"{checkpoint.path}: none of the published stage-2 variants has "
            f"{features or 'neither mfcc nor hubert'} features with {control.replace('_', ' ')}"
        )
    return name


def _layout(variant: str) -> Mapping[str, Tensor]:
    """Keys, shapes and types of a published file, as tensors without values."""
    with torch.device("meta"):
        state = MotionGenerator(PRESETS[variant]).state_dict()
        noise = torch.empty(_NOISE_SHAPE)
    both = {f"{branch}{key}": state[key] for branch in (_UNUSED, _USED) for key in state}
    return both | {_NOISE: noise}
