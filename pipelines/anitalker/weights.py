"""Weights of the preset: which files, and whether they fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from pipelines.anitalker import import_generator as checkpoints_stage2
from pipelines.anitalker import import_renderer as checkpoints_stage1
from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from pipelines.checkpoints import CheckpointError, check_tensors
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.weights import find_weights, load_weights, read_metadata

# What metadata say under `kind`: of a map from motion to code, of our own generator of codes.
MAPPED, DRAWN = "anitalker-motion", "anitalker-generator"
_PART = "to_code."  # of a training run's tensors: the map
_ADVICE = (
    "import published ones (`vivavoce weights import stage1.ckpt --as NAME`, likewise "
    "stage2_*.ckpt) and choose them with --renderer-weights NAME --motion-weights NAME"
)


def find_pair(renderer: str, motion: str) -> tuple[Path, Path]:
    """The files of both names.

    Raises:
        ValueError: one is not installed, the first is no renderer, the second makes no codes, or
            their motion codes are not the same language or not as long.
    """
    try:
        paths = find_weights(renderer), find_weights(motion)
    except ValueError as error:
        raise ValueError(
            f"the anitalker pipeline lacks weights: {error}. Put the file into the weights folder, "
            f"or {_ADVICE}"
        ) from error
    drawing, driving = (read_metadata(path) for path in paths)
    published, kind = drawing.get("kind") == checkpoints_stage1.KIND, driving.get("kind")
    if published != (kind == checkpoints_stage2.KIND):
        raise ValueError(
            f"{renderer!r} and {motion!r} do not fit: the published renderer takes the codes of a "
            "published motion generator, ours those of our map or of a generator trained by it. "
            f"For published weights, {_ADVICE}"
        )
    taken = config_of(_shapes(paths[0]), renderer).motion_dim
    made = _code_dim(_shapes(paths[1]), published or kind == DRAWN, motion)
    if taken != made:
        raise ValueError(
            f"{renderer!r} and {motion!r} do not fit: the renderer takes motion codes of {taken} "
            f"numbers, the other makes {made}"
        )
    if drawing.get("codes", "") != driving.get("codes", drawing.get("codes", "")):
        raise ValueError(
            f"{renderer!r} and {motion!r} do not fit: they are of different trainings, and a code "
            "means another thing to each. Train or export them together "
            "(deploy/train-anitalker.sh)"
        )
    return paths


def _code_dim(shapes: Mapping[str, Sequence[int]], generator: bool, name: str) -> int:
    """Numbers of a code that a generator, or else our map, makes."""
    bias = shapes.get("out_proj.bias" if generator else "layers.4.bias")
    if bias is None:
        raise CheckpointError(f"{name}: makes no motion codes")
    return bias[0]


def load_renderer(name: str) -> FlowWarp:
    """The renderer of that name, of whatever size, for inference.

    Raises:
        ValueError: not there, or not the tensors of such a renderer.
    """
    tensors, _ = load_weights(name)
    model = FlowWarp(config_of({key: value.shape for key, value in tensors.items()}, name))
    check_tensors(tensors, model.state_dict(), name)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def config_of(shapes: Mapping[str, Sequence[int]], name: str) -> RendererConfig:
    """The sizes that the shapes of a renderer's tensors speak of.

    Raises:
        CheckpointError: none that a renderer could have.
    """
    try:
        blocks = _count(shapes, r"encoder\.blocks\.(\d+)\.down\.weight")
        widths = [shapes["encoder.entry.weight"][0]]
        widths += [shapes[f"encoder.blocks.{i}.down.weight"][0] for i in range(blocks)]
        latent, motion = shapes["generator.directions"]
        return RendererConfig(
            size=4 << blocks,
            widths=tuple(widths),
            latent_dim=latent,
            motion_dim=motion,
            motion_layers=_count(shapes, r"motion\.chain\.(\d+)\.weight"),
            paints=any(".paint." in name for name in shapes),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{name}: not the weights of a flow-warp renderer: {error}"
        ) from error


def _count(shapes: Mapping[str, Sequence[int]], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in shapes)


def _shapes(path: Path) -> dict[str, Sequence[int]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118


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
    own = metadata.get("kind") == DRAWN
    model = MotionGenerator(PRESETS["codes" if own else metadata["variant"]])
    if own:
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    check_tensors(tensors, model.state_dict(), name)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)
