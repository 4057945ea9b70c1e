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
from pipelines.photo.framing import FRAMES, SQUARE, sizes_for
from pipelines.pipeline import Material, Pipeline, Progress, Size, file_digest
from pipelines.swaptalk.options import SwapTalkOptions, missing
from pipelines.weights import find_weights, weights_digest

if TYPE_CHECKING:
    from pipelines.motion.model import MotionModel
    from pipelines.swaptalk.faces import LatentFaces

FORMAT_VERSION = 2


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
        _check(options)
        from pipelines.composed import ComposedPipeline
        from pipelines.exported.files import load_graph
        from pipelines.swaptalk.render import SwapTalkRenderer

        motion, weights = self.motion_to_export(options)
        exported = load_graph(motion, weights, device)
        renderer = SwapTalkRenderer(self._faces(options, device), slots, self.sizes, device)
        sizes = partial(sizes_for, self)
        return ComposedPipeline(slots, self.sizes, motion, renderer, device, exported, sizes)

    def motion_to_export(self, options: SwapTalkOptions) -> tuple[MotionModel, Path]:
        """See `pipelines.pipeline.Exports`."""
        from pipelines.motion.diffusion import load_motion

        return load_motion(options.motion_weights), find_weights(options.motion_weights)

    def _faces(
        self, options: SwapTalkOptions, device: str = "cpu", *, swapped: bool = False
    ) -> LatentFaces:
        from pipelines.swaptalk.faces import LatentFaces
        from pipelines.swaptalk.vqgan.weights import load_vqgan
        from pipelines.swaptalk.weights import load_lips, load_swap

        vqgan = load_vqgan(options.vqgan_weights).to(device)
        lips = load_lips(find_weights(options.lips_weights)).to(device)
        swap = load_swap(find_weights(options.swap_weights)).to(device) if swapped else None
        return LatentFaces(vqgan, lips, options.margin, swap)


def _check(options: SwapTalkOptions, material: Material | None = None) -> None:
    """ValueError, in plain words, where weights that are needed are not installed."""
    if absent := missing(options, swapped=material is not None and material.source is not None):
        raise ValueError(absent)


SYSTEM = SwapTalkSystem()
