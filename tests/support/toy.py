"""Videos for the pipeline in `toy_pipeline`, and who listens to its enrolments."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, frames: int = 12, base: int = 60) -> Path:
    """A video of plain pictures, 320 x 180, each lighter than the one before by 8 of 255.

    Lossless, so that a picture's luma is base + 8 n to within one step.
    """
    with av.open(path, "w") as out:
        stream = out.add_stream("ffv1", rate=25, width=320, height=180, pix_fmt="yuv420p")
        for number in range(frames):
            planes = np.full((270, 320), 128, np.uint8)
            planes[:180] = base + 8 * number
            out.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        out.mux(stream.encode())
    return path


class QuietProgress:
    """Progress of an enrolment that nobody waits for; keeps what was reported."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.reports: list[tuple[float, str]] = []

    def __call__(self, share: float, stage: str) -> None:
        self.reports.append((share, stage))
