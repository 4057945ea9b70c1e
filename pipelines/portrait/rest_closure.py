"""Closes the mouth of the photo, so that zero motion is lips that meet."""

from __future__ import annotations

import numpy as np

from pipelines.photo.geometry import bump, single, smoothstep
from pipelines.portrait.layered import Layered, summed
from pipelines.portrait.mouth_parts import thicken, upper_fall, zeros
from pipelines.portrait.mouth_space import MouthSpace


def rest_closure(m: MouthSpace) -> Layered:
    """Press together lips that are apart in the photo, so that zero motion is a closed mouth."""
    upper, lower = zeros(m), zeros(m)
    parted = float(smoothstep(0.006, 0.02, np.array(m.gap.max())))
    shut = m.gap + 0.003 * parted * m.open
    upper[1] = 0.30 * shut * upper_fall(m)
    chin = 0.35 * shut * (1.0 - smoothstep(0.0, 0.30, m.below))
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.5 * (m.chin - m.lip_lower), m.below)
    lower[1] = -0.70 * shut * reach * 0.65 - 0.70 * chin
    return summed(Layered(upper, lower), _fuller(m), seam(m))


def seam(m: MouthSpace) -> Layered:
    """The soft dark line at which lips meet that are apart in the photo."""
    upper, lower = zeros(m), zeros(m)
    within = smoothstep(0.006, 0.02, single(m.gap.max())) * m.line
    upper[3] = -0.26 * within * bump(m.above, 0.0, 0.014)
    lower[3] = -0.34 * within * bump(m.below, 0.0, 0.012)
    return Layered(upper, lower)


def _fuller(m: MouthSpace) -> Layered:
    """Give lips that an open smile has drawn thin some of their height back: all was a pout."""
    fuller = thicken(m, 1.0)
    fuller.upper[1] *= 0.22 * m.stretched * m.lip_upper
    fuller.lower[1] *= 0.15 * m.stretched * m.lip_lower
    return fuller
