"""Two seconds of a face that moves, drawn by the renderer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.identity import IdentityFeatures
from pipelines.motion.preview import SIDE, preview_motion
from pipelines.portrait.bake import CACHE
from pipelines.portrait.render import draw_rgb


def draw_preview(identity: IdentityFeatures) -> Iterator[NDArray[np.uint8]]:
    """Frames [SIDE, SIDE, 3] of `preview_motion`."""
    baked = CACHE.get(identity, (SIDE, SIDE), torch.device("cpu"))
    for motion in torch.from_numpy(preview_motion()):
        yield np.asarray(draw_rgb(baked, motion).numpy())
