"""What MediaPipe FaceMesh reads of lips that part so far, and back.

Calibrated on the renderer: random weights on three faces of the cast (amara, henrik, mei), read as
`pipelines.photo.curves` does. A reading is a function of one number, the parting, to which jawOpen
adds, mouthClose takes away, and the other shapes add or take their share (rms error 0.003 of the
face height). Partings under 0.08 are missed: lips that near read as closed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Gap over face height, parting in units of jawOpen (see `lip_closure.PARTING`).
_READINGS = (
    (0.002, 0.0), (0.006, 0.075), (0.012, 0.115), (0.026, 0.15), (0.038, 0.20), (0.050, 0.25),
    (0.060, 0.30), (0.071, 0.35), (0.078, 0.40), (0.084, 0.45), (0.092, 0.50), (0.105, 0.55),
    (0.116, 0.60), (0.143, 0.80),
)  # fmt: skip
_GAPS, _PARTINGS = zip(*_READINGS, strict=True)


def parting_of(gap: NDArray[np.floating[Any]]) -> Array:
    """The parting of the lips, in units of jawOpen, at which `gap` is read; NaN stays NaN."""
    return np.asarray(np.interp(gap, _GAPS, _PARTINGS))


def gap_of(parting: NDArray[np.floating[Any]]) -> Array:
    """The gap over face height that is read of `parting`; NaN stays NaN."""
    return np.asarray(np.interp(parting, _PARTINGS, _GAPS))
