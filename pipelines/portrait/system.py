"""The `portrait` system: one photo, warped in layers by its face mesh. Imports no torch.

A video of the person talking, if there is one, teaches it how they move their lips.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.identity import IdentityFeatures, content_key
from pipelines.learnt import Learnt
from pipelines.motion.controls import CONTROLS
from pipelines.motion.space import MOTION_NAMES, PORTRAIT_WEIGHTS
from pipelines.photo.crop import MAX_CANVAS
from pipelines.photo.framing import FRAMES, SQUARE, foreseen_sizes, sizes_for
from pipelines.pipeline import Material, Pipeline, Progress, Size, file_digest
from pipelines.weights import find_weights, weights_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.composed_batched import BatchedPipeline
    from pipelines.motion.model import MotionModel
    from pipelines.renderer import BatchedRenderer

FORMAT_VERSION = 7
STYLE_VERSION = 1
CROP_RULE = f"head-and-shoulders-{MAX_CANVAS}"


@dataclass(frozen=True, kw_only=True)
class PortraitOptions:
    """`[pipeline.portrait]`: the name of the motion generator's weights."""

    motion_weights: str = PORTRAIT_WEIGHTS

    def __post_init__(self) -> None:
        if not self.motion_weights:
            raise ValueError("motion_weights must not be empty")


class PortraitSystem:
    """See `pipelines.pipeline.System`."""

    name = "portrait"
    summary = "one photo, warped in layers by its face mesh; real time on a CPU"
    sizes: tuple[Size, ...] = FRAMES[SQUARE].sizes
    frames = FRAMES
    controls = CONTROLS
    motion_names = MOTION_NAMES
    accepts = frozenset({"photo", "video"})
    keeps_video = False
    Options = PortraitOptions

    def key(self, material: Material, options: PortraitOptions) -> str:
        if material.video is None and material.learnt is None:
            return content_key(material.photo_bytes(), CROP_RULE, self.name, FORMAT_VERSION)
        photo = b"" if material.photo is None else material.photo_bytes()
        if material.video is not None:
            video = file_digest(material.video)
        else:
            assert material.learnt is not None
            learnt = Learnt.load(material.learnt)
            video = learnt.video
            photo = b"" if photo == learnt.photo else photo  # as it was made of the video itself
        style = f"{STYLE_VERSION}-{weights_digest(options.motion_weights)}"
        rule = f"{CROP_RULE}-video-{video}-style-{style}"
        return content_key(photo, rule, self.name, FORMAT_VERSION)

    def enrol(
        self, material: Material, options: PortraitOptions, progress: Progress
    ) -> IdentityFeatures:
        key = self.key(material, options)
        if material.video is None and material.learnt is None:
            from pipelines.photo.upright import read_portrait

            progress(0.0, "finding the face")
            photo, face = read_portrait(material.photo_bytes())
            progress(0.4, "cutting out the person")
            from pipelines.portrait.enrol import describe  # and PyTorch: not for what is refused

            found = describe(photo, face, key)
        else:
            from pipelines.portrait.enrol import enrol_with_video

            found = enrol_with_video(material, options.motion_weights, key, progress)
        progress(1.0, "done")
        return found

    def build(self, slots: int, options: PortraitOptions, device: str) -> Pipeline:
        if device != "cpu":
            return self.build_batched(slots, options, device)
        from pipelines.composed import ComposedPipeline
        from pipelines.exported.files import load_graph
        from pipelines.portrait.render import PortraitRenderer

        motion, weights = self.motion_to_export(options)
        exported = load_graph(motion, weights, device)
        renderer = PortraitRenderer(slots, self.sizes, device)
        sizes = partial(sizes_for, self)
        return ComposedPipeline(slots, self.sizes, motion, renderer, device, exported, sizes)

    def build_batched(self, slots: int, options: PortraitOptions, device: str) -> BatchedPipeline:
        """As `build` for a GPU; runs on a CPU too, only slower than what that is given."""
        from pipelines.composed_batched import BatchedPipeline
        from pipelines.exported.files import load_graph
        from pipelines.portrait.batched import BatchedPortrait

        motion, weights = self.motion_to_export(options)
        exported = load_graph(motion, weights, device)
        sizes, foreseen = partial(sizes_for, self), foreseen_sizes(self)
        renderer = BatchedPortrait(slots, foreseen, device)
        return BatchedPipeline(slots, foreseen, motion, renderer, device, exported, sizes)

    def preview(
        self, identity: IdentityFeatures, options: PortraitOptions
    ) -> Iterator[NDArray[np.uint8]]:
        """See `pipelines.pipeline.Previews`."""
        from pipelines.portrait.preview import draw_preview

        return draw_preview(identity)

    def motion_to_export(self, options: PortraitOptions) -> tuple[MotionModel, Path]:
        """See `pipelines.pipeline.Exports`."""
        from pipelines.motion.diffusion import load_motion

        return load_motion(options.motion_weights), find_weights(options.motion_weights)

    def renderer_to_export(
        self, slots: int, size: Size, options: PortraitOptions
    ) -> BatchedRenderer:
        """See `pipelines.pipeline.ExportsPictures`."""
        from pipelines.portrait.batched import BatchedPortrait

        return BatchedPortrait(slots, (size,))


SYSTEM = PortraitSystem()
