"""Which weights the pipeline uses, and whether they fit together. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.anitalker.config import (
    GENERATED,
    PUBLISHED_GENERATOR,
    PUBLISHED_RENDERER,
    RendererConfig,
)
from pipelines.weights import CheckpointError, find_weights, read_metadata, read_shapes

_ADVICE = (
    "import published ones (`vivavoce weights import stage1.ckpt --as NAME`, likewise "
    "stage2_*.ckpt) and choose them with --set renderer_weights=NAME --set motion_weights=NAME"
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
    published, kind = drawing.get("kind") == PUBLISHED_RENDERER, driving.get("kind")
    if published != (kind == PUBLISHED_GENERATOR):
        raise ValueError(
            f"{renderer!r} and {motion!r} do not fit: the published renderer takes the codes of a "
            "published motion generator, ours those of our map or of a generator trained by it. "
            f"For published weights, {_ADVICE}"
        )
    taken = config_of(read_shapes(paths[0]), renderer).motion_dim
    made = _code_dim(read_shapes(paths[1]), published or kind == GENERATED, motion)
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
