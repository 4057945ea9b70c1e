"""`vivavoce export`: a pipeline's motion, and what draws, as graphs for ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.photo.framing import choose_size
from pipelines.pipeline import Exports, ExportsPictures
from pipelines.registry import find_system
from pipelines.weights import user_weights_dir, weights_dirs
from realtime.config import ServerConfig
from realtime.engine.device import use_one_thread

if TYPE_CHECKING:
    from pipelines.renderer import BatchedRenderer

MOST_FACES = 256  # as many as a server has sessions


def export(config: ServerConfig, folder: Path | None = None) -> str:
    """Write the graph of the chosen pipeline's motion; returns what was written, in words.

    folder: None is where it is found: beside the weights, or where those cannot be written, among
        the user's.

    Raises:
        ValueError: the pipeline has none, the extra is missing, the graph disagrees with PyTorch.
        OSError: the folder cannot be written.
    """
    name = config.pipeline
    system = find_system(name)
    if not isinstance(system, Exports):
        raise ValueError(f"the pipeline {name!r} has no motion that can be exported")
    use_one_thread()
    from pipelines.exported.export import export_motion

    model, weights = system.motion_to_export(config.options_of(name))
    if folder is None:
        beside = os.access(weights.parent, os.W_OK)
        folder = weights.parent if beside else user_weights_dir()
    path = folder / f"{weights.stem}.onnx"
    export_motion(model, weights, path)
    found = folder.resolve() in [d.resolve() for d in (weights.parent, *weights_dirs())]
    places = " or ".join(str(d) for d in weights_dirs())
    return (
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, the motion of {weights}, same as PyTorch's"
        + ("" if found else f"; it is found once it lies in {places}")
    )


def check_drawing(
    config: ServerConfig, lines: int, faces: int
) -> tuple[ExportsPictures, tuple[int, int]]:
    """The system and the size that `export_drawing` takes: known before anything takes minutes.

    Raises:
        ValueError: it cannot.
    """
    system = find_system(config.pipeline)
    if not isinstance(system, ExportsPictures):
        raise ValueError(f"the pipeline {config.pipeline!r} has no drawing that can be exported")
    size = choose_size(system, lines)
    if not 1 <= faces <= MOST_FACES:
        raise ValueError(f"--faces {faces}: must be between 1 and {MOST_FACES}")
    return system, size


def export_drawing(config: ServerConfig, folder: Path, lines: int, faces: int) -> str:
    """Write the graph of what draws so many faces in a square of `lines` pixels, for renderers of
    as many slots; returns what was written, in words.

    Raises:
        ValueError: the pipeline has none, or none of that size; an operation cannot be exported.
        OSError: the folder cannot be written.
    """
    name, (system, size) = config.pipeline, check_drawing(config, lines, faces)
    options = config.options_of(name)
    use_one_thread()
    from pipelines.exported.pictures import export_pictures

    path = folder / f"{name}-{size[0]}x{size[1]}-{faces}.onnx"

    def build(slots: int) -> BatchedRenderer:
        return system.renderer_to_export(slots, size, options)

    export_pictures(build, size, faces, faces, path)
    return (
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, draws {faces} faces at {size[0]} x "
        f"{size[1]}; they are its inputs"
    )
