"""The picture of a face before any sound: where every session of it begins."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Pipeline, Size


def draw_still(pipeline: Pipeline, identity: IdentityFeatures, size: Size) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of the identity, in its frame, drawn in the pipeline's first slot.

    size: one of those that the pipeline's system draws of it.
    """
    pipeline.prepare(identity, size)
    pipeline.set_identity(0, identity, size)
    batch = Batch.of(pipeline.slots, (size,), pipeline.motion_dim)
    batch.size[0] = size
    pipeline.still(0, batch)
    return np.asarray(cv2.cvtColor(batch.picture(0), cv2.COLOR_YUV2RGB_I420), np.uint8)
