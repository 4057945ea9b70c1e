"""A photo whose lips part, with closed lips.

Renderers of ours learn from resting faces, whose lips meet, and the paste brings back what a photo
shows beside that: teeth that a photo shows would stay in every m. So such a photo is taken as
`portrait` draws it at rest.
"""

from __future__ import annotations

import numpy as np
import torch

from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.curves import lip_gap
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.portrait.bake import CACHE
from pipelines.portrait.enrol import describe
from pipelines.portrait.render import draw_rgb

_PARTED = 0.006  # of the face height: lips further apart show what is between them


def part(face: FaceMesh) -> bool:
    """Whether the lips of a photo's face are apart, as seen from the front."""
    return lip_gap(face.points * np.array([1.0, 1.0, 0.0], np.float32)) > _PARTED


def closed(photo: Image8, face: FaceMesh, key: str) -> Image8:
    """The photo's canvas, uint8 [S, S, 3], with its lips closed."""
    identity: IdentityFeatures = describe(photo, face, key)
    side = len(identity.arrays["canvas"])
    baked = CACHE.get(identity, (side, side), torch.device("cpu"))
    return np.asarray(draw_rgb(baked, torch.zeros(MOTION_DIM)).numpy())
