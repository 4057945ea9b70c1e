"""Names and sizes that a caller may ask for; needs no tensors."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE_HZ = 16_000
FPS = 25
HOP_SAMPLES = SAMPLE_RATE_HZ // FPS  # 640: one video frame per hop
SIZES = (256, 512)  # pixels


@dataclass(frozen=True)
class Preset:
    """A named combination of features, motion model and renderer."""

    name: str
    summary: str


PRESETS: dict[str, Preset] = {
    "portrait": Preset(
        name="portrait",
        summary="one photo, warped in layers by its face mesh; real time on a CPU",
    ),
}
