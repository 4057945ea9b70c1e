"""The motion model that the options name: by where its codes come from."""

from __future__ import annotations

from pathlib import Path

from pipelines.anitalker.config import GENERATED, PUBLISHED_GENERATOR, AniTalkerOptions
from pipelines.anitalker.generated_codes import GeneratedCodes
from pipelines.anitalker.mapped_codes import MappedCodes
from pipelines.anitalker.published_codes import PublishedCodes, listener
from pipelines.anitalker.weights import load_generator, load_map
from pipelines.audio.mel import MelConfig
from pipelines.exported.files import load_graph
from pipelines.motion import diffusion
from pipelines.motion.model import MotionModel
from pipelines.motion.space import PORTRAIT_WEIGHTS
from pipelines.weights import find_weights, read_metadata


def load_motion(options: AniTalkerOptions) -> MotionModel:
    """Our generator of codes, a published one, or our motion mapped to codes.

    Raises:
        ValueError: its weights are not installed, or not of such a model.
    """
    name = options.motion_weights
    kind = read_metadata(find_weights(name)).get("kind")
    if kind == GENERATED:
        return GeneratedCodes(MelConfig(), load_generator(name))
    if kind == PUBLISHED_GENERATOR:
        generator = load_generator(name)
        return PublishedCodes(
            generator, listener(generator, options.playing.hubert), options.playing
        )
    return MappedCodes(diffusion.load_motion(), load_map(name))


def load_exported(motion: MotionModel, device: str) -> MotionModel | None:
    """`motion` with the part that it shares with `portrait` computed by ONNX Runtime; None where it
    has no such part, or there is no graph of it."""
    if not isinstance(motion, MappedCodes):
        return None
    inner = load_graph(motion.inner, find_weights(PORTRAIT_WEIGHTS), device)
    return None if inner is None else MappedCodes(inner, motion.to_code)


def motion_to_export(options: AniTalkerOptions) -> tuple[MotionModel, Path]:
    """See `pipelines.pipeline.Exports`."""
    motion = load_motion(options)
    if not isinstance(motion, MappedCodes):
        raise ValueError(
            f"the motion of {options.motion_weights!r} cannot be exported, only what is mapped "
            "from the motion of the pipeline 'portrait'"
        )
    return motion.inner, find_weights(PORTRAIT_WEIGHTS)
