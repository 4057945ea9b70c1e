"""The `anitalker` system: one photo, redrawn by a network that warps its features.

Small weights of our own ship; published ones can be imported. Imports no torch.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from pipelines.anitalker.config import AniTalkerOptions
from pipelines.anitalker.pair import find_pair
from pipelines.identity import IdentityFeatures, content_key
from pipelines.motion.controls import CONTROLS
from pipelines.photo.crop import CANVAS
from pipelines.pipeline import Material, Pipeline, Progress, Size

FORMAT_VERSION = 2


class AniTalkerSystem:
    """See `pipelines.pipeline.System`."""

    name = "anitalker"
    summary = "one photo, redrawn by a network that warps its features"
    sizes: tuple[Size, ...] = ((256, 256), (512, 512))
    controls = CONTROLS
    motion_names: tuple[str, ...] = ()
    accepts = frozenset({"photo"})
    Options = AniTalkerOptions

    def key(self, material: Material, options: AniTalkerOptions) -> str:
        renderer, _ = find_pair(options.renderer_weights, options.motion_weights)
        status = renderer.stat()
        crop = f"head-and-shoulders-{CANVAS}-square-"
        crop += _digest(renderer, status.st_size, status.st_mtime_ns)
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
        from pipelines.anitalker.batched import BatchedNetwork
        from pipelines.anitalker.motion import load_motion
        from pipelines.anitalker.render import AniTalkerRenderer
        from pipelines.anitalker.weights import load_renderer
        from pipelines.composed import ComposedPipeline

        find_pair(options.renderer_weights, options.motion_weights)  # raises if they do not fit
        network = BatchedNetwork(
            load_renderer(options.renderer_weights),
            slots,
            precision=options.precision,
            device=device,
        )
        renderer = AniTalkerRenderer(network, self.sizes, device)
        return ComposedPipeline(slots, self.sizes, load_motion(options), renderer, device)


SYSTEM = AniTalkerSystem()


@cache
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """SHA-256 of a file as it was then, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
