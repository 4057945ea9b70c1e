"""Names and sizes that a caller may ask for; needs no tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.anitalker.config import Precision
from pipelines.motion.space import MOTION_NAMES

SAMPLE_RATE_HZ = 16_000
FPS = 25
HOP_SAMPLES = SAMPLE_RATE_HZ // FPS  # 640: one video frame per hop
SIZES = (256, 512)  # pixels


@dataclass(frozen=True, kw_only=True)
class Playing:
    """How a published motion generator is played as a stream; lengths in frames of 40 ms."""

    context: int = 20
    ahead: int = 5  # frames heard before a frame is drawn, which the viewer waits for
    steps: int = 5  # of denoising per frame; counts that divide evenly, see `ddim_levels`
    smoothing: float = 0.0  # share of the frame before in a frame, in [0, 1)
    pose: bool = False  # where it takes a head pose: give it ours instead of its own prediction
    hubert: str = ""  # folder of chinese-hubert-large, for the generators that hear by it

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {self.smoothing}")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named combination of features, motion model and renderer, and the weights they use.

    renderer_weights, motion_weights: names for `pipelines.weights`; empty where there are none.
    motion_names: of the numbers in a frame of motion; empty where they are a code, of as many
    numbers as the renderer takes. precision: of a renderer with weights.
    playing: for published motion generators.
    """

    name: str
    summary: str
    motion_weights: str
    renderer_weights: str = ""
    motion_names: tuple[str, ...] = MOTION_NAMES
    sizes: tuple[int, ...] = SIZES
    precision: Precision = "float32"
    playing: Playing = Playing()

    def chosen(
        self,
        renderer: str = "",
        motion: str = "",
        precision: Precision | None = None,
        playing: Playing | None = None,
    ) -> Preset:
        """The same with other weights and settings; what is not given stays.

        Raises:
            ValueError: it has no renderer with weights.
        """
        if renderer and not self.renderer_weights:
            raise ValueError(f"the {self.name} renderer has no weights to replace by {renderer!r}")
        return replace(
            self,
            renderer_weights=renderer or self.renderer_weights,
            motion_weights=motion or self.motion_weights,
            precision=precision or self.precision,
            playing=playing or self.playing,
        )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="portrait",
            summary="one photo, warped in layers by its face mesh; real time on a CPU",
            motion_weights="portrait-motion",
        ),
        Preset(
            name="anitalker",
            summary="one photo, redrawn by a network that warps its features",
            motion_weights="anitalker-motion",
            renderer_weights="anitalker-renderer",
            motion_names=(),
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown pipeline {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
