"""Sound files of any format."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ as RATE_HZ


def write_sound(
    path: Path,
    samples: NDArray[np.int16],
    codec: str,
    lengths: Sequence[int] = (4_800,),
    options: dict[str, str] | None = None,
) -> Path:
    """Encode int16 [n] or [n, 2] at 48 kHz, handed over in pieces of `lengths`, over and over."""
    layout = "mono" if samples.ndim == 1 else "stereo"
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        start = n = 0
        while start < len(samples):
            piece = samples[start : start + lengths[n % len(lengths)]]
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), "s16", layout)
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = start
            container.mux(stream.encode(frame))
            start, n = start + len(piece), n + 1
        container.mux(stream.encode(None))
    return path
