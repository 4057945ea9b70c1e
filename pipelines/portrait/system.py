"""The `portrait` system: one photo, warped in layers by its face mesh. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.controls import CONTROLS
from pipelines.motion.space import MOTION_NAMES, PORTRAIT_WEIGHTS
from pipelines.photo.crop import CANVAS
from pipelines.pipeline import Material, Pipeline, Progress, Size

FORMAT_VERSION = 4
CROP_RULE = f"head-and-shoulders-{CANVAS}"


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
    sizes: tuple[Size, ...] = ((256, 256), (512, 512))
    controls = CONTROLS
    motion_names = MOTION_NAMES
    accepts = frozenset({"photo"})
    Options = PortraitOptions

    def key(self, material: Material, options: PortraitOptions) -> str:
        return content_key(material.photo_bytes(), CROP_RULE, self.name, FORMAT_VERSION)

    def enrol(
        self, material: Material, options: PortraitOptions, progress: Progress
    ) -> IdentityFeatures:
        from pipelines.portrait.enrol import enrol

        progress(0.0, "finding the face")
        found = enrol(material.photo_bytes(), self.key(material, options))
        progress(1.0, "done")
        return found

    def build(self, slots: int, options: PortraitOptions, device: str) -> Pipeline:
        from pipelines.composed import ComposedPipeline
        from pipelines.motion.diffusion import load_motion
        from pipelines.portrait.render import PortraitRenderer

        motion = load_motion(options.motion_weights)
        renderer = PortraitRenderer(slots, self.sizes, device)
        return ComposedPipeline(slots, self.sizes, motion, renderer, device)


SYSTEM = PortraitSystem()
