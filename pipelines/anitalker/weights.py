"""Networks of the pipeline from their weights files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from pipelines.anitalker.config import GENERATED
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.pair import config_of
from pipelines.checkpoints import check_tensors, load_weights
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.weights import CheckpointError

REST = "rest"  # of a renderer's tensors: the code of a face at rest, if it is known
_PART = "to_code."  # of a training run's tensors: the map


def load_renderer(name: str) -> FlowWarp:
    """The renderer of that name, of whatever size, for inference.

    Raises:
        ValueError: not there, or not the tensors of such a renderer.
    """
    tensors, _ = load_weights(name)
    rest = tensors.pop(REST, None)
    model = FlowWarp(config_of({key: value.shape for key, value in tensors.items()}, name))
    check_tensors(tensors, model.state_dict(), name)
    model.load_state_dict(tensors)
    model.rest = rest
    return model.eval().requires_grad_(False)


def load_map(name: str) -> MotionToCode:
    """Our map from motion to code, for inference.

    Raises:
        ValueError: not there, or not the tensors of such a map.
    """
    return map_of(load_weights(name)[0], name)


def map_of(tensors: Mapping[str, Tensor], name: str) -> MotionToCode:
    """The map that these tensors are, or that is in them, of a renderer's training run.

    Raises:
        CheckpointError: not the tensors of such a map.
    """
    within = {k.removeprefix(_PART): v for k, v in tensors.items() if k.startswith(_PART)}
    tensors = within or tensors
    last = max((key for key in tensors if key.endswith(".bias")), default="")
    if not last:
        raise CheckpointError(f"{name}: not a map from motion to code")
    hidden = len(tensors.get("layers.0.bias", tensors[last]))
    model = MotionToCode(len(tensors[last]), hidden)
    check_tensors(tensors, model.state_dict(), name)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def load_generator(name: str) -> MotionGenerator:
    """A motion generator of that name, imported or our own, in float32 for inference.

    Raises:
        ValueError: not there, or not the tensors of its variant.
    """
    tensors, metadata = load_weights(name)
    own = metadata.get("kind") == GENERATED
    config = PRESETS["codes" if own else metadata["variant"]]
    if own:
        if "out_proj.bias" in tensors:  # codes are as long as their renderer's
            config = replace(config, motion_dim=len(tensors["out_proj.bias"]))
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    model = MotionGenerator(config)
    check_tensors(tensors, model.state_dict(), name)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)
