"""The `anitalker` system: one photo, redrawn by a network that warps its features.

Small weights of our own ship; published ones can be imported. Imports no torch.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.anitalker.config import AniTalkerOptions
from pipelines.anitalker.pair import find_pair
from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.controls import CONTROLS
from pipelines.photo.crop import CANVAS
from pipelines.photo.framing import FRAMES, SQUARE, foreseen_sizes, sizes_for
from pipelines.pipeline import Material, Pipeline, Progress, Size
from pipelines.weights import weights_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.anitalker.batched import BatchedNetwork
    from pipelines.composed_batched import BatchedPipeline
    from pipelines.motion.model import MotionModel
    from pipelines.renderer import BatchedRenderer

FORMAT_VERSION = 6


class AniTalkerSystem:
    """See `pipelines.pipeline.System`."""

    name = "anitalker"
    summary = "one photo, redrawn by a network that warps its features"
    sizes: tuple[Size, ...] = FRAMES[SQUARE].sizes
    frames = FRAMES
    controls = CONTROLS
    motion_names: tuple[str, ...] = ()
    accepts = frozenset({"photo"})
    keeps_video = True
    Options = AniTalkerOptions

    def key(self, material: Material, options: AniTalkerOptions) -> str:
        find_pair(options.renderer_weights, options.motion_weights)  # raises if they do not fit
        crop = f"head-and-shoulders-{CANVAS}-square-{weights_digest(options.renderer_weights)}"
        return content_key(material.photo_bytes(), crop, self.name, FORMAT_VERSION)

    def enrol(
        self, material: Material, options: AniTalkerOptions, progress: Progress
    ) -> IdentityFeatures:
        from pipelines.anitalker.batched import BatchedNetwork
        from pipelines.anitalker.enrol import enrol
        from pipelines.anitalker.weights import load_renderer

        progress(0.0, "finding the face")
        key = self.key(material, options)
        renderer = BatchedNetwork(load_renderer(options.renderer_weights), 1)
        found = enrol(material.photo_bytes(), renderer, key)
        progress(1.0, "done")
        return found

    def build(self, slots: int, options: AniTalkerOptions, device: str) -> Pipeline:
        if device != "cpu":
            return self.build_batched(slots, options, device)
        from pipelines.anitalker.motion import load_exported, load_motion
        from pipelines.anitalker.render import AniTalkerRenderer
        from pipelines.composed import ComposedPipeline

        renderer = AniTalkerRenderer(_network(slots, options, device), self.sizes, device)
        motion = load_motion(options)
        exported = load_exported(motion, device)
        sizes = partial(sizes_for, self)
        return ComposedPipeline(slots, self.sizes, motion, renderer, device, exported, sizes)

    def build_batched(self, slots: int, options: AniTalkerOptions, device: str) -> BatchedPipeline:
        """As `build` for a GPU; runs on a CPU too, only slower than what that is given."""
        from pipelines.anitalker.motion import load_exported, load_motion
        from pipelines.anitalker.render_batched import BatchedAniTalker
        from pipelines.composed_batched import BatchedPipeline

        renderer = BatchedAniTalker(_network(slots, options, device))
        motion = load_motion(options)
        exported = load_exported(motion, device)
        sizes, foreseen = partial(sizes_for, self), foreseen_sizes(self)
        return BatchedPipeline(slots, foreseen, motion, renderer, device, exported, sizes)

    def preview(
        self, identity: IdentityFeatures, options: AniTalkerOptions
    ) -> Iterator[NDArray[np.uint8]]:
        """See `pipelines.pipeline.Previews`."""
        from pipelines.anitalker.preview import draw_preview

        return draw_preview(identity, options)

    def motion_to_export(self, options: AniTalkerOptions) -> tuple[MotionModel, Path]:
        """See `pipelines.pipeline.Exports`."""
        from pipelines.anitalker.motion import motion_to_export

        return motion_to_export(options)

    def renderer_to_export(
        self, slots: int, size: Size, options: AniTalkerOptions
    ) -> BatchedRenderer:
        """See `pipelines.pipeline.ExportsPictures`."""
        from pipelines.anitalker.batched import BatchedNetwork
        from pipelines.anitalker.render_batched import BatchedAniTalker
        from pipelines.anitalker.weights import load_renderer

        model = load_renderer(options.renderer_weights)
        return BatchedAniTalker(BatchedNetwork(model, slots, precision=options.precision))


def _network(slots: int, options: AniTalkerOptions, device: str) -> BatchedNetwork:
    """The renderer's network; ValueError where the motion does not speak its codes."""
    from pipelines.anitalker.batched import BatchedNetwork
    from pipelines.anitalker.weights import load_renderer

    find_pair(options.renderer_weights, options.motion_weights)
    model = load_renderer(options.renderer_weights)
    return BatchedNetwork(model, slots, precision=options.precision, device=device)


SYSTEM = AniTalkerSystem()
