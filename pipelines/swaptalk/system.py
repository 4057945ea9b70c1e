"""The `swaptalk` system: a clip of the person, its lower face drawn anew in a VQ latent space.

Imports no torch.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.controls import ARTICULATION, CONTROLS, EXPRESSION
from pipelines.motion.space import MOTION_NAMES
from pipelines.photo.framing import FRAMES, SQUARE, foreseen_sizes, sizes_for
from pipelines.pipeline import HOP_SAMPLES, Material, Pipeline, Progress, Size, file_digest
from pipelines.swaptalk.options import SwapTalkOptions, missing
from pipelines.weights import find_weights, weights_digest

if TYPE_CHECKING:
    from pipelines.composed_batched import BatchedPipeline
    from pipelines.motion.model import MotionModel
    from pipelines.renderer import BatchedRenderer
    from pipelines.swaptalk.faces import Faces

FORMAT_VERSION = 4


class SwapTalkSystem:
    """See `pipelines.pipeline.System`."""

    name = "swaptalk"
    summary = "a video of the person, or a photo; only the lower face is drawn anew"
    sizes: tuple[Size, ...] = FRAMES[SQUARE].sizes
    frames = FRAMES
    controls = (CONTROLS[EXPRESSION], CONTROLS[ARTICULATION])  # the head is the video's
    motion_names = MOTION_NAMES
    accepts = frozenset({"photo", "video", "source"})
    keeps_video = True
    Options = SwapTalkOptions

    def missing(self, options: SwapTalkOptions) -> str:
        """See `pipelines.pipeline.NeedsWeights`."""
        return missing(options)

    def key(self, material: Material, options: SwapTalkOptions) -> str:
        _check(options, material)
        networks = "-".join(weights_digest(name) for name in options.weights)
        if material.source is not None:
            networks += f"-{weights_digest(options.swap_weights)}-{file_digest(material.source)}"
        if material.video is not None:
            rule = f"video-{file_digest(material.video)}-{networks}"
            return content_key(b"", rule, self.name, FORMAT_VERSION)
        return content_key(material.photo_bytes(), networks, self.name, FORMAT_VERSION)

    def enrol(
        self, material: Material, options: SwapTalkOptions, progress: Progress
    ) -> IdentityFeatures:
        _check(options, material)
        from pipelines.swaptalk.enrol import enrol

        faces = self._faces(options, swapped=material.source is not None)
        found = enrol(material, faces, self.key(material, options), progress)
        progress(1.0, "done")
        return found

    def build(self, slots: int, options: SwapTalkOptions, device: str) -> Pipeline:
        if device != "cpu":
            return self.build_batched(slots, options, device)
        from pipelines.composed import ComposedPipeline
        from pipelines.swaptalk.render import SwapTalkRenderer

        _check(options)
        faces = self._faces(options, device)
        motion, exported = self._motion(options, faces, device)
        renderer = SwapTalkRenderer(faces, slots, self.sizes, device)
        sizes = partial(sizes_for, self)
        return ComposedPipeline(slots, self.sizes, motion, renderer, device, exported, sizes)

    def build_batched(self, slots: int, options: SwapTalkOptions, device: str) -> BatchedPipeline:
        """As `build` for a GPU; runs on a CPU too, only slower than what that is given."""
        from pipelines.composed_batched import BatchedPipeline
        from pipelines.swaptalk.render_batched import BatchedSwapTalk

        _check(options)
        faces = self._faces(options, device)
        motion, exported = self._motion(options, faces, device)
        renderer = BatchedSwapTalk(faces, slots, device)
        sizes, foreseen = partial(sizes_for, self), foreseen_sizes(self)
        return BatchedPipeline(slots, foreseen, motion, renderer, device, exported, sizes)

    def _motion(
        self, options: SwapTalkOptions, faces: Faces, device: str
    ) -> tuple[MotionModel, MotionModel | None]:
        """As late as the faces need it; and the same by ONNX Runtime, if there is a graph of it."""
        from pipelines.exported.files import load_graph

        motion, weights = self.motion_to_export(options)
        exported = load_graph(motion, weights, device)
        graph = None if exported is None else _in_time(exported, faces)
        return _in_time(motion, faces), graph

    def motion_to_export(self, options: SwapTalkOptions) -> tuple[MotionModel, Path]:
        """See `pipelines.pipeline.Exports`."""
        from pipelines.motion.diffusion import load_motion

        return load_motion(options.motion_weights), find_weights(options.motion_weights)

    def renderer_to_export(
        self, slots: int, size: Size, options: SwapTalkOptions
    ) -> BatchedRenderer:
        """See `pipelines.pipeline.ExportsPictures`. Each slot may show a template of its own."""
        from pipelines.rungs import Rungs
        from pipelines.swaptalk.render_batched import BatchedSwapTalk

        _check(options)
        return BatchedSwapTalk(self._faces(options), slots, "cpu", rungs=Rungs.of([[size]]))

    def _faces(
        self, options: SwapTalkOptions, device: str = "cpu", *, swapped: bool = False
    ) -> Faces:
        if options.wav2lip_weights:
            from pipelines.swaptalk.wav2lip.faces import Wav2LipFaces
            from pipelines.swaptalk.wav2lip.weights import load_generator

            return Wav2LipFaces(load_generator(options.wav2lip_weights).to(device))
        from pipelines.swaptalk.faces import LatentFaces
        from pipelines.swaptalk.vqgan.weights import load_vqgan
        from pipelines.swaptalk.weights import check_encoder, load_lips, load_swap

        for name in (options.lips_weights, options.swap_weights)[: 1 + swapped]:
            check_encoder(find_weights(name), find_weights(options.vqgan_weights))
        vqgan = load_vqgan(options.vqgan_weights).to(device)
        lips = load_lips(find_weights(options.lips_weights)).to(device)
        swap = load_swap(find_weights(options.swap_weights)).to(device) if swapped else None
        return LatentFaces(vqgan, lips, options.margin, swap)


def _in_time(motion: MotionModel, faces: Faces) -> MotionModel:
    """The motion as late as what an ear of the faces' own gives; ValueError where it is later."""
    from pipelines.motion.delayed import DelayedMotion

    if faces.ear is None:
        return motion
    late = faces.ear.look_ahead - motion.features().look_ahead - motion.look_ahead
    if late < 0 or late % HOP_SAMPLES:
        raise ValueError(
            f"motion that looks ahead {faces.ear.look_ahead - late} samples cannot go with an ear "
            f"that does {faces.ear.look_ahead}"
        )
    return DelayedMotion(motion, late // HOP_SAMPLES) if late else motion


def _check(options: SwapTalkOptions, material: Material | None = None) -> None:
    """ValueError, in plain words, where weights that are needed are not installed."""
    if absent := missing(options, swapped=material is not None and material.source is not None):
        raise ValueError(absent)


SYSTEM = SwapTalkSystem()
